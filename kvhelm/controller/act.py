"""Carry out one step: one effect each, idempotent, with a deadline."""

from asyncio import get_running_loop
from dataclasses import dataclass
from functools import singledispatchmethod

from kvhelm.controller.act_on_metadata import MetadataActor
from kvhelm.controller.act_on_release import ENDING, ReleaseActor
from kvhelm.controller.leftovers import Leftovers
from kvhelm.controller.memory import Memory
from kvhelm.controller.observe import Observer
from kvhelm.controller.pool import FINALIZER, Pool, pool_from
from kvhelm.controller.repair import Repairer
from kvhelm.controller.services import Services
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import (
    AddFinalizer,
    DeleteStrays,
    MetadataStep,
    Recheck,
    ReleaseStep,
    RemoveFinalizer,
    Repair,
    ReplaceStuckPod,
    Scale,
    Step,
    VerifyUninstalled,
)
from kvhelm.controller.watches import POOLS
from kvhelm.controller.workloads import REPLICAS_MANAGER
from kvhelm.helm.chart import Chart
from kvhelm.helm.client import Helm
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

_POD_ENDS = 1.0
"""Seconds that the watch may take to show a pod that was deleted."""

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
        self._release = ReleaseActor(self.client, self.helm, self.chart, self.observer, self.events)
        self._leftovers = Leftovers(self.client, self.events)
        self._metadata = MetadataActor(self.client, self.events, self.services, self.observer)

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
    async def _(self, step: DeleteStrays, snapshot: Snapshot, memory: Memory) -> float:
        await self._leftovers.delete(snapshot.pool, step.strays)
        memory.strays_at = get_running_loop().time() + ENDING
        return 0

    @act.register
    async def _(self, step: VerifyUninstalled, snapshot: Snapshot, memory: Memory) -> float | None:
        memory.leftovers = await self._leftovers.find(snapshot.pool)
        memory.verified = not memory.leftovers
        return 0 if memory.verified else _VERIFY_EVERY

    @act.register
    async def _(self, step: ReleaseStep, snapshot: Snapshot, memory: Memory) -> float | None:
        return await self._release.act(step, snapshot, memory)

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
