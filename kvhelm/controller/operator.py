"""The operator: one loop a pool, and the process around it."""

import asyncio
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.api.status import Condition, FailedAttempt, PoolStatus
from kvhelm.controller.act import RECHECK_EVERY, Actor
from kvhelm.controller.decide import (
    Install,
    Nothing,
    Policy,
    PurgeMetadata,
    Step,
    Uninstall,
    Upgrade,
    decide,
)
from kvhelm.controller.http import serving
from kvhelm.controller.metrics import Metrics
from kvhelm.controller.observe import POOLS, Memory, Observer
from kvhelm.controller.report import is_progress, merge_patch, status_for
from kvhelm.controller.services import Services
from kvhelm.controller.settings import Settings
from kvhelm.controller.snapshot import Failure, PoolKey, Snapshot
from kvhelm.errors import KubeError, MetadataError
from kvhelm.helm.chart import Chart, load_chart
from kvhelm.helm.client import Helm
from kvhelm.helm.errors import HelmFailed
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.client import Client
from kvhelm.kube.errors import Conflict, Forbidden, NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.lease import LeaderElection
from kvhelm.kube.queue import WorkQueue

log = logging.getLogger(__name__)

_CONCURRENCY = 64
"""Pools worked on at a time: far more than helm processes, so that a scale never queues for one."""

_ORDINARY = frozenset({Reason.UPGRADING, Reason.SCALING, Reason.SUSPENDED, Reason.DELETING})
"""Reasons for which a pool stops to be Ready because someone asked for it."""

_FOR_ALL = frozenset({Reason.HELM_UNUSABLE, Reason.API_UNAVAILABLE})
"""Reasons that say nothing of one pool."""

_PROGRESS_EVERY = 0.25
"""Seconds that a status waits which shows nothing but progress."""

_RETRY = Backoff(1.0, 300.0)
"""Seconds between tries of a step that fails for a reason that may pass."""


