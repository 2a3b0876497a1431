"""The conditions of a pool, before they have a time: pure."""

from dataclasses import dataclass
from typing import Literal

from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.api.status import Condition
from kvhelm.controller.last_words import Cause, first_cause
from kvhelm.controller.membership import daemons_cut_off
from kvhelm.controller.own_etcd import daemons_behind, mend_in
from kvhelm.controller.policy import Policy
from kvhelm.controller.pool import ABANDON
from kvhelm.controller.registered import Registered
from kvhelm.controller.rollback import Goal, differs, goal_for, standing_stall
from kvhelm.controller.service_view import ServiceView
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import Recheck, Stall, Step
from kvhelm.controller.workloads import Workload
from kvhelm.metadata.loss import MEND_AT_MOST_EVERY
from kvhelm.metadata.loss import Verdict as Loss

State = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Verdict:
    """One condition before it has a time: status, reason and a sentence."""

    status: State
    reason: str
    message: str


def verdicts_for(snapshot: Snapshot, step: Step, policy: Policy) -> dict[ConditionType, Verdict]:
    """Return every condition of the pool."""
    goal = goal_for(snapshot, policy)
    stalled = _stalled(snapshot, step, policy, goal)
    scheduled = _scheduled(snapshot)
    metadata = _metadata_ready(snapshot, goal)
    ready = _ready(snapshot, goal, stalled, metadata, scheduled)
    done = ready.status == "True" or stalled or ready.reason is Reason.SUSPENDED
    return {
        ConditionType.READY: ready,
        ConditionType.RECONCILING: Verdict("False", Reason.DONE, "")
        if done
        else Verdict("True", ready.reason, ready.message),
        ConditionType.STALLED: stalled or Verdict("False", Reason.DONE, ""),
        ConditionType.AVAILABLE: _available(snapshot),
        ConditionType.METADATA_READY: metadata,
        ConditionType.SCHEDULED: scheduled,
    }


def _ready(
    snapshot: Snapshot,
    goal: Goal,
    stalled: Verdict | None,
    metadata: Verdict,
    scheduled: Verdict,
) -> Verdict:
    pool = snapshot.pool
    if pool.deleting:
        return _deleting(snapshot)
    if stalled:
        return Verdict("False", stalled.reason, stalled.message)
    if pool.spec is None or pool.spec.suspend:
        return Verdict("Unknown", Reason.SUSPENDED, Reason.SUSPENDED.meaning)
    if not snapshot.claimed and metadata.status == "False" and snapshot.service:
        return Verdict("False", metadata.reason, metadata.message)
    if snapshot.failure:
        return Verdict("False", snapshot.failure.reason, snapshot.failure.message)
    if snapshot.current is None:
        return Verdict("False", Reason.INSTALLING, Reason.INSTALLING.meaning)
    if differs(snapshot, goal) or snapshot.daemons is None:
        first = snapshot.current.number == 1 and snapshot.current.status != "deployed"
        reason = Reason.INSTALLING if first or snapshot.daemons is None else Reason.UPGRADING
        if goal.pinned:
            reason = Reason.ROLLING_BACK
        return Verdict("False", reason, reason.meaning)
    cause = _cause(snapshot, "daemon")
    rollout = _rollout(snapshot.daemons, pool.spec.replicas, metadata, scheduled, cause)
    ending = sum(pod.ending for pod in snapshot.pods if pod.component == "daemon")
    if ending and rollout.status == "True":
        # Kubernetes counts a pod that ends among the ready ones for a moment.
        return Verdict("False", Reason.PODS_NOT_READY, f"{_daemons(ending)} being replaced")
    if goal.pinned and rollout.status == "True":
        at = f"{rollout.message}; at revision {goal.pinned.revision}, as spec.rollbackTo says"
        return Verdict("True", Reason.ROLLED_BACK, at)
    if goal.waits and rollout.status == "True":
        return Verdict("True", rollout.reason, f"{rollout.message}; a new chart comes in its turn")
    return rollout


def _deleting(snapshot: Snapshot) -> Verdict:
    if snapshot.verified and snapshot.failure:
        pool = snapshot.pool
        return Verdict(
            "False",
            Reason.METADATA_WAITING,
            f"The pool's keys can't be purged: {snapshot.failure.message} To let the pool go and "
            f"leave them: kubectl -n {pool.key.namespace} annotate kvcp {pool.key.name} "
            f"{ABANDON}=true",
        )
    if snapshot.failure:
        return Verdict(
            "False", snapshot.failure.reason, f"It can't be uninstalled: {snapshot.failure.message}"
        )
    left = f" Left so far: {', '.join(snapshot.leftovers)}." if snapshot.leftovers else ""
    return Verdict("False", Reason.DELETING, f"{Reason.DELETING.meaning}{left}")


