"""What is known of the daemons that registered under one pool's prefix, and since when it stands.

Timestamps are rewritten all the time, so nobody asks for them: an entry counts as still from the
moment of the picture that it was in. Whether it moved since is settled when it is removed, by the
transaction that removes it only if it did not.
"""

from dataclasses import dataclass, field, replace
from random import uniform

from kvhelm.metadata.loss import CONFIRM_AFTER, MEND_AT_MOST_EVERY, LossSign, LossWatch, Verdict
from kvhelm.metadata.service import Member, Members

SILENT_AFTER = 180.0
"""Seconds for which a daemon that lives may not be heard of: once its etcd is back, vineyardd asks
every 10 seconds, through gRPC, which tries a broken connection again after up to 120 (gRPC)."""

_LOOK_EVERY = 600.0
"""Seconds between looks at who is still heard of: a read a pool, at a moment of its own."""


@dataclass(frozen=True)
class Registration:
    """One entry, and for how many seconds it is not known to have moved."""

    member: Member
    still: float
    torn: bool = False
    """Whether nothing of it is left but its timestamp."""
    silent: bool = False
    """Whether it was looked at twice, SILENT_AFTER apart or more, and had not moved."""


@dataclass(frozen=True)
class Registered:
    """Who is registered, as far as it is known."""

    entries: tuple[Registration, ...]
    verdict: Verdict = Verdict.INTACT
    signs: frozenset[LossSign] = frozenset()
    only_claim_gone: bool = False
    """Whether the claim is gone and every daemon's entry is there."""
    look_in: float | None = None
    """Seconds until what is registered is to be looked at again; None for never."""
    cluster_id: str | None = None
    """Of the data that is known good."""


@dataclass
class Register:
    """Remembers pictures of one prefix. Times are seconds of the event loop's clock."""

    loss: LossWatch
    picture: Members | None = None
    seen_at: float = 0
    _since: dict[int, tuple[int, float]] = field(default_factory=dict)
    """By instance number, the revision of the entry and when it was first seen."""
    _stream: int | None = None
    _look_every: float = field(default_factory=lambda: uniform(0.8, 1.0) * _LOOK_EVERY)  # noqa: S311
    _look_at: float = 0
    """When it is to be seen who has moved."""

    def see(self, picture: Members, at: float) -> None:
        """Take a picture in."""
        self.loss = self.loss.seen(picture, at)
        if picture.stream not in (None, self._stream):
            self._stream = picture.stream
            self.away(at)
        self.picture, self.seen_at = picture, at
        since = {}
        for member in (*picture.members, *picture.torn):
            revision, first = self._since.get(member.instance, (-1, at))
            since[member.instance] = (
                (revision, first) if revision == member.revision else (member.revision, at)
            )
        self._since = since
        if at >= self._look_at:
            silent = any(self._silent(number) for number in since)
            self._look_at = at + (SILENT_AFTER if silent else self._look_every)

    def away(self, at: float) -> None:
        """Note that the service was away: nobody could be heard until now."""
        self._since = {number: (revision, at) for number, (revision, _) in self._since.items()}
        self._look_at = at + SILENT_AFTER

    def mended(self, at: float) -> None:
        """Start anew: the next picture is the known good one."""
        self.loss = self.loss.mended(at)

    def as_of(self, at: float) -> Registered | None:
        """Return what is known; None before the first picture."""
        if self.picture is None:
            return None
        signs, good = self.loss.signs, self.loss.good
        registered = {member.instance for member in self.picture.members}
        entries = (
            *((member, False) for member in self.picture.members),
            *((member, True) for member in self.picture.torn),
        )
        return Registered(
            entries=tuple(
                Registration(
                    member,
                    at - self._since[member.instance][1],
                    torn,
                    self._silent(member.instance),
                )
                for member, torn in entries
            ),
            verdict=self.loss.verdict,
            signs=signs,
            only_claim_gone=signs == {LossSign.CLAIM_GONE}
            and good is not None
            and all(member.instance in registered for member in good.members),
            look_in=self._look_in(at) if signs else max(0.0, self._look_at - at),
            cluster_id=good.cluster_id if good else self.picture.cluster_id,
        )

    def highest_number(self) -> int:
        """Return the highest instance number that any daemon may hold; -1 if none is known."""
        known = [self.picture, self.loss.good]
        numbers = (
            member.instance for each in known if each for member in (*each.members, *each.torn)
        )
        return max(numbers, default=-1)

    def _silent(self, number: int) -> bool:
        return self.seen_at - self._since[number][1] >= SILENT_AFTER

    def _look_in(self, at: float) -> float:
        if self.loss.verdict is Verdict.LOST_AGAIN and self.loss.mended_at is not None:
            return max(0.0, self.loss.mended_at + MEND_AT_MOST_EVERY - at)
        return max(0.0, self.seen_at + CONFIRM_AFTER - at)


def register_for(
    uid: str,
    at: float,
    *,
    cluster_id: str | None,
    instances: tuple[int, ...],
    mended_ago: float | None,
) -> Register:
    """Return the register of a pool that was claimed before, by what its status tells.

    `mended_ago` is in seconds, `at` is now. What the status tells is the known good.
    """
    blank = Member(0, "", "", "", "", "", "", 0)
    good = Members(
        members=tuple(replace(blank, instance=number) for number in instances),
        claim=uid,
        cluster_id=cluster_id,
    )
    mended_at = None if mended_ago is None else at - mended_ago
    return Register(LossWatch(uid, good, mended_at=mended_at))
