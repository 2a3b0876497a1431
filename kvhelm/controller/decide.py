"""What to do next for a pool: pure, one step at a time, each with its reason.

Everything hard about a release is a row of this file's table test (tests/unit/test_decide.py).
"""

from dataclasses import replace

from kvhelm.api.conditions import Reason
from kvhelm.controller.history import prunable
from kvhelm.controller.left_places import next_left
from kvhelm.controller.membership import decide_membership
from kvhelm.controller.policy import Policy
from kvhelm.controller.pool import FINALIZER
from kvhelm.controller.progress import progress_deadline_in
from kvhelm.controller.rollback import (
    Goal,
    decide_origin,
    decide_rollback,
    differs,
    goal_for,
    standing_stall,
)
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import (
    AddFinalizer,
    Claim,
    DeleteStrays,
    Install,
    MarkHealthy,
    Nothing,
    Preflight,
    PruneHistory,
    PurgeLeft,
    PurgeMetadata,
    Recheck,
    RemoveFinalizer,
    Repair,
    ReplaceStuckPod,
    Scale,
    Stall,
    Step,
    Uninstall,
    Unlock,
    Upgrade,
    VerifyUninstalled,
    Wait,
)
from kvhelm.controller.stuck import stuck_pod

PREFLIGHT_EVERY = 15.0
"""Seconds between checks of a metadata service that can't be used yet."""


def decide(snapshot: Snapshot, policy: Policy) -> Step:
    """Return the next step for the pool."""
    pool = snapshot.pool
    if pool.deleting:
        return _decide_deletion(snapshot)
    if pool.spec is None:
        return Stall(pool.spec_error, Reason.SPEC_INVALID)
    if pool.spec.suspend:
        return Nothing("spec.suspend is true")
    if FINALIZER not in pool.finalizers:
        return AddFinalizer("a release needs an owner that outlives it")
    if snapshot.foreign:
        return Stall(
            f"the Helm release {pool.release} in namespace {pool.key.namespace} was not made for "
            f"this pool: uninstall it (helm uninstall {pool.release} -n {pool.key.namespace}) "
            "or give the pool another name",
            Reason.RELEASE_IN_THE_WAY,
        )
    return _decide_release(snapshot, policy, pool.spec.replicas, pool.spec.revision_history_limit)


def _decide_release(snapshot: Snapshot, policy: Policy, replicas: int, keep: int) -> Step:
    current, goal = snapshot.current, goal_for(snapshot, policy)
    if snapshot.uninstalled and current:
        return Wait("the watch is behind the uninstall", 1)
    if snapshot.expected_revision > (current.number if current else 0):
        return Wait(f"the watch is behind revision {snapshot.expected_revision}", 1)
    if current is None:
        return (
            standing_stall(snapshot, policy, goal)
            or _failed_before(snapshot, goal)
            or _retry_later(snapshot)
            or _before_helm(snapshot)
            or Install("the pool has no release yet", parked=replicas == 0)
        )
    if at_work := _decide_pending(snapshot, policy):
        return at_work

    daemons = snapshot.daemons
    if daemons and (
        daemons.replicas != replicas
        # Before an upgrade drops `replicas` from helm's fields, someone else must own it, or the
        # API server resets it to 1.
        or (daemons.helm_owns_replicas and not daemons.kvhelm_owns_replicas)
    ):
        return Scale(f"{daemons.replicas} daemons, {replicas} wanted", daemons.name, replicas)

    membership = None if snapshot.elsewhere else decide_membership(snapshot)
    if membership and not isinstance(membership, Wait):
        return _retry_later(snapshot) or membership
    if origin := decide_origin(snapshot, policy):
        return _retry_later(snapshot) or origin
    if _first_healthy(snapshot):
        return _retry_later(snapshot) or MarkHealthy("every daemon is ready")
    return (
        _decide_change(snapshot, current.number + 1, goal)
        or _decide_upkeep(snapshot, keep, goal)
        or _decide_standing(snapshot, policy, goal, membership)
    )


