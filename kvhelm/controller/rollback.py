"""Which release a pool is to run: what its spec asks for, or an earlier revision, and why; pure.

A pool is pinned to a revision by spec.rollbackTo; held at one that a person went back to with
helm; or back at the last healthy one, since the upgrade that the spec asks for was rejected: its
daemons did not get ready. All three are kept in the status, so that a restart changes nothing.
"""

from dataclasses import dataclass

from kvhelm.api.conditions import Reason
from kvhelm.api.status import Held, Pin, Rejected
from kvhelm.controller.history import last_healthy
from kvhelm.controller.policy import Policy
from kvhelm.controller.progress import not_ready, progress_deadline_in, reaches_pods
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import ReadOrigin, Rollback, Stall, StampRevision, Step

_LONGEST_LIST = 20
"""Revisions that a message names."""


@dataclass(frozen=True)
class Goal:
    """What release a pool is to run."""

    digests: tuple[str, str] | None
    """Of the release that is to be made or kept; None if there is none, or it is held."""
    pinned: Pin | None = None
    held: Held | None = None
    rejected: Rejected | None = None
    pin_gone: bool = False
    """Whether spec.rollbackTo names what is not there."""
    waits: bool = False
    """Whether it stays what it is until its turn comes to get what the operator brings."""

    @property
    def own(self) -> bool:
        """Whether it is what the spec asks for."""
        return not (self.pinned or self.held or self.rejected or self.pin_gone or self.waits)


def goal_for(snapshot: Snapshot, policy: Policy) -> Goal:
    """Return what release the pool is to run."""
    spec = snapshot.pool.spec
    asked = (snapshot.spec_digest, policy.chart_digest)
    if spec and spec.rollback_to:
        pin = _pin_for(snapshot, spec.rollback_to.revision)
        return Goal(pin.digests, pinned=pin) if pin else Goal(None, pin_gone=True)
    if held := _held_for(snapshot):
        return Goal(None, held=held)
    if rejected := _rejected_for(snapshot, policy):
        back = last_healthy(snapshot.revisions)
        return Goal(back.stamp.digests if back and back.stamp else None, rejected=rejected)
    current = snapshot.current
    if current and current.stamp and not snapshot.turn and is_behind(snapshot, policy):
        return Goal(current.stamp.digests, waits=True)
    return Goal(asked)


def is_behind(snapshot: Snapshot, policy: Policy) -> bool:
    """Tell whether a pool runs what its spec asks for, but of an earlier operator.

    That is with an earlier chart or earlier defaults; and not because it could not be brought on.
    """
    current, asked = snapshot.current, (snapshot.spec_digest, policy.chart_digest)
    return bool(
        current
        and current.stamp
        and current.status == "deployed"
        and not current.stamp.parked
        and current.stamp.asked == snapshot.asked
        and current.stamp.digests != asked
        and not (snapshot.failed and snapshot.failed.digests == asked)
    )


def differs(snapshot: Snapshot, goal: Goal) -> str:
    """Return why the current revision is not what the pool is to run; empty if it is."""
    current = snapshot.current
    if current is None:
        return "there is no revision"
    if goal.held or (goal.digests is None and not goal.rejected):
        return ""
    if current.stamp is None:
        return f"revision {current.number} was made by someone else"
    if goal.rejected:
        if current.stamp.digests == goal.rejected.digests:
            return goal.rejected.message
    elif current.stamp.spec_digest != (goal.digests or ("", ""))[0]:
        return "spec.rollbackTo names another revision" if goal.pinned else "the spec changed"
    elif current.stamp.chart_digest != (goal.digests or ("", ""))[1]:
        return (
            "spec.rollbackTo names another revision"
            if goal.pinned
            else "the operator brings another chart"
        )
    if current.stamp.parked:
        return f"revision {current.number} holds the daemons at 0"
    if current.status != "deployed":
        return f"revision {current.number} is {current.status}"
    return ""


def decide_origin(snapshot: Snapshot, policy: Policy) -> Step | None:
    """Return what is to do to learn where the current revision comes from; None if that is known.

    Helm carries labels on, so those of a revision that we did not upgrade to lie, except for
    those of a rollback, which are its target's.
    """
    current, known = snapshot.current, snapshot.pool.status.release
    if current is None or current.stamp or current.status != "deployed":
        return None
    if known and known.held and known.held.revision == current.number:
        return None
    origin = snapshot.origin
    if origin is None:
        return ReadOrigin(f"the labels of revision {current.number} are not its own")
    if current.carried is None or origin.target != current.carried[0]:
        return None
    wanted, pin = (snapshot.spec_digest, policy.chart_digest), goal_for(snapshot, policy).pinned
    rejected = known and known.rejected and known.rejected.digests == wanted
    if pin:
        wanted, rejected = pin.digests, None
    if origin.ours or (current.carried[1].digests == wanted and not rejected):
        return StampRevision(f"revision {current.number} is a copy of {origin.target}")
    return None


def decide_rollback(snapshot: Snapshot, goal: Goal) -> Rollback | None:
    """Return the rollback that is to be made; None if there is none to be made, or none to go to.

    Asked only when the pool is to run something else than its spec asks for.
    """
    current = snapshot.current
    why = differs(snapshot, goal)
    if current is None or not why or goal.digests is None:
        return None
    copies = [number for number, digests, _ in _ways_back(snapshot) if digests == goal.digests]
    if not copies:
        return None
    back = last_healthy(snapshot.revisions)
    named = goal.pinned.revision if goal.pinned else back.number if back else 0
    return Rollback(why, named if named in copies else copies[-1], current.number + 1)


