"""The revisions of a release that are kept: which may go, and what the status shows of them; pure.

All of it is told by the labels of their Secrets: right after a restart it is what it was before.
"""

from collections.abc import Sequence

from kvhelm.api.status import HistoryEntry
from kvhelm.controller.snapshot import Snapshot
from kvhelm.helm.releases import Revision

_LIMIT = 64
"""Revisions that the status holds; only a pool that is suspended has so many."""


def last_healthy(revisions: Sequence[Revision]) -> Revision | None:
    """Return the newest revision that was healthy once."""
    return next((each for each in reversed(revisions) if each.healthy), None)


def prunable(revisions: Sequence[Revision], keep: int, pinned: int = 0) -> tuple[Revision, ...]:
    """Return the revisions beyond `keep`, oldest first; what a rollback needs is not among them.

    That is the current one, the last that was healthy, and the one of number `pinned`.
    """
    healthy = last_healthy(revisions)
    needed = {revisions[-1].number, healthy.number if healthy else 0, pinned} if revisions else ()
    superfluous = max(0, len(revisions) - keep)
    return tuple(each for each in revisions if each.number not in needed)[:superfluous]


def history_for(snapshot: Snapshot) -> list[HistoryEntry]:
    """Return what the status shows: every revision that helm is done with, if not too many."""
    return [_entry(each) for each in snapshot.revisions if not each.pending][-_LIMIT:]


def _entry(revision: Revision) -> HistoryEntry:
    stamp = revision.stamp
    return HistoryEntry(
        revision=revision.number,
        outcome=revision.status,
        healthy=revision.healthy,
        time=revision.created,
        chart=(stamp.chart or None) if stamp else None,
        spec_digest=stamp.spec_digest if stamp else None,
        chart_digest=stamp.chart_digest if stamp else None,
    )
