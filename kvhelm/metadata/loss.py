"""Was a prefix's metadata lost, and may it be mended now? Pure.

A vineyardd whose etcd was wiped stays up and registers no more: from then on it rewrites only its
timestamp (v6d#2034). What that looks like from outside are the signs here; what happens on a
verdict is the caller's.

Measured with two daemons on nodes of their own, whose etcd's pod came back empty. Behind a Service
with a cluster IP both wrote timestamps alone for the minute that was waited. The first get of a
new object across them then ended one; started again by its kubelet it registered, as number 0 of
a count that began anew, while the other stayed unknown. Behind a headless Service, so with another
address, neither wrote anything for four minutes, and every put hung. So that some have registered
again by themselves spares nobody the restart.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from kvhelm.metadata.service import Member, Members

# Seconds. A sign may be a passing one (an endpoint that led elsewhere for a moment).
CONFIRM_AFTER = 10.0
MEND_AT_MOST_EVERY = 600.0


class LossSign(StrEnum):
    """What tells that a prefix's metadata was lost."""

    CLUSTER_REPLACED = "ClusterReplaced"
    REVISION_WENT_BACK = "RevisionWentBack"
    CLAIM_GONE = "ClaimGone"
    ENTRY_TORN = "EntryTorn"


def loss_signs(before: Members, now: Members, uid: str) -> frozenset[LossSign]:
    """Compare what is known good with what is there now; `uid` held the claim before."""
    signs = {
        LossSign.CLUSTER_REPLACED: before.cluster_id not in (None, now.cluster_id),
        LossSign.REVISION_WENT_BACK: now.revision < before.revision,
        LossSign.CLAIM_GONE: before.claim == uid and now.claim != uid,
        LossSign.ENTRY_TORN: bool(_numbers(now.torn) - _numbers(before.torn)),
    }
    return frozenset(sign for sign, holds in signs.items() if holds)


def _numbers(members: tuple[Member, ...]) -> set[int]:
    return {member.instance for member in members}


def is_loss(signs: frozenset[LossSign]) -> bool:
    """Tell whether the signs suffice: another cluster, or any two."""
    return LossSign.CLUSTER_REPLACED in signs or len(signs) >= 2


class Verdict(StrEnum):
    """What a LossWatch holds of a prefix."""

    INTACT = "Intact"
    SUSPECTED = "Suspected"  # look again after CONFIRM_AFTER
    LOST = "Lost"  # mend now
    LOST_AGAIN = "LostAgain"  # mended less than MEND_AT_MOST_EVERY ago: wait


@dataclass(frozen=True)
class LossWatch:
    """What is remembered of one prefix between looks. Times are seconds of a monotonic clock.

    Make a new one when the pool moves to another service.
    """

    uid: str
    good: Members | None = None
    signs: frozenset[LossSign] = frozenset()
    suspected_at: float | None = None
    mended_at: float | None = None
    verdict: Verdict = Verdict.INTACT

    def seen(self, now: Members, at: float) -> "LossWatch":
        """Take in one look at the prefix."""
        signs = loss_signs(self.good, now, self.uid) if self.good else frozenset[LossSign]()
        if not is_loss(signs):
            # One sign alone is not forgotten: what is known good stays until none is left.
            good = self.good if signs else now
            return replace(self, good=good, signs=signs, suspected_at=None, verdict=Verdict.INTACT)
        since = at if self.suspected_at is None else self.suspected_at
        if at - since < CONFIRM_AFTER:
            verdict = Verdict.SUSPECTED
        elif self.mended_at is not None and at - self.mended_at < MEND_AT_MOST_EVERY:
            verdict = Verdict.LOST_AGAIN
        else:
            verdict = Verdict.LOST
        return replace(self, signs=signs, suspected_at=since, verdict=verdict)

    def mended(self, at: float) -> "LossWatch":
        """Start anew after the daemons were restarted: the next look is the known good one."""
        return LossWatch(self.uid, mended_at=at)
