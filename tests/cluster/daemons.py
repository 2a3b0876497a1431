"""Real daemons behind the pods of fake nodes: what a kubelet would do, for vineyardd alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import PODS, Object
from tests.dataplane.parts import Vineyardd, daemon_of


class Daemons:
    """The daemons of a namespace, by the name of their pod."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_uid: dict[str, Vineyardd] = {}
        self._to_start: asyncio.Queue[Object] = asyncio.Queue()
        self._gone: set[str] = set()
        self.by_pod: dict[str, Vineyardd] = {}

    def seen(self, old: Object | None, new: Object | None) -> None:
        """Follow one pod."""
        pod = new or old
        assert pod
        uid = pod["metadata"]["uid"]
        if old and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            self._end(old["metadata"]["uid"])
        if new is None:
            return
        if "deletionTimestamp" in new["metadata"]:
            self._end(uid)
        elif new.get("status", {}).get("podIP") and uid not in self._by_uid:
            self._by_uid[uid] = daemon = self._daemon(new)
            self.by_pod[new["metadata"]["name"]] = daemon
            self._to_start.put_nowait(new)

    async def run(self) -> None:
        """Start the daemons one after the other, as an ordered StatefulSet would."""
        while True:
            uid = (await self._to_start.get())["metadata"]["uid"]
            while uid not in self._gone:
                # One that ends (its etcd was slow, or its pod went) is started again.
                with suppress(AssertionError):
                    await self._by_uid[uid].serve()
                    break
                await asyncio.sleep(1)

    def stop(self) -> None:
        """End all of them."""
        for daemon in self._by_uid.values():
            daemon.kill()

    def _end(self, uid: str) -> None:
        self._gone.add(uid)
        if daemon := self._by_uid.get(uid):
            daemon.kill()

    def _daemon(self, pod: Object) -> Vineyardd:
        (container,) = pod["spec"]["containers"]
        fields = {
            "status.podIP": pod["status"]["podIP"],
            "spec.nodeName": pod["spec"]["nodeName"],
            "metadata.name": pod["metadata"]["name"],
        }
        return daemon_of(container, self._folder / pod["metadata"]["uid"][:8], fields)


@asynccontextmanager
async def running_daemons(client: Client, namespace: str, folder: Path) -> AsyncIterator[Daemons]:
    """Run a vineyardd for each daemon's pod of a namespace, for as long as the pod is there."""
    daemons = Daemons(folder)
    label = "app.kubernetes.io/component=daemon"
    pods: Reflector[Object] = Reflector(
        client, PODS, lambda pod: pod, namespace=namespace, label_selector=label
    )
    pods.add_handler(daemons.seen)
    starting = asyncio.create_task(daemons.run())
    try:
        async with pods:
            yield daemons
    finally:
        starting.cancel()
        daemons.stop()
