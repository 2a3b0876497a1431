"""Carry out the steps that concern a pool's metadata service, or the daemons because of it."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import singledispatchmethod

from kvhelm.controller.memory import Memory
from kvhelm.controller.observe import Observer
from kvhelm.controller.pool import Pool
from kvhelm.controller.services import Services
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import (
    Claim,
    LookAtRegistered,
    MendMetadata,
    MetadataStep,
    Preflight,
    PurgeLeft,
    PurgeMetadata,
    RemoveRegistration,
    RestartDaemons,
)
from kvhelm.controller.workloads import Pod
from kvhelm.errors import MetadataError
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.client import Client
from kvhelm.kube.errors import Conflict, NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.resource import PODS
from kvhelm.metadata.service import Purged
from kvhelm.values import Place

log = logging.getLogger(__name__)

_LEFT_RETRY = Backoff(5.0, 300.0)
"""Seconds between tries to purge a place that a living pool has left."""


@dataclass
class MetadataActor:
    """Carries out metadata steps, as `Actor` does the others. Raises MetadataError or KubeError."""

    client: Client
    events: EventRecorder
    services: Services
    observer: Observer

    @singledispatchmethod
    async def act(self, step: MetadataStep, snapshot: Snapshot, memory: Memory) -> float:
        """Carry out the step; the pool is to be looked at again after so many seconds."""
        raise NotImplementedError(type(step).__name__)

    @act.register
    async def _(self, step: Preflight, snapshot: Snapshot, memory: Memory) -> float:
        pool, place = snapshot.pool, _place_of(snapshot)
        await self.services.preflight(pool.key, place, pool.uid)
        return 0

    @act.register
    async def _(self, step: Claim, snapshot: Snapshot, memory: Memory) -> float:
        pool, place = snapshot.pool, _place_of(snapshot)
        await self.services.claim(pool.key, place, pool.uid)
        return 0

    @act.register
    async def _(self, step: LookAtRegistered, snapshot: Snapshot, memory: Memory) -> float:
        await self.services.look(snapshot.pool.key)
        return 0

    @act.register
    async def _(self, step: RemoveRegistration, snapshot: Snapshot, memory: Memory) -> float:
        pool, place, gone = snapshot.pool, _place_of(snapshot), step.member
        if await self.services.remove(pool.key, place, pool.uid, gone):
            self.events.record(
                pool.reference(),
                "Normal",
                "MemberRemoved",
                f"Entry i{gone.instance} ({gone.rpc_endpoint or 'torn'}) removed: its daemon is "
                "gone and left it behind",
            )
        return 0

    @act.register
    async def _(self, step: MendMetadata, snapshot: Snapshot, memory: Memory) -> float:
        # Killed in between, it is done again: the claim comes last, and tells that it was done.
        pool, place = snapshot.pool, _place_of(snapshot)
        await self.services.reserve(pool.key, place, pool.uid)
        daemons = [pod for pod in snapshot.pods if pod.component == "daemon" and not pod.ending]
        await self._delete(daemons)
        await self.services.claim_again(pool.key, place, pool.uid)
        self._mended(step, pool, memory, len(daemons))
        return 0

    @act.register
    async def _(self, step: RestartDaemons, snapshot: Snapshot, memory: Memory) -> float:
        # Killed in between, it is done again for those that are left.
        await self._delete(step.pods)
        self._mended(step, snapshot.pool, memory, len(step.pods))
        return 0

    @act.register
    async def _(self, step: PurgeMetadata, snapshot: Snapshot, memory: Memory) -> float:
        pool, place = snapshot.pool, _place_of(snapshot)
        purged = await self.services.purge(pool.key, place, pool.uid)
        memory.purged = True
        self._tell(pool, place, purged)
        return 0

    @act.register
    async def _(self, step: PurgeLeft, snapshot: Snapshot, memory: Memory) -> float:
        pool, place = snapshot.pool, step.place
        try:
            purged = await self.services.purge_left(pool.key, place, pool.uid)
        except MetadataError as error:
            if pool.deleting:
                raise
            # The service may be gone for good, and the pool moved because of that.
            memory.left_failures += 1
            delay = _LEFT_RETRY.delay(memory.left_failures)
            memory.left_at = asyncio.get_running_loop().time() + delay
            log.info("%s: keys left at %s stay for now: %s", pool.key, place.endpoints[0], error)
            return delay
        memory.left_failures = 0
        memory.left_purged |= {place}
        if purged:
            self._tell(pool, place, purged)
        return 0

    async def _delete(self, daemons: Iterable[Pod]) -> None:
        """End daemons; the StatefulSet starts them in order, each when the one before is ready."""
        for pod in daemons:
            with suppress(NotFound, Conflict):
                gone = await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
                if gone.get("kind") == PODS.kind:
                    self.observer.watches(pod.namespace).pods.upsert(gone)

    def _mended(self, step: MetadataStep, pool: Pool, memory: Memory, daemons: int) -> None:
        memory.mended_at = datetime.now(UTC).replace(microsecond=0)
        self.events.record(
            pool.reference(),
            "Warning",
            "DaemonsRestarted",
            f"{step.why[:1].upper()}{step.why[1:]}: "
            f"{'1 daemon is' if daemons == 1 else f'{daemons} daemons are'} restarted in order, "
            "since none registers again by itself. Their objects in the pool are lost.",
        )

    def _tell(self, pool: Pool, place: Place, purged: Purged) -> None:
        said = f"{purged.keys} keys of {place.kind} {place.endpoints[0]} deleted"
        if purged.remaining:
            said += (
                f"; {purged.remaining} keys stay, since {place.kind} can't tell whose they are: "
                "empty it before another pool uses it"
            )
        if purged.refused:
            said = f"Nothing deleted: {purged.refused.message}"
        kept = purged.remaining or purged.refused
        reference = pool.reference()
        self.events.record(reference, "Warning" if kept else "Normal", "MetadataPurged", said)


def _place_of(snapshot: Snapshot) -> Place:
    assert snapshot.service is not None  # noqa: S101 - decide takes these steps only then
    return snapshot.service.place