def _decide_change(snapshot: Snapshot, revision: int, goal: Goal) -> Step | None:
    """Return how the release becomes what the pool is to run; None if it is, or can't."""
    changed = differs(snapshot, goal)
    change = Upgrade(changed, revision) if goal.own else decide_rollback(snapshot, goal)
    if not changed or change is None:
        return None
    return (
        _failed_before(snapshot, goal)
        or _retry_later(snapshot)
        or (_before_helm(snapshot) if goal.own else None)
        or _repair(snapshot, for_helm=True)
        or change
    )


def _decide_upkeep(snapshot: Snapshot, keep: int, goal: Goal) -> Step | None:
    """Return what is to do while the release itself stays as it is."""
    daemons = snapshot.daemons
    if stuck := stuck_pod(snapshot):
        return ReplaceStuckPod(
            f"pod {stuck.name} is not ready and runs an earlier template, and the StatefulSet would"
            " wait for it for ever",
            stuck.name,
            stuck.uid,
        )
    pinned = goal.pinned.revision if goal.pinned else 0
    if superfluous := prunable(snapshot.revisions, keep, pinned):
        return PruneHistory(
            f"{len(snapshot.revisions)} revisions, {keep} kept",
            tuple(revision.secret for revision in superfluous),
        )
    if repair := _repair(snapshot):
        return _retry_later(snapshot) or repair
    if snapshot.service and snapshot.service.healthy and not snapshot.claimed and not goal.waits:
        # Installed in spite of its preflight: the place is claimed when that becomes possible.
        return _retry_later(snapshot) or _before_helm(snapshot)
    left = next_left(snapshot)
    # (What runs elsewhere than the spec says may be what was left.)
    if left and snapshot.left_in == 0 and goal.own and daemons and daemons.rolled_out:
        return PurgeLeft("every daemon has left it", left)
    return None


def _decide_standing(
    snapshot: Snapshot, policy: Policy, goal: Goal, membership: Step | None
) -> Step:
    """Return why nothing is to be done now, and when to look again."""
    waits = [membership] if isinstance(membership, Wait) else []
    left = progress_deadline_in(snapshot, policy)
    if left is not None and left > 0 and goal.own:
        waits.append(Wait("the daemons of the current revision are getting ready", left))
    if next_left(snapshot) and snapshot.left_in > 0:
        waits.append(Wait("what was left can't be purged yet", snapshot.left_in))
    soonest = min(waits, key=lambda wait: wait.seconds, default=None)
    if stalled := standing_stall(snapshot, policy, goal):
        return replace(stalled, seconds=soonest.seconds if soonest else 0)
    return soonest or Nothing("the release is as the spec asks")


def _decide_pending(snapshot: Snapshot, policy: Policy) -> Step | None:
    """Leave a helm at work alone; free, or end, what one has left that was killed."""
    current = snapshot.current
    if current is None or not (current.pending or current.status == "uninstalling"):
        return None
    what = f"revision {current.number} ({current.status})"
    # (A rollback carries another revision's labels: its payload must confirm that it is ours.)
    ours = current.stamp is not None or current.status == "pending-rollback"
    if current.pending and ours and snapshot.helm_ended == current.number:
        return _retry_later(snapshot) or Unlock(f"our helm has ended and left {what}", True)
    left = policy.helm_gone_after - (snapshot.now - current.modified).total_seconds()
    if left > 0:
        return Wait(f"helm works on {what}", left)
    if not current.pending:
        return _retry_later(snapshot) or Uninstall("an uninstall was begun and not ended")
    return _retry_later(snapshot) or Unlock(f"a helm was killed while it worked on {what}", False)


def _first_healthy(snapshot: Snapshot) -> bool:
    """Tell whether the current revision runs with all its daemons, and nobody noted it yet.

    A pool at 0 proves nothing of its revision, nor does one that somebody changed by hand.
    """
    current, daemons = snapshot.current, snapshot.daemons
    return bool(
        current
        and current.stamp
        and current.status == "deployed"
        and not current.healthy
        and not snapshot.fields_changed
        and daemons
        and daemons.replicas > 0
        and all(workload.rolled_out for workload in snapshot.workloads)
    )