def standing_stall(snapshot: Snapshot, policy: Policy, goal: Goal) -> Stall | None:
    """Return what only a person can mend about the release, whatever else is to be done."""
    spec, current = snapshot.pool.spec, snapshot.current
    if spec is None or spec.suspend or snapshot.pool.deleting or snapshot.foreign:
        return None
    if spec.rollback_to:
        there = current and goal.pinned and not differs(snapshot, goal)
        if there or decide_rollback(snapshot, goal):
            return None
        return Stall(
            f"spec.rollbackTo: revision {spec.rollback_to.revision} can't be gone back to. "
            f"{_revisions(snapshot)}; name one of them, or remove spec.rollbackTo",
            Reason.REVISION_GONE,
        )
    if goal.held:
        return Stall(
            f"someone went back to revision {goal.held.to} with helm (revision "
            f"{goal.held.revision}): change the spec to go on from here",
            Reason.HELD_BY_HELM_ROLLBACK,
        )
    if goal.rejected:
        back = last_healthy(snapshot.revisions)
        if back is None and differs(snapshot, goal):
            return Stall(
                f"{goal.rejected.message} There is no healthy revision left to go back to: "
                "change the spec",
                Reason.PROGRESS_DEADLINE_EXCEEDED,
            )
        return Stall(
            f"{goal.rejected.message} Gone back to the last healthy revision: change the spec to "
            "try again",
            Reason.ROLLED_BACK,
        )
    left = progress_deadline_in(snapshot, policy)
    if left is not None and left <= 0 and current:
        return Stall(
            f"{not_ready(snapshot)} {_why_kept(snapshot)}", Reason.PROGRESS_DEADLINE_EXCEEDED
        )
    return None


def _pin_for(snapshot: Snapshot, number: int) -> Pin | None:
    """Return what spec.rollbackTo names: as it was resolved when it was set, or now."""
    known = snapshot.pool.status.release
    if known and known.pinned and known.pinned.revision == number:
        return known.pinned
    for each in snapshot.revisions:
        if each.number == number and each.stamp:
            digests = each.stamp.digests
            return Pin(revision=number, spec_digest=digests.spec, chart_digest=digests.chart)
    return None


def _held_for(snapshot: Snapshot) -> Held | None:
    """Return a person's `helm rollback` that stands; the spec ends it by asking for another."""
    current, origin = snapshot.current, snapshot.origin
    if current is None or current.stamp:
        return None
    known = snapshot.pool.status.release.held if snapshot.pool.status.release else None
    if known and known.revision == current.number:
        return known if known.spec_digest == snapshot.spec_digest else None
    if origin is None or origin.ours or origin.target is None or current.status != "deployed":
        return None
    # A spec that was never tried is newer than the rollback, as far as can be told.
    tried = any(
        each.stamp and each.stamp.spec_digest == snapshot.spec_digest for each in snapshot.revisions
    )
    if not tried:
        return None
    return Held(revision=current.number, to=origin.target, spec_digest=snapshot.spec_digest)


def _rejected_for(snapshot: Snapshot, policy: Policy) -> Rejected | None:
    """Return the upgrade that is given up: one of before that the spec still asks for, or now."""
    asked = (snapshot.spec_digest, policy.chart_digest)
    current = snapshot.current
    known = snapshot.pool.status.release.rejected if snapshot.pool.status.release else None
    if current is None:
        return None
    if known and known.digests == asked:
        late = current.healthy and current.stamp and current.stamp.digests == asked
        return None if late else known
    left = progress_deadline_in(snapshot, policy)
    if left is None or left > 0 or _why_kept(snapshot):
        return None
    return Rejected(
        revision=current.number,
        spec_digest=asked[0],
        chart_digest=asked[1],
        message=not_ready(snapshot)[:1500],
    )


def _why_kept(snapshot: Snapshot) -> str:
    """Return why an upgrade that does not get on is not taken back; empty if it is."""
    spec, current = snapshot.pool.spec, snapshot.current
    if spec and spec.upgrade.on_failure == "Keep":
        return "It stays as it is (spec.upgrade.onFailure: Keep): change the spec."
    back = last_healthy(snapshot.revisions)
    if back is None or back.stamp is None:
        return "No revision before it that was healthy is there to go back to: change the spec."
    if current and current.stamp and back.stamp.digests == current.stamp.digests:
        return f"Revision {back.number} is the same and was healthy: the cause lies elsewhere."
    if current and not reaches_pods(snapshot, current.created):
        return "Its pods are those of before it: the cause lies elsewhere."
    return ""


def _revisions(snapshot: Snapshot) -> str:
    """Return a sentence on the revisions that can be gone back to."""
    there = [
        f"{number}{' (healthy)' if healthy else ''}"
        for number, _, healthy in _ways_back(snapshot)[-_LONGEST_LIST:]
    ]
    return f"There are: {', '.join(there)}" if there else "There is none"


def _ways_back(snapshot: Snapshot) -> list[tuple[int, tuple[str, str], bool]]:
    """Return number, digests and health of each revision that can be gone back to."""
    return [
        (each.number, each.stamp.digests, each.healthy)
        for each in snapshot.revisions
        if each.stamp and not each.stamp.parked and not each.pending
    ]
