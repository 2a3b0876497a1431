"""Carry out the steps that concern a pool's Helm release: helm's verbs, and single revisions."""

from asyncio import get_running_loop
from dataclasses import dataclass
from functools import singledispatchmethod

from kvhelm.controller.memory import Memory
from kvhelm.controller.observe import Observer
from kvhelm.controller.revisions import RevisionSecrets
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import (
    Install,
    MarkHealthy,
    PruneHistory,
    ReadOrigin,
    ReleaseStep,
    Rollback,
    StampRevision,
    Uninstall,
    Unlock,
    Upgrade,
)
from kvhelm.controller.watches import KnownPool
from kvhelm.controller.workloads import Workload
from kvhelm.helm.chart import Chart
from kvhelm.helm.client import Helm
from kvhelm.helm.releases import Stamp
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.resource import STATEFUL_SETS
from kvhelm.values import place_digest

ENDING = 5.0
"""Seconds that deleted objects get to show it in the watches."""

_WATCH_LAG = 30.0
"""Seconds that a watch may take to show what helm did: mostly it was quicker than helm's end."""


@dataclass
class ReleaseActor:
    """Carries out release steps, as `Actor` does the others. Raises HelmFailed or KubeError."""

    client: Client
    helm: Helm
    chart: Chart
    observer: Observer
    events: EventRecorder

    def __post_init__(self) -> None:
        """Prepare; nothing is sent."""
        self._revisions = RevisionSecrets(self.client, self.observer)

    @singledispatchmethod
    async def act(self, step: ReleaseStep, snapshot: Snapshot, memory: Memory) -> float | None:
        """Carry out the step; the pool is to be looked at again after so many seconds."""
        raise NotImplementedError(type(step).__name__)

    @act.register
    async def _(self, step: Install, snapshot: Snapshot, memory: Memory) -> float:
        if memory.had_release:
            memory.had_release = False
            self.events.record(
                snapshot.pool.reference(),
                "Warning",
                "ReleaseGone",
                f"Release {snapshot.pool.release} is gone, though its pool is not: someone else "
                "uninstalled it, or deleted its history. It is installed again",
            )
        return await self._upgrade(snapshot, memory, 1, parked=step.parked)

    @act.register
    async def _(self, step: Upgrade, snapshot: Snapshot, memory: Memory) -> float:
        return await self._upgrade(snapshot, memory, step.revision, parked=False)

    @act.register
    async def _(self, step: Rollback, snapshot: Snapshot, memory: Memory) -> float:
        pool = snapshot.pool
        async with self.helm.slots:
            if not self._unchanged(snapshot):
                return 0
            try:
                await self.helm.rollback(pool.release, pool.key.namespace, step.to, step.why)
            finally:
                memory.helm_ended = step.revision
        said = f"Release {pool.release} revision {step.revision}: back to {step.to}; {step.why}"
        self.events.record(pool.reference(), "Normal", "ReleaseRolledBack", said)
        return await self._made(snapshot, memory, step.revision)

    @act.register
    async def _(self, step: ReadOrigin, snapshot: Snapshot, memory: Memory) -> float:
        assert snapshot.current  # noqa: S101 - decide takes this step only then
        memory.origin = await self._revisions.origin(snapshot.current)
        return 0

    @act.register
    async def _(self, step: StampRevision, snapshot: Snapshot, memory: Memory) -> float:
        assert snapshot.current and snapshot.current.carried  # noqa: S101 - and this only then
        await self._revisions.stamp(snapshot.current, snapshot.current.carried[1])
        return 0

    @act.register
    async def _(self, step: Unlock, snapshot: Snapshot, memory: Memory) -> float:
        assert snapshot.current  # noqa: S101 - decide takes this step only then
        if step.own_child:
            memory.helm_ended = 0  # whatever becomes of it: the proof is good for one try
        freed = await self._revisions.unlock(snapshot.current, own_child=step.own_child)
        if freed:
            self.events.record(
                snapshot.pool.reference(), "Warning", "ReleaseFreed", f"Release freed: {step.why}"
            )
        return 0

    @act.register
    async def _(self, step: MarkHealthy, snapshot: Snapshot, memory: Memory) -> float:
        assert snapshot.current  # noqa: S101 - decide takes this step only then
        for workload in snapshot.workloads:
            # What was ready may be the revision before: the watches don't wait for each other.
            await self._refresh(workload)
            seen = self.observer.watches(workload.namespace).workloads.get(workload.key)
            if seen is None or not seen.rolled_out:
                return 0
        await self._revisions.mark_healthy(snapshot.current)
        return 0

    @act.register
    async def _(self, step: PruneHistory, snapshot: Snapshot, memory: Memory) -> None:
        await self._revisions.prune(snapshot.pool.key.namespace, step.secrets)

    @act.register
    async def _(self, step: Uninstall, snapshot: Snapshot, memory: Memory) -> float:
        pool = snapshot.pool
        async with self.helm.slots:
            await self.helm.uninstall(pool.release, pool.key.namespace)
        memory.uninstalled = True
        memory.strays_at = get_running_loop().time() + ENDING
        memory.expected_until = get_running_loop().time() + _WATCH_LAG
        self.events.record(
            pool.reference(), "Normal", "Uninstalled", f"Release {pool.release} uninstalled"
        )
        return 0

    async def _upgrade(
        self, snapshot: Snapshot, memory: Memory, revision: int, *, parked: bool
    ) -> float:
        pool = snapshot.pool
        async with self.helm.slots:
            known = self._unchanged(snapshot)
            if known is None or known.values is None:
                return 0
            values = known.values
            if parked:
                values = {**values, "pool": {**values["pool"], "parked": True}}
            chart = self.chart
            stamp = Stamp(
                snapshot.spec_digest,
                chart.digest,
                pool.uid,
                chart.reference,
                parked,
                port=known.pool.spec.service.port if known.pool.spec else None,
                place=place_digest(known.place),
                asked=known.asked,
            )
            try:
                await self.helm.upgrade(
                    pool.release,
                    pool.key.namespace,
                    self.chart,
                    values,
                    revision=revision,
                    stamp=stamp,
                )
            finally:
                memory.helm_ended = revision
        before = snapshot.current
        if before and before.stamp is None and before.status == "deployed":
            self.events.record(
                pool.reference(),
                "Warning",
                "ForeignRevision",
                f"Revision {before.number} was made by someone else with helm: revision {revision} "
                "puts it right. Change the pool instead",
            )
        self.events.record(
            pool.reference(),
            "Normal",
            "Installed" if revision == 1 else "Upgraded",
            f"Release {pool.release} revision {revision} of {self.chart.reference}",
        )
        return await self._made(snapshot, memory, revision)

    def _unchanged(self, snapshot: Snapshot) -> KnownPool | None:
        """Return the pool if it asks for the same as in the snapshot still; None to look again.

        Who waited for a turn to run helm must not make what nobody wants any more.
        """
        pool, known = snapshot.pool, self.observer.known(snapshot.pool.key)
        if (
            known is None
            or known.pool.deleting
            or known.spec_digest != snapshot.spec_digest
            or known.pool.rollback_to != pool.rollback_to
        ):
            return None
        return known

    async def _made(self, snapshot: Snapshot, memory: Memory, revision: int) -> float:
        """Note that helm made a revision."""
        memory.expected_revision = revision
        memory.expected_until = get_running_loop().time() + _WATCH_LAG
        for workload in snapshot.workloads:
            # The watch of revisions may be ahead of that of StatefulSets: an old one in the cache
            # would pass for the new one, rolled out already.
            await self._refresh(workload)
        return 0

    async def _refresh(self, workload: Workload) -> None:
        try:
            answer = await self.client.get(STATEFUL_SETS, workload.name, workload.namespace)
        except NotFound:
            return  # no part of the release any more: the watch will tell
        self.observer.watches(workload.namespace).workloads.upsert(answer)
