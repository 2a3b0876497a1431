"""What befalls machines: a node loses its power, the supervisor is killed, all is stopped."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvhelm.errors import LocalError
from kvhelm.kube.resource import LEASES, Object
from kvhelm.local import cluster as local
from kvhelm.local.operator import NAMESPACE, RELEASE
from kvhelm.local.processes import alive
from kvhelm.local.realnode.power import load_image
from kvhelm.local.realnode.traces import ensure_gone, traces
from tests.cluster.stories import condition
from tests.e2e.pools import NODES, Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_a_node_without_power_is_missed_and_comes_back(pools: Pools) -> None:
    """It is the one where the operator leads: the other replica takes over and tells."""
    lease = await pools.client.get(LEASES, RELEASE, NAMESPACE)
    leader = lease["spec"]["holderIdentity"]
    lost = await pools.node_of(pod_of(lease), NAMESPACE)
    (kept,) = set(NODES) - {lost}
    await pools.own_etcd(kept)
    await pools.create("pool", replicas=2)
    await pools.ready("pool")
    engine = await pools.engine("pool", kept)
    key = await pools.put(engine, 5)

    pools.cut_power(lost)
    try:
        pool = await pools.pool(
            "pool", lambda pool: pool["status"]["readyReplicas"] == 1, "to miss a daemon"
        )
        assert condition(pool, "Ready")["status"] == "False"
        assert condition(pool, "Available")["status"] == "True"
        taken = await pools.wait(
            LEASES,
            RELEASE,
            lambda lease: lease["spec"].get("holderIdentity", leader) != leader,
            "to be taken over",
            NAMESPACE,
        )
        assert await pools.node_of(pod_of(taken), NAMESPACE) == kept
        assert await pools.fetch(engine, key) == 50_000
    finally:
        pools.power_on(lost)
    await pools.ready("pool")
    assert await pools.nodes("pool") == list(NODES)
    # What the other daemon kept was there all the time.
    assert await pools.fetch(engine, key) == 50_000


def pod_of(lease: Object) -> str:
    """Return the operator's pod that leads."""
    return str(lease["spec"]["holderIdentity"].partition("_")[0])


@pytest.fixture
def state(able: None, tmp_path: Path) -> Iterator[Path]:
    """A state folder of a test's own; whatever the test leaves running is stopped."""
    folder = tmp_path / "s"
    try:
        yield folder
    finally:
        for name in local.names(folder):
            local.down(name, state=folder)


def test_nothing_outlives_the_supervisor(state: Path) -> None:
    """Killed, so that it can clear up nothing itself."""
    interfaces = set(Path("/sys/class/net").iterdir())
    mounts = Path("/proc/self/mounts").read_text()
    cluster = local.up("torn", real_nodes=1, state=state)
    # While it runs, this machine's own network and mounts are as they were.
    assert set(Path("/sys/class/net").iterdir()) == interfaces
    assert Path("/proc/self/mounts").read_text() == mounts
    assert list(traces(cluster.place))

    # Whoever loads an image right then is told why it ended: an archive that never comes.
    archive = state / "archive"
    os.mkfifo(archive)
    with ThreadPoolExecutor(1) as beside:
        loading = beside.submit(load_image, cluster.place, archive)
        with archive.open("wb"):  # once it is read from
            os.kill(cluster.processes["nodes"].pid, signal.SIGKILL)
            with pytest.raises(LocalError, match="node-1: SIGKILL ended it, as it does all on a"):
                loading.result()
    archive.unlink()
    ensure_gone(cluster.place)
    assert list(traces(cluster.place)) == []
    with pytest.raises(LocalError, match="nodes died"):
        local.find("torn", state=state)
    # It starts again with its data, and goes for good.
    again = local.up("torn", state=state)
    assert alive(again.processes["nodes"])
    assert local.down("torn", state=state)
    assert list(traces(cluster.place)) == []
    assert not state.exists()


def test_a_cluster_keeps_the_nodes_that_it_was_made_with(state: Path, pools: Pools) -> None:
    with pytest.raises(LocalError, match="has 2 real nodes, and keeps what it was made with"):
        local.up(pools.cluster.name, real_nodes=1, state=pools.cluster.paths.directory.parents[1])


def test_kube_proxy_ends_and_its_node_goes_on(pools: Pools) -> None:
    """It ends by itself where it was faster than the kubelet, and wants to be started again."""
    before = pools.on_node(NODES[0], "pgrep", "--exact", "kube-proxy").strip()
    pools.on_node(NODES[0], "pkill", "-KILL", "--exact", "kube-proxy")
    another = f"until pgrep --exact kube-proxy | grep --invert-match {before}; do sleep 0.1; done"
    assert pools.on_node(NODES[0], "timeout", "60", "sh", "-c", another).strip() != before


async def test_nodes_pull_through_this_machine_and_pods_do_not(pools: Pools) -> None:
    """A registry that this machine reaches is reached by containerd, and by nobody else there."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"I am a registry")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as registry:
        port = registry.sockets[0].getsockname()[1]
        ask = (
            "import socket\n"
            "s = socket.create_connection(('10.77.0.1', 3128))\n"
            f"s.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n')\n"
            "heard = b''\n"
            "try:\n"
            "    while part := s.recv(999): heard += part\n"
            "except ConnectionError: pass\n"
            "print(repr(heard))"
        )
        command = (NODES[0], sys.executable, "-c", ask)
        assert "I am a registry" in await asyncio.to_thread(pools.on_node, *command)
        await pools.create("pool", metadata={"managed": {}})
        await pools.ready("pool")
        engine = await pools.engine("pool", NODES[0])
        assert await pools.python(engine, ask) == "b''"
