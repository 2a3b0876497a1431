"""Carry out one step: one effect each, idempotent, with a deadline."""

from asyncio import get_running_loop
from dataclasses import dataclass
from functools import singledispatchmethod

from kvhelm.controller.act_on_metadata import MetadataActor
from kvhelm.controller.leftovers import Leftovers
from kvhelm.controller.observe import POOLS, Memory, Observer
from kvhelm.controller.repair import Repairer
from kvhelm.controller.revisions import RevisionSecrets
from kvhelm.controller.services import Services
from kvhelm.controller.snapshot import (
    FINALIZER,
    REPLICAS_MANAGER,
    Pool,
    Snapshot,
    Workload,
    pool_from,
)
from kvhelm.controller.steps import (
    AddFinalizer,
    DeleteStrays,
    Install,
    MarkHealthy,
    MetadataStep,
    PruneHistory,
    Recheck,
    RemoveFinalizer,
    Repair,
    ReplaceStuckPod,
    Scale,
    Step,
    Uninstall,
    Unlock,
    Upgrade,
    VerifyUninstalled,
)
from kvhelm.helm.chart import Chart
from kvhelm.helm.client import Helm
from kvhelm.helm.releases import Stamp
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.resource import (
    CONFIG_MAPS,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
)

RELEASE_KINDS = (
    SERVICES,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    POD_DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    STATEFUL_SETS,
    PODS,
    PERSISTENT_VOLUME_CLAIMS,
)
"""The kinds of object that a release makes."""

RECHECK_EVERY = 30.0
"""Seconds between looks at a foreign object in the way."""

_WATCH_LAG = 30.0
"""Seconds that a watch may take to show what helm did: mostly it was quicker than helm's end."""

_POD_ENDS = 1.0
"""Seconds that the watch may take to show a pod that was deleted."""

_ENDING = 5.0
"""Seconds that deleted objects get to show it in the watches."""

_VERIFY_EVERY = 2.0
"""Seconds between looks at what an uninstall left."""