def _before_helm(snapshot: Snapshot) -> Step | None:
    """Return what is to do about the metadata service before a release is built on it."""
    service, spec = snapshot.service, snapshot.pool.spec
    if service is None or snapshot.claimed:
        return None
    if service.found is None or service.outdated:
        return Preflight("the metadata service is new to this pool, or may have changed")
    if service.blocker is None:
        return Claim("the place is free")
    if spec and spec.metadata and spec.metadata.preflight == "Warn":
        return None
    return Wait(service.blocker.message, PREFLIGHT_EVERY)


def _repair(snapshot: Snapshot, *, for_helm: bool = False) -> Step | None:
    """Return what is to do about objects that may not be as they were released."""
    current = snapshot.current
    if current is None or current.status != "deployed" or not snapshot.fields_changed:
        return None
    if snapshot.repair_in and not for_helm:
        return Wait("someone undoes every repair", snapshot.repair_in)
    return Repair("who owns which field of the release's objects has changed", for_helm)


def is_current(snapshot: Snapshot, policy: Policy) -> bool:
    """Tell whether the deployed release is what the pool is to run."""
    return not differs(snapshot, goal_for(snapshot, policy))


def _failed_before(snapshot: Snapshot, goal: Goal) -> Step | None:
    """Return what to do about an attempt with the same digests that failed for good, if one did."""
    failed = snapshot.failed
    if failed is None or failed.digests != goal.digests:
        return None
    if failed.in_the_way and snapshot.recheck_in == 0:
        return Recheck(failed.message, failed.in_the_way)
    return Stall(failed.message, Reason.named(failed.reason), snapshot.recheck_in)


def _retry_later(snapshot: Snapshot) -> Step | None:
    """Return a wait if the last try failed and its next one is not due yet."""
    if snapshot.failure and snapshot.retry_in > 0:
        return Wait(snapshot.failure.message, snapshot.retry_in)
    return None


def _decide_deletion(snapshot: Snapshot) -> Step:
    if FINALIZER not in snapshot.pool.finalizers:
        return Nothing("others hold the deleted pool")
    if snapshot.foreign:
        return RemoveFinalizer("the release of this name is someone else's and stays")
    if snapshot.namespace_ends:
        # With all that is in it, our right to look at it included.
        return _let_go(snapshot)
    if snapshot.revisions and not snapshot.uninstalled:
        return _retry_later(snapshot) or Uninstall("the pool is deleted")
    if snapshot.revisions:
        return Wait("the watch is behind the uninstall", 1)
    if strays := tuple(it for it in snapshot.own_objects if not it.ending):
        # The release's Secret was deleted without its objects: helm can't find them any more.
        if snapshot.strays_in:
            return Wait("the watches are behind the uninstall", snapshot.strays_in)
        return _retry_later(snapshot) or DeleteStrays(
            "they have no release to be uninstalled with", strays
        )
    if snapshot.own_objects or snapshot.pods:
        return Wait("objects are ending", 5)
    if not snapshot.verified:
        return VerifyUninstalled("nothing that we watch is left")
    return _let_go(snapshot)


def _let_go(snapshot: Snapshot) -> Step:
    if _purges(snapshot):
        return _retry_later(snapshot) or PurgeMetadata("the daemons are gone")
    if left := next_left(snapshot):
        return _retry_later(snapshot) or PurgeLeft("the daemons are gone", left)
    return RemoveFinalizer("nothing of it is left")


def _purges(snapshot: Snapshot) -> bool:
    """Tell whether the pool's keys are still to be deleted."""
    spec = snapshot.pool.spec
    return (
        snapshot.claimed
        and not snapshot.purged
        and not snapshot.pool.abandons_metadata
        and not (spec and spec.deletion.metadata == "Retain")
    )