class Reconciler:
    """Brings one pool a step nearer to its spec."""

    def __init__(
        self, observer: Observer, actor: Actor, queue: WorkQueue[PoolKey], metrics: Metrics
    ) -> None:
        self._observer = observer
        self._actor = actor
        self._queue = queue
        self._metrics = metrics
        self._policy = Policy(chart_digest=actor.chart.digest)
        self._told = ""

    async def reconcile(self, key: PoolKey) -> None:
        """Observe, decide, report, act; what acting changed is looked at again at once."""
        begun = monotonic()
        snapshot = self._observer.observe(key)
        if snapshot is None:
            return
        memory = self._observer.memory[key]
        step = decide(snapshot, self._policy)
        try:
            if await self._report(snapshot, step, memory):
                # The picture is older than our own write: take a new one.
                self._queue.add(key)
                return
            seconds = await self._actor.act(step, snapshot, memory)
            if isinstance(step, (Install, Upgrade, Uninstall, PurgeMetadata, Nothing)):
                memory.failure, memory.failures = None, 0
                self._told = ""
        except HelmFailed as error:
            seconds = self._remember_failure(snapshot, memory, error)
            if error.reason is Reason.FORBIDDEN and snapshot.pool.deleting:
                await self._look_at_namespace(snapshot, memory)
        except KubeError as error:
            seconds = self._remember_refusal(snapshot, memory, error)
            if isinstance(error, Forbidden) and snapshot.pool.deleting:
                await self._look_at_namespace(snapshot, memory)
        except MetadataError as error:
            self._put_off(snapshot, memory, Reason.METADATA_WAITING, str(error))
            seconds = 0
        finally:
            self._metrics.reconcile_seconds.labels(type(step).__name__).observe(monotonic() - begun)
        if seconds == 0:
            self._queue.add(key)
        elif seconds is not None:
            self._queue.add_after(key, seconds)

    def _remember_failure(self, snapshot: Snapshot, memory: Memory, error: HelmFailed) -> float:
        """Return 0: there is something new to report, and decide knows when to try again."""
        if error.transient:
            self._put_off(snapshot, memory, error.reason, str(error))
            return 0
        memory.failed = FailedAttempt(
            spec_digest=snapshot.spec_digest,
            chart_digest=self._policy.chart_digest,
            reason=error.reason,
            message=str(error),
            in_the_way=error.in_the_way,
        )
        memory.recheck_at = asyncio.get_running_loop().time() + RECHECK_EVERY
        log.warning("%s: %s: %s", snapshot.pool.key, error.reason, error)
        return 0

    def _remember_refusal(self, snapshot: Snapshot, memory: Memory, error: KubeError) -> float:
        """Return the seconds to wait: it may be the report itself that was refused."""
        if isinstance(error, NotFound):
            return 1.0  # gone since the snapshot: the watch will tell
        if isinstance(error, Conflict) and error.transient:
            return 0.05  # changed since the snapshot: the watch will tell
        reason = Reason.FORBIDDEN if isinstance(error, Forbidden) else Reason.API_UNAVAILABLE
        return self._put_off(snapshot, memory, reason, str(error))

    async def _look_at_namespace(self, snapshot: Snapshot, memory: Memory) -> None:
        """Find out whether we lost our rights because the namespace is being deleted.

        Its deletion takes RoleBindings and pools in any order (Kubernetes).
        """
        key = snapshot.pool.key
        try:
            memory.namespace_ends = await self._actor.namespace_ends(key.namespace)
        except KubeError as error:
            log.debug("cannot look at the namespace %s: %s", key.namespace, error)
            return
        if memory.namespace_ends:
            self._queue.add(key)

    def _put_off(self, snapshot: Snapshot, memory: Memory, reason: Reason, message: str) -> float:
        memory.failures += 1
        delay = _RETRY.delay(memory.failures)
        memory.retry_at = asyncio.get_running_loop().time() + delay
        about = (snapshot.spec_digest, snapshot.pool.deleting)
        # What is wrong for all pools is told once.
        told = self._told if reason in _FOR_ALL else memory.failure and memory.failure.message
        if told != message:
            self._told = message
            log.warning("%s: %s: %s; again in %.0f s", snapshot.pool.key, reason, message, delay)
        memory.failure = Failure(reason, message, about)
        return delay

    async def _report(self, snapshot: Snapshot, step: Step, memory: Memory) -> bool:
        """Write the status if it differs, mere progress a little later; tell whether it did."""
        pool = snapshot.pool
        now = datetime.now(UTC).replace(microsecond=0)
        chart = self._actor.chart.reference
        status = status_for(snapshot, step, self._policy, chart, now)
        patch = merge_patch(pool.raw.get("status") or {}, status.as_object())
        if not patch:
            memory.report_at = None
            return False
        if is_progress(pool.status, status):
            moment = asyncio.get_running_loop().time()
            if memory.report_at is None:
                memory.report_at = moment + _PROGRESS_EVERY
            if moment < memory.report_at:
                self._queue.add_after(pool.key, memory.report_at - moment)
                return False
        memory.report_at = None
        answer = await self._actor.client.patch_status(
            POOLS, pool.key.name, patch, pool.key.namespace
        )
        self._observer.watches(pool.key.namespace).pools.upsert(answer)
        self._tell(snapshot, pool.status, status)
        return True

    def _tell(self, snapshot: Snapshot, before: PoolStatus, after: PoolStatus) -> None:
        """Record an event for each condition that turned in a way a person wants to know."""
        known = {condition.type: condition for condition in before.conditions}
        for condition in after.conditions:
            old = known.get(condition.type)
            if _worth_telling(old, condition):
                good = (condition.status == "True") == (condition.type != ConditionType.STALLED)
                self._actor.events.record(
                    snapshot.pool.reference(),
                    "Normal" if good else "Warning",
                    condition.reason,
                    condition.message,
                )


def _worth_telling(old: Condition | None, new: Condition) -> bool:
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return False
    match new.type:
        case ConditionType.READY:
            was_ready = old is not None and old.status == "True"
            return new.status == "True" or (was_ready and new.reason not in _ORDINARY)
        case ConditionType.STALLED:
            return new.status == "True"
        case ConditionType.SCHEDULED:
            return new.status == "False"
    return False