@dataclass
class Actor:
    """Carries out steps. `act` returns the seconds after which to look again, None for never.

    Raises HelmFailed or KubeError; nothing of a step that failed is lost, since the next decision
    is taken from what the cluster then is.
    """

    client: Client
    helm: Helm
    chart: Chart
    observer: Observer
    events: EventRecorder
    services: Services

    def __post_init__(self) -> None:
        """Prepare; nothing is sent."""
        self._revisions = RevisionSecrets(self.client, self.observer)
        self._leftovers = Leftovers(self.client, self.events)
        self._metadata = MetadataActor(self.client, self.events, self.services)

    @singledispatchmethod
    async def act(self, step: Step, snapshot: Snapshot, memory: Memory) -> float | None:
        """Carry out the step."""
        return getattr(step, "seconds", 0) or None

    @act.register
    async def _(self, step: AddFinalizer, snapshot: Snapshot, memory: Memory) -> float:
        await self._write_finalizers(snapshot.pool, [*snapshot.pool.finalizers, FINALIZER])
        return 0

    @act.register
    async def _(self, step: RemoveFinalizer, snapshot: Snapshot, memory: Memory) -> None:
        await self._remove_finalizer(snapshot)

    @act.register
    async def _(self, step: Install, snapshot: Snapshot, memory: Memory) -> float:
        return await self._upgrade(snapshot, memory, 1, parked=step.parked)

    @act.register
    async def _(self, step: Upgrade, snapshot: Snapshot, memory: Memory) -> float:
        return await self._upgrade(snapshot, memory, step.revision, parked=False)

    @act.register
    async def _(self, step: Scale, snapshot: Snapshot, memory: Memory) -> float:
        answer = await self.client.apply(
            STATEFUL_SETS,
            {"metadata": {"name": step.statefulset}, "spec": {"replicas": step.replicas}},
            snapshot.pool.key.namespace,
            field_manager=REPLICAS_MANAGER,
            force=True,
        )
        self.observer.watches(snapshot.pool.key.namespace).workloads.upsert(answer)
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
    async def _(self, step: Repair, snapshot: Snapshot, memory: Memory) -> float:
        assert snapshot.current is not None  # noqa: S101 - decide takes this step only then
        repairer = Repairer(self.client, self.observer, self.events)
        done = await repairer.repair(snapshot, snapshot.current, for_helm=step.for_helm)
        memory.fields_seen = done.fields
        if done.all_right:
            memory.fields_verified = done.fields
        if done.objects:
            memory.repairs.append(get_running_loop().time())
        return 0

    @act.register
    async def _(self, step: ReplaceStuckPod, snapshot: Snapshot, memory: Memory) -> float:
        pool = snapshot.pool
        # (Gone or another one by now: the error says so, and the watch will tell.)
        gone = await self.client.delete(PODS, step.pod, pool.key.namespace, uid=step.uid)
        if gone.get("kind") == PODS.kind:
            self.observer.watches(pool.key.namespace).pods.upsert(gone)
        self.events.record(
            pool.reference(), "Normal", "PodReplaced", f"Deleted to be made anew: {step.why}"
        )
        return _POD_ENDS

    @act.register
    async def _(self, step: PruneHistory, snapshot: Snapshot, memory: Memory) -> None:
        await self._revisions.prune(snapshot.pool.key.namespace, step.secrets)

    @act.register
    async def _(self, step: Uninstall, snapshot: Snapshot, memory: Memory) -> float:
        pool = snapshot.pool
        async with self.helm.slots:
            await self.helm.uninstall(pool.release, pool.key.namespace)
        memory.uninstalled = True
        memory.strays_at = get_running_loop().time() + _ENDING
        memory.expected_until = get_running_loop().time() + _WATCH_LAG
        self.events.record(
            pool.reference(), "Normal", "Uninstalled", f"Release {pool.release} uninstalled"
        )
        return 0

    @act.register
    async def _(self, step: DeleteStrays, snapshot: Snapshot, memory: Memory) -> float:
        await self._leftovers.delete(snapshot.pool, step.strays)
        memory.strays_at = get_running_loop().time() + _ENDING
        return 0

    @act.register
    async def _(self, step: VerifyUninstalled, snapshot: Snapshot, memory: Memory) -> float | None:
        memory.leftovers = await self._leftovers.find(snapshot.pool)
        memory.verified = not memory.leftovers
        return 0 if memory.verified else _VERIFY_EVERY

    @act.register
    async def _(self, step: MetadataStep, snapshot: Snapshot, memory: Memory) -> float:
        return await self._metadata.act(step, snapshot, memory)

    @act.register
    async def _(self, step: Recheck, snapshot: Snapshot, memory: Memory) -> float:
        memory.recheck_at = get_running_loop().time() + RECHECK_EVERY
        word, _, name = step.in_the_way.partition("/")
        kind = next((each for each in RELEASE_KINDS if each.kind == word), None)
        if kind is not None:
            try:
                await self.client.get(kind, name, snapshot.pool.key.namespace, metadata_only=True)
            except NotFound:
                memory.failed = None
                return 0
        return RECHECK_EVERY

    async def _upgrade(
        self, snapshot: Snapshot, memory: Memory, revision: int, *, parked: bool
    ) -> float:
        pool = snapshot.pool
        async with self.helm.slots:
            known = self.observer.known(pool.key)
            if (
                known is None
                or known.values is None
                or known.pool.deleting
                or known.spec_digest != snapshot.spec_digest
            ):
                return 0  # changed while it waited for its turn: look again
            values = known.values
            if parked:
                values = {**values, "pool": {**values["pool"], "parked": True}}
            stamp = Stamp(snapshot.spec_digest, self.chart.digest, pool.uid, self.chart.reference)
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
        memory.expected_revision = revision
        memory.expected_until = get_running_loop().time() + _WATCH_LAG
        self.events.record(
            pool.reference(),
            "Normal",
            "Installed" if revision == 1 else "Upgraded",
            f"Release {pool.release} revision {revision} of {self.chart.reference}",
        )
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

    async def _write_finalizers(self, pool: Pool, finalizers: list[str]) -> None:
        answer = await self.client.patch(
            POOLS,
            pool.key.name,
            {
                "metadata": {
                    "finalizers": finalizers,
                    # Others' finalizers may have come or gone since.
                    "resourceVersion": pool.raw["metadata"]["resourceVersion"],
                }
            },
            pool.key.namespace,
        )
        if answer["metadata"].get("deletionTimestamp") is None or finalizers:
            self.observer.watches(pool.key.namespace).pools.upsert(answer)

    async def _remove_finalizer(self, snapshot: Snapshot) -> None:
        pool = snapshot.pool
        if snapshot.namespace_ends:
            # The watch may have ended with our rights in the namespace.
            pool = pool_from(await self.client.get(POOLS, pool.key.name, pool.key.namespace))
        others = [each for each in pool.finalizers if each != FINALIZER]
        try:
            await self._write_finalizers(pool, others)
        except NotFound:
            return

    async def namespace_ends(self, namespace: str) -> bool:
        """Tell whether a namespace is being deleted."""
        try:
            found = await self.client.get(NAMESPACES, namespace, metadata_only=True)
        except NotFound:
            return True
        return "deletionTimestamp" in found["metadata"]
