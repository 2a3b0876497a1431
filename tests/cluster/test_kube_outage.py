"""kvhelm.kube while a real API server goes away and comes back as another one."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from kvhelm.errors import KubeError
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import CONFIG_MAPS, Object
from kvhelm.local.cluster import Cluster, down, up


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One of its own: others would miss the API server."""
    yield up("outage", nodes=(), state=tmp_path)
    down("outage", state=tmp_path)


@contextmanager
def api_server_stopped(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """Kill the API server; what is yielded starts it on the same port, with flags added."""
    server = psutil.Process(cluster.processes["kube-apiserver"].pid)
    command, environment = server.cmdline(), server.environ()
    started: list[subprocess.Popen[bytes]] = []

    def stop() -> None:
        while started:
            process = started.pop()
            process.kill()
            process.wait()

    def start(*flags: str) -> None:
        stop()
        with cluster.paths.log_of("kube-apiserver").open("ab") as log:
            started.append(
                subprocess.Popen([*command, *flags], env=environment, stdout=log, stderr=log)
            )

    server.kill()
    server.wait()
    try:
        yield start
    finally:
        stop()


async def ready(client: Client) -> None:
    while True:
        try:
            await client.request("GET", "/readyz")
            return
        except KubeError:
            await asyncio.sleep(0.1)


class Noticed(Backoff):
    """Tells when a failure was noticed."""

    failed: asyncio.Event

    def __init__(self) -> None:
        super().__init__(base=0.2, cap=2.0)
        object.__setattr__(self, "failed", asyncio.Event())

    def delay(self, failures: int) -> float:
        self.failed.set()
        return super().delay(failures)


def config_map(name: str) -> Object:
    return {"metadata": {"name": name, "labels": {"of": "test"}}}


async def test_an_api_server_that_dies_and_returns_without_watch_list(
    own_cluster: Cluster,
) -> None:
    """Nothing is lost over the restart, and a server that refuses WatchList is listed."""
    namespace = "default"
    async with asyncio.timeout(300), await Client.connect(own_cluster.kubeconfig) as client:
        for name in "abc":
            await client.create(CONFIG_MAPS, config_map(name), namespace)
        noticed = Noticed()
        reflector = Reflector[Object](
            client, CONFIG_MAPS, namespace=namespace, label_selector="of", backoff=noticed
        )
        seen: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        async with reflector:
            await reflector.synced.wait()
            reflector.add_handler(
                lambda old, new: seen.put_nowait(
                    ((new or old or {})["metadata"]["name"], bool(new))
                )
            )
            with api_server_stopped(own_cluster) as again:
                await noticed.failed.wait()
                assert not reflector.connected
                again("--feature-gates=WatchList=false")
                await ready(client)
                await client.create(CONFIG_MAPS, config_map("d"), namespace)
                await client.delete(CONFIG_MAPS, "a", namespace)
                assert [await seen.get() for _ in range(2)] == [("d", True), ("a", False)]
                assert sorted(name for _, name in reflector) == ["b", "c", "d"]

                async with await Client.connect(own_cluster.kubeconfig) as other:
                    later = Reflector[Object](
                        other, CONFIG_MAPS, namespace=namespace, label_selector="of"
                    )
                    async with later:
                        await later.synced.wait()
                        assert sorted(name for _, name in later) == ["b", "c", "d"]
                    assert other.requests["list", "configmaps"] == 1
