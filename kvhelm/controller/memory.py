"""What the controller knows of a pool that the cluster does not tell."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from kvhelm.api.status import FailedAttempt
from kvhelm.controller.snapshot import Failure
from kvhelm.helm.origin import Origin
from kvhelm.values import Place

_REPAIRS, _REPAIRS_WITHIN = 30, 60.0
"""A pool gets so many repairs in so many seconds: who fights us is not fought without end."""

_USUAL_END = 4.0
"""Seconds after which what is left of a deleted pool is told, and what holds it."""


@dataclass
class Memory:
    """What the controller knows of a pool that the cluster does not tell (yet)."""

    uid: str
    expected_revision: int = 0
    origin: Origin | None = None
    had_release: bool = False
    """Whether a release was there once, by what we saw or the status told when we started."""
    helm_ended: int = 0
    uninstalled: bool = False
    expected_until: float = 0
    """Until when, on the event loop's clock, the watches are waited for to show these two."""
    failure: Failure | None = None
    failures: int = 0
    retry_at: float = 0
    failed: FailedAttempt | None = None
    failed_known: bool = False
    """Whether `failed` holds what is known; until then the status tells."""
    leftovers: tuple[str, ...] = ()
    recheck_at: float = 0
    namespace_ends: bool = False
    strays_at: float = 0
    """When what an uninstall should have deleted is deleted one by one."""
    deleting_since: float | None = None
    verified: bool = False
    purged: bool = False
    left_purged: frozenset[Place] = frozenset()
    left_failures: int = 0
    left_at: float = 0
    """When, on the event loop's clock, a left place may be purged."""
    mended_at: datetime | None = None
    fields_verified: str | None = None
    """Digest of the release's objects (objects.fields_digest) when they were as released; until
    that is known the status tells."""
    fields_seen: str = ""
    """The digest when they were last compared, whatever came of it."""
    repairs: deque[float] = field(default_factory=lambda: deque(maxlen=_REPAIRS))
    """When the last repairs were."""
    report_at: float | None = None
    """When a status that shows only progress is to be written."""

    def repair_in(self, now: float) -> float:
        """Return the seconds until the pool may be repaired once more."""
        if len(self.repairs) < _REPAIRS:
            return 0
        return max(0.0, self.repairs[0] + _REPAIRS_WITHIN - now)

    def overdue(self, now: float, watched: tuple[str, ...]) -> tuple[str, ...]:
        """Return what is left of the deleted pool, once that has taken longer than it should."""
        if self.deleting_since is None:
            self.deleting_since = now
        if now - self.deleting_since < _USUAL_END:
            return ()
        return watched or self.leftovers