def _rollout(
    daemons: Workload, wanted: int, metadata: Verdict, scheduled: Verdict, cause: Cause | None
) -> Verdict:
    if scheduled.reason is Reason.UNSCHEDULABLE:
        return Verdict("False", Reason.UNSCHEDULABLE, scheduled.message)
    if metadata.status == "False":
        return Verdict("False", metadata.reason, metadata.message)
    if cause:
        return Verdict("False", cause.reason, cause.message)
    count = f"{daemons.ready} of {_daemons(wanted)} ready"
    if daemons.replicas != wanted or daemons.existing != wanted:
        return Verdict("False", Reason.SCALING, count)
    if daemons.updated < wanted:
        return Verdict(
            "False", Reason.UPGRADING, f"{daemons.updated} of {_daemons(wanted)} updated"
        )
    if not daemons.rolled_out:
        return Verdict("False", Reason.PODS_NOT_READY, count)
    return Verdict("True", Reason.POOL_READY, count)


def _daemons(count: int) -> str:
    return "1 daemon" if count == 1 else f"{count} daemons"


def _cause(snapshot: Snapshot, component: str) -> Cause | None:
    """Return why a container of the daemons or of the pool's own etcd does not run."""
    pods = (pod for pod in snapshot.pods if pod.component == component)
    return first_cause((pod.name, pod.last_words) for pod in pods)


def _stalled(snapshot: Snapshot, step: Step, policy: Policy, goal: Goal) -> Verdict | None:
    if isinstance(step, Stall):
        return Verdict("True", step.reason, step.why)
    if isinstance(step, Recheck):
        return Verdict("True", Reason.OBJECT_IN_THE_WAY, step.why)
    if stall := standing_stall(snapshot, policy, goal):
        return Verdict("True", stall.reason, stall.why)
    daemons, refused = snapshot.daemons, snapshot.refused
    if daemons and refused and not snapshot.pool.deleting and daemons.existing < daemons.replicas:
        if "violates PodSecurity" in refused.message:
            return Verdict(
                "True",
                Reason.PODS_FORBIDDEN,
                "Pod Security refuses the daemons: set spec.cache.socket to EmptyDir (access over "
                "the network only), or allow hostPath in this namespace (kubectl label namespace "
                f"{daemons.namespace} pod-security.kubernetes.io/enforce=privileged --overwrite). "
                f"The API server says: {refused.message}",
            )
        if "exceeded quota" in refused.message:
            return Verdict("True", Reason.QUOTA_EXCEEDED, refused.message)
    cause = _cause(snapshot, "daemon")
    of_this_image = daemons and daemons.updated == daemons.existing and not differs(snapshot, goal)
    if cause and cause.reason is Reason.BUILT_WITHOUT_REDIS and of_this_image:
        return Verdict("True", cause.reason, cause.message)
    return None


def _available(snapshot: Snapshot) -> Verdict:
    daemons = snapshot.daemons
    if daemons is None:
        return Verdict("False", Reason.NOT_INSTALLED, Reason.NOT_INSTALLED.meaning)
    if daemons.ready:
        return Verdict("True", Reason.DAEMONS_SERVE, f"{_daemons(daemons.ready)} ready to serve")
    if daemons.replicas == 0:
        return Verdict("False", Reason.SCALED_TO_ZERO, Reason.SCALED_TO_ZERO.meaning)
    return Verdict("False", Reason.NO_DAEMON, Reason.NO_DAEMON.meaning)


