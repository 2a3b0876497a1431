"""One pool's loop: observe, decide, report, act."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.api.status import Condition, FailedAttempt, PoolStatus
from kvhelm.controller.act import RECHECK_EVERY, Actor
from kvhelm.controller.decide import decide
from kvhelm.controller.memory import Memory
from kvhelm.controller.metrics import Metrics
from kvhelm.controller.observe import Observer
from kvhelm.controller.policy import Policy
from kvhelm.controller.pool import PoolKey
from kvhelm.controller.report import is_progress, merge_patch, status_for
from kvhelm.controller.rollback import goal_for
from kvhelm.controller.rollout import Rollout
from kvhelm.controller.snapshot import About, Failure, Snapshot
from kvhelm.controller.steps import (
    Install,
    LookAtRegistered,
    MendMetadata,
    Nothing,
    PurgeMetadata,
    RemoveRegistration,
    Repair,
    RestartDaemons,
    Rollback,
    Step,
    Uninstall,
    Upgrade,
    Wait,
)
from kvhelm.controller.watches import POOLS
from kvhelm.controller.waves import place_for
from kvhelm.errors import KubeError, MetadataError
from kvhelm.helm.errors import HelmFailed
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.errors import Conflict, Forbidden, NotFound
from kvhelm.kube.queue import WorkQueue
from kvhelm.metadata.findings import ServiceFailed

log = logging.getLogger(__name__)

_ORDINARY = frozenset(
    {
        Reason.UPGRADING,
        Reason.ROLLING_BACK,
        Reason.SCALING,
        Reason.SUSPENDED,
        Reason.DELETING,
    }
)
"""Reasons for which a pool stops to be Ready because someone asked for it."""

_FOR_ALL = frozenset({Reason.HELM_UNUSABLE, Reason.API_UNAVAILABLE})
"""Reasons that say nothing of one pool."""

_PROGRESS_EVERY = 0.25
"""Seconds that a status waits which shows nothing but progress."""

_ENDS_FAILURE = (
    Install,
    Upgrade,
    Rollback,
    Uninstall,
    PurgeMetadata,
    LookAtRegistered,
    RemoveRegistration,
    MendMetadata,
    RestartDaemons,
    Repair,
    Nothing,
)
"""Steps after which what failed before is no news any more."""

_RETRY = Backoff(1.0, 300.0)
"""Seconds between tries of a step that fails for a reason that may pass."""


class Reconciler:
    """Brings one pool a step nearer to its spec."""

    def __init__(
        self,
        observer: Observer,
        actor: Actor,
        queue: WorkQueue[PoolKey],
        metrics: Metrics,
        rollout: Rollout,
    ) -> None:
        self._observer = observer
        self._rollout = rollout
        self._actor = actor
        self._queue = queue
        self._metrics = metrics
        self._policy = Policy(actor.chart.digest, actor.helm.gone_after)
        self._told = ""

    async def reconcile(self, key: PoolKey) -> None:
        """Observe, decide, report, act; what acting changed is looked at again at once."""
        begun = monotonic()
        snapshot = self._placed(key)
        if snapshot is None:
            return
        memory = self._observer.memory[key]
        step = decide(snapshot, self._policy)
        try:
            if not step.before_report and await self._report(snapshot, step, memory):
                # The picture is older than our own write: take a new one.
                self._queue.add(key)
                return
            seconds = await self._actor.act(step, snapshot, memory)
            if isinstance(step, _ENDS_FAILURE) or (
                isinstance(step, Wait) and snapshot.retry_in == 0
            ):
                if memory.failure and isinstance(step, (Nothing, Wait)):
                    seconds = 0  # the status has it still
                memory.failure, memory.failures = None, 0
                self._told = ""
        except HelmFailed as error:
            seconds = self._remember_failure(snapshot, memory, error)
            if snapshot.pool.deleting:
                await self._look_at_namespace(snapshot, memory)
        except KubeError as error:
            seconds = self._remember_refusal(snapshot, memory, error)
            if isinstance(error, Forbidden) and snapshot.pool.deleting:
                await self._look_at_namespace(snapshot, memory)
        except MetadataError as error:
            reason: str = Reason.METADATA_WAITING
            if isinstance(error, ServiceFailed) and not snapshot.pool.deleting:
                reason = error.reason
            self._put_off(snapshot, memory, reason, str(error))
            seconds = 0
        finally:
            self._metrics.reconcile_seconds.labels(type(step).__name__).observe(monotonic() - begun)
        if seconds == 0:
            self._queue.add(key)
        elif seconds is not None:
            self._queue.add_after(key, seconds)

    def _placed(self, key: PoolKey) -> Snapshot | None:
        """Return the picture of a pool and tell the rollout of it; None if the pool is gone."""
        snapshot = self._observer.observe(key)
        if snapshot is None:
            self._rollout.seen(key, None)
            return None
        snapshot = replace(snapshot, turn=self._rollout.admits(key))
        self._rollout.seen(key, place_for(snapshot, self._policy))
        return snapshot

    def _remember_failure(self, snapshot: Snapshot, memory: Memory, error: HelmFailed) -> float:
        """Return 0: there is something new to report, and decide knows when to try again."""
        if error.transient or snapshot.pool.deleting:
            # (What blocks an uninstall may always go by itself, with the rest of its namespace.)
            self._put_off(snapshot, memory, error.reason, str(error))
            return 0
        asked = (snapshot.spec_digest, self._policy.chart_digest)
        spec_digest, chart_digest = goal_for(snapshot, self._policy).digests or asked
        memory.failed = FailedAttempt(
            spec_digest=spec_digest,
            chart_digest=chart_digest,
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

    def _put_off(self, snapshot: Snapshot, memory: Memory, reason: str, message: str) -> float:
        memory.failures += 1
        delay = _RETRY.delay(memory.failures)
        memory.retry_at = asyncio.get_running_loop().time() + delay
        about = About(snapshot.spec_digest, snapshot.pool.deleting, snapshot.pool.rollback_to)
        # What is wrong for all pools is told once.
        told = self._told if reason in _FOR_ALL else memory.failure and memory.failure.message
        if told != message:
            self._told = message
            log.warning("%s: %s: %s; again in %.0f s", snapshot.pool.key, reason, message, delay)
        memory.failure = Failure(reason, message, about)
        return delay

    async def _report(self, snapshot: Snapshot, step: Step, memory: Memory) -> bool:
        """Write the status if it differs, mere progress a little later; tell whether it did."""
        if snapshot.namespace_ends:
            return False  # nobody will read it, and we may not write it any more
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
