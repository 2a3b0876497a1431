"""The moments at which something became true of an object, seen by a watch."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from kvhelm.errors import KvhelmError
from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import Object, Resource

Holds = Callable[[Object | None], bool]
"""Asked of an object whenever it changes; None is one that is gone."""

_PATIENCE = 120.0
"""Seconds for anything to happen, and a few more for each object that is waited for."""
_PATIENCE_EACH = 5.0


class Watch:
    """All objects of a resource in one namespace."""

    def __init__(self, client: Client, resource: Resource, namespace: str) -> None:
        self.reflector: Reflector[Object] = Reflector(client, resource, namespace=namespace)
        self.reflector.add_handler(self._changed)
        self._namespace = namespace
        self._waiting: dict[str, list[tuple[Holds, asyncio.Future[float]]]] = defaultdict(list)

    async def moment(self, name: str, holds: Holds) -> float:
        """Return the time, on the event loop's clock, at which `holds` became true.

        Now, if it is already. Raises KvhelmError when it does not within minutes.
        """
        return await self.last_moment([name], holds)

    async def last_moment(self, names: Iterable[str], holds: Holds) -> float:
        """Return when `holds` had become true of each of the objects."""
        loop = asyncio.get_running_loop()
        moments: dict[str, asyncio.Future[float]] = {}
        for name in names:
            moments[name] = loop.create_future()
            if holds(self.reflector.get((self._namespace, name))):
                moments[name].set_result(loop.time())
            else:
                self._waiting[name].append((holds, moments[name]))
        try:
            async with asyncio.timeout(_PATIENCE + _PATIENCE_EACH * len(moments)):
                return max(await asyncio.gather(*moments.values()))
        except TimeoutError:
            late = [name for name, moment in moments.items() if moment.cancelled()]
            last = self.reflector.get((self._namespace, late[0]))
            raise KvhelmError(
                f"given up: {len(late)} of {len(moments)} {self.reflector.resource.plural} are "
                f"not as awaited; {late[0]} is {last}"
            ) from None

    def _changed(self, old: Object | None, new: Object | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if name not in self._waiting:
            return
        now = asyncio.get_running_loop().time()
        still = []
        for holds, moment in self._waiting.pop(name):
            if not moment.done() and holds(new):
                moment.set_result(now)
            elif not moment.done():
                still.append((holds, moment))
        if still:
            self._waiting[name] = still


@asynccontextmanager
async def watching(client: Client, resource: Resource, namespace: str) -> AsyncIterator[Watch]:
    """Watch the objects of a namespace while the context lasts; all are known when it begins."""
    watch = Watch(client, resource, namespace)
    async with watch.reflector:
        await watch.reflector.synced.wait()
        yield watch