def _metadata_ready(snapshot: Snapshot, goal: Goal) -> Verdict:
    if goal.waits and snapshot.elsewhere:
        return Verdict(
            "Unknown",
            Reason.NOT_PROBED,
            "The daemons use the service of the operator's earlier defaults until the pool's turn "
            "comes; kvhelm does not look at it any more.",
        )
    if snapshot.service:
        return _service_ready(snapshot, snapshot.service)
    etcd = snapshot.etcd
    if etcd is None:
        return Verdict("False", Reason.NOT_INSTALLED, Reason.NOT_INSTALLED.meaning)
    if behind := daemons_behind(snapshot):
        waits = any(not pod.ending for pod in behind) and mend_in(snapshot) > 0
        return Verdict("False", Reason.METADATA_LOST, _emptied(waits))
    if etcd.ready == etcd.replicas:
        return Verdict("True", Reason.ETCD_READY, Reason.ETCD_READY.meaning)
    count = f"{etcd.ready} of {etcd.replicas} members of the StatefulSet {etcd.name} ready"
    cause = _cause(snapshot, "etcd")
    message = f"{count}; {cause.message}" if cause else count
    # Three lose one without harm.
    if etcd.ready > etcd.replicas // 2:
        lost = cause is not None and cause.reason is Reason.ETCD_MEMBER_LOST
        return Verdict("True", Reason.ETCD_MEMBER_LOST if lost else Reason.ETCD_READY, message)
    return Verdict("False", Reason.ETCD_NOT_READY, message)


def _service_ready(snapshot: Snapshot, service: ServiceView) -> Verdict:
    spec = snapshot.pool.spec
    warns = bool(spec and spec.metadata and spec.metadata.preflight == "Warn")
    # Who asks only for warnings says that we may not see what the daemons see.
    bad: State = "Unknown" if warns else "False"
    lost = _lost(service.registered) if service.registered and not service.trouble else None
    if lost:
        return Verdict("False", Reason.METADATA_LOST, lost)
    if not service.trouble and (cut_off := daemons_cut_off(snapshot)):
        words = f"{Reason.DAEMONS_CUT_OFF.meaning} ({', '.join(pod.name for pod in cut_off[:20])})"
        return Verdict("False", Reason.DAEMONS_CUT_OFF, words)
    trouble = service.trouble or (None if snapshot.claimed else service.blocker)
    if trouble:
        return Verdict(bad, trouble.reason, trouble.message)
    if service.healthy is None:
        before = known_conditions(snapshot).get(ConditionType.METADATA_READY)
        if before and before.observed_generation == snapshot.pool.generation:
            # A restart of ours is no news of the service.
            return Verdict(before.status, before.reason, before.message)
        return Verdict("Unknown", Reason.NOT_PROBED, Reason.NOT_PROBED.meaning)
    reason = Reason.UNTESTED if service.place.kind == "redis" else Reason.SERVICE_HEALTHY
    warnings = [f"{found.reason}: {found.message}" for found in service.found or ()]
    return Verdict("True", reason, " ".join([reason.meaning, *warnings]))


def _emptied(waits: bool) -> str:
    """Return what is wrong if the pool's own etcd has lost its data."""
    if waits:
        return (
            "The pool's etcd came back empty again: the daemons are restarted "
            f"{MEND_AT_MOST_EVERY / 60:.0f} minutes after the last time. Give it storage "
            "(spec.metadata.managed.storage of a pool made anew)."
        )
    return "The pool's etcd came back empty: the daemons are restarted."


def _lost(registered: Registered) -> str:
    """Return what is wrong if the pool's metadata was lost, or may have been."""
    signs = ", ".join(sorted(registered.signs))
    match registered.verdict:
        case Loss.SUSPECTED:
            return f"The pool's metadata seems to be lost ({signs}): it is looked at once more."
        case Loss.LOST:
            return f"The pool's metadata was lost ({signs}): the daemons are restarted."
        case Loss.LOST_AGAIN:
            return (
                f"The pool's metadata was lost again ({signs}): the daemons are restarted "
                f"{MEND_AT_MOST_EVERY / 60:.0f} minutes after the last time. Give the service "
                "storage that outlives it."
            )
    return ""


def _scheduled(snapshot: Snapshot) -> Verdict:
    waiting = [pod for pod in snapshot.pods if pod.unschedulable]
    if waiting:
        first = waiting[0]
        more = f" (and {len(waiting) - 1} more pods)" if len(waiting) > 1 else ""
        return Verdict("False", Reason.UNSCHEDULABLE, f"{first.name}: {first.unschedulable}{more}")
    if not snapshot.pods:
        return Verdict("Unknown", Reason.NO_PODS, Reason.NO_PODS.meaning)
    if all(pod.node for pod in snapshot.pods):
        return Verdict("True", Reason.PODS_SCHEDULED, Reason.PODS_SCHEDULED.meaning)
    return Verdict("Unknown", Reason.PODS_NOT_READY, "A pod waits for the scheduler.")


def known_conditions(snapshot: Snapshot) -> dict[str, Condition]:
    """Return the conditions that the pool's status has, by type."""
    return {condition.type: condition for condition in snapshot.pool.status.conditions}