class _LeaseLost(KubeError):
    """The API server was away for too long, or another took the Lease."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run the operator until `stop` is set: helm processes in flight end first.

    Whoever loses the Lease stands by again, with nothing remembered. Raises KvhelmError when it
    can't start (no chart, no configuration).
    """
    chart = load_chart(settings.chart)
    while not stop.is_set():
        try:
            await _run_until_lost(settings, chart, stop)
        except _LeaseLost as error:
            log.error("%s; starting over", error)


async def _run_until_lost(settings: Settings, chart: Chart, stop: asyncio.Event) -> None:
    metrics = Metrics()
    queue: WorkQueue[PoolKey] = WorkQueue()

    def changed(keys: Iterable[PoolKey]) -> None:
        for key in keys:
            queue.add(key)

    async with AsyncExitStack() as stack:
        client = await Client.connect(settings.kubeconfig, settings.context)
        await stack.enter_async_context(client)
        services = Services(settings.dial, changed)
        stack.push_async_callback(services.close)
        observer = Observer(client, settings.namespaces, settings.defaults, changed, services)
        await stack.enter_async_context(observer.watching())
        metrics.watch(client, observer, queue)
        synced = asyncio.create_task(observer.synced(), name="wait for the caches")
        port = await stack.enter_async_context(
            serving(
                settings.listen,
                metrics.registry,
                lambda: "" if synced.done() else "the caches are not filled yet",
            )
        )
        where = ", ".join(settings.namespaces) or "all namespaces"
        log.info("watching %s; chart %s; HTTP on port %d", where, chart.reference, port)
        if shutil.which(settings.helm) is None:
            log.warning("helm is not there (%s): pools wait until it is", settings.helm)
        events = await stack.enter_async_context(EventRecorder(client, "kvhelm"))
        helm = Helm(
            settings.helm,
            settings.helm_processes,
            settings.helm_deadline,
            _helm_environment(settings) | {"KUBECACHEDIR": stack.enter_context(_memory_folder())},
            metrics.helm_ended,
        )
        actor = Actor(client, helm, chart, observer, events, services)
        reconciler = Reconciler(observer, actor, queue, metrics)
        await _lead(settings, stop, client, synced, queue, reconciler, metrics)


async def _lead(
    settings: Settings,
    stop: asyncio.Event,
    client: Client,
    synced: "asyncio.Task[None]",
    queue: WorkQueue[PoolKey],
    reconciler: Reconciler,
    metrics: Metrics,
) -> None:
    election = LeaderElection(client, settings.lease_namespace, settings.lease_name)
    stopped = asyncio.create_task(stop.wait(), name="wait for the signal to stop")
    entering = asyncio.create_task(election.__aenter__(), name="wait to lead")
    await asyncio.wait([stopped, entering], return_when=asyncio.FIRST_COMPLETED)
    if not entering.done():
        entering.cancel()
        await asyncio.wait([entering])
        return
    try:
        await asyncio.wait([stopped, synced], return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            return
        metrics.leader.set(1)
        lost = asyncio.create_task(election.lost.wait(), name="watch the Lease")
        working = asyncio.create_task(queue.run(reconciler.reconcile, _CONCURRENCY))
        await asyncio.wait([stopped, lost], return_when=asyncio.FIRST_COMPLETED)
        metrics.leader.set(0)
        if lost.done():
            # Another may lead already: whatever is in flight must end now.
            working.cancel()
            await asyncio.wait([working])
            raise _LeaseLost("no longer the leader: the Lease was lost")
        log.info("stopping: %d pools in flight", queue.in_flight)
        await queue.drain()
        lost.cancel()
    finally:
        await election.__aexit__(None, None, None)


def _memory_folder() -> "TemporaryDirectory[str]":
    """Make a folder, in memory if there is such a place.

    Every helm process writes what it discovers of the API to some 40 files (helm 4.3 never takes
    them from an earlier process): on a disk that is a twentieth of its CPU time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a new folder of our own in it, mode 0700
    place = memory if os.access(memory, os.W_OK) else None
    return TemporaryDirectory(prefix="kvhelm-", dir=place)


def _helm_environment(settings: Settings) -> dict[str, str]:
    environment = {}
    if settings.kubeconfig:
        environment["KUBECONFIG"] = str(settings.kubeconfig)
    if settings.context:
        environment["HELM_KUBECONTEXT"] = settings.context
    return environment
