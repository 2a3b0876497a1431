"""What to do next for a pool: pure, one step at a time, each with its reason.

Everything hard about a release is a row of this file's table test (tests/unit/test_decide.py).
"""

from dataclasses import dataclass

from kvhelm.api.conditions import Reason
from kvhelm.controller.history import prunable
from kvhelm.controller.left_places import next_left
from kvhelm.controller.membership import decide_membership
from kvhelm.controller.snapshot import FINALIZER, Snapshot
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


@dataclass(frozen=True)
class Policy:
    """What every decision depends on besides the snapshot."""

    chart_digest: str
    helm_gone_after: float
    """Seconds after a write of helm from which on it can't be at work any more."""


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
    current = snapshot.current
    if snapshot.uninstalled and current:
        return Wait("the watch is behind the uninstall", 1)
    if snapshot.expected_revision > (current.number if current else 0):
        return Wait(f"the watch is behind revision {snapshot.expected_revision}", 1)
    if current is None:
        return (
            _failed_before(snapshot, policy)
            or _retry_later(snapshot)
            or _before_helm(snapshot)
            or Install("the pool has no release yet", parked=replicas == 0)
        )
    if at_work := _decide_pending(snapshot, policy):
        return at_work
    if current.status == "uninstalling":
        return _retry_later(snapshot) or Uninstall("an uninstall was begun and not ended")

    daemons = snapshot.daemons
    if daemons and (
        daemons.replicas != replicas
        # Before an upgrade drops `replicas` from helm's fields, someone else must own it, or the
        # API server resets it to 1.
        or (daemons.helm_owns_replicas and not daemons.kvhelm_owns_replicas)
    ):
        return Scale(f"{daemons.replicas} daemons, {replicas} wanted", daemons.name, replicas)

    membership = decide_membership(snapshot)
    if membership and not isinstance(membership, Wait):
        return _retry_later(snapshot) or membership
    if _first_healthy(snapshot):
        return _retry_later(snapshot) or MarkHealthy("every daemon is ready")
    changed = _changed(snapshot, policy)
    if changed:
        return (
            _failed_before(snapshot, policy)
            or _retry_later(snapshot)
            or _before_helm(snapshot)
            or _repair(snapshot, for_helm=True)
            or Upgrade(changed, current.number + 1)
        )
    if stuck := stuck_pod(snapshot):
        return ReplaceStuckPod(
            f"pod {stuck.name} is not ready and runs an earlier template, and the StatefulSet would"
            " wait for it for ever",
            stuck.name,
            stuck.uid,
        )
    if superfluous := prunable(snapshot.revisions, keep):
        return PruneHistory(
            f"{len(snapshot.revisions)} revisions, {keep} kept",
            tuple(revision.secret for revision in superfluous),
        )
    if repair := _repair(snapshot):
        return _retry_later(snapshot) or repair
    if snapshot.service and snapshot.service.healthy and not snapshot.claimed:
        # Installed in spite of its preflight: the place is claimed when that becomes possible.
        return (
            _retry_later(snapshot)
            or _before_helm(snapshot)
            or Nothing("the place can't be claimed yet")
        )
    left = next_left(snapshot)
    if left and daemons and daemons.rolled_out:
        if snapshot.left_in == 0:
            return PurgeLeft("every daemon has left it", left)
        membership = membership or Wait("what was left can't be purged yet", snapshot.left_in)
    return membership or Nothing("the release is as the spec asks")


def _decide_pending(snapshot: Snapshot, policy: Policy) -> Step | None:
    """Leave a helm at work alone; free what one has left that was killed."""
    current = snapshot.current
    if current is None or not current.pending:
        return None
    what = f"revision {current.number} ({current.status})"
    # (A rollback carries another revision's labels: its payload must confirm that it is ours.)
    ours = current.stamp is not None or current.status == "pending-rollback"
    if ours and snapshot.helm_ended == current.number:
        return _retry_later(snapshot) or Unlock(f"our helm has ended and left {what}", True)
    left = policy.helm_gone_after - (snapshot.now - current.modified).total_seconds()
    if left > 0:
        return Wait(f"helm works on {what}", left)
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


def _changed(snapshot: Snapshot, policy: Policy) -> str:
    """Return why the current revision is not what the spec asks for; empty if it is."""
    current = snapshot.current
    if current is None:
        return "there is no revision"
    if current.stamp is None:
        return f"revision {current.number} was made by someone else"
    if current.stamp.spec_digest != snapshot.spec_digest:
        return "the spec changed"
    if current.stamp.chart_digest != policy.chart_digest:
        return "the operator brings another chart"
    if current.status != "deployed":
        return f"revision {current.number} is {current.status}"
    return ""


def is_current(snapshot: Snapshot, policy: Policy) -> bool:
    """Tell whether the deployed release is what the spec and the chart ask for."""
    return not _changed(snapshot, policy)


def _failed_before(snapshot: Snapshot, policy: Policy) -> Step | None:
    """Return what to do about an attempt with the same digests that failed for good, if one did."""
    failed = snapshot.failed
    if (
        failed is None
        or failed.spec_digest != snapshot.spec_digest
        or failed.chart_digest != policy.chart_digest
    ):
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
