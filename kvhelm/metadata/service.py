"""What every metadata service can be asked, and the words of its answers.

To add a service: one module with a class that fits `MetadataService`, one line in `kinds`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kvhelm.metadata.findings import Finding

# Seconds within which a probe ends, whatever the service does.
PROBE_DEADLINE = 2.0


@dataclass(frozen=True)
class Probe:
    """How a service was when it was asked; `finding` is what is wrong, None if it is healthy.

    What a service answered is taken over only where it has the shape that it must have.
    """

    finding: Finding | None
    latency: float | None = None
    """Seconds that the fastest endpoint took for a read that needs the whole service."""
    version: str | None = None
    cluster_id: str | None = None
    """Hexadecimal; None where the service has none."""
    revision: int | None = None
    """A number that only grows in the life of one data set; None where there is none."""
    leader: str | None = None
    """Hexadecimal member id."""

    @property
    def healthy(self) -> bool:
        """Whether the service did what a daemon needs of it."""
        return self.finding is None


@dataclass(frozen=True, order=True)
class Member:
    """One daemon as it registered itself; all text is the daemon's own."""

    instance: int
    hostid: str
    hostname: str
    """MY_HOST_NAME of the daemon: with kvhelm's chart the pod's IP."""
    nodename: str
    rpc_endpoint: str
    ipc_socket: str
    timestamp: str
    """Opaque: it changes while the daemon lives, and stands still when it does not."""
    revision: int
    """The revision of the newest of this member's keys: it moves as `timestamp` does."""


@dataclass(frozen=True)
class Members:
    """What stands under one prefix, read at one revision."""

    members: tuple[Member, ...] = ()
    torn: tuple[Member, ...] = ()
    """Entries with a timestamp and nothing else, so of no known host: their metadata was lost."""
    claim: str | None = None
    """The uid that holds the prefix."""
    cluster_id: str | None = None
    revision: int = 0
    stream: int | None = None
    """Which of its watch streams a feed had then: another one, and the service was away."""


@dataclass(frozen=True)
class Purged:
    """The outcome of a purge. Asked again it says the same."""

    keys: int = 0
    """Keys that this purge deleted, the claim not counted."""
    remaining: int = 0
    """Keys that stay because the service can't tell whose they are."""
    refused: Finding | None = None
    """Why nothing was deleted: the place is another's, or nobody's and not empty."""


class MembershipFeed(Protocol):
    """Who is registered, kept true for many prefixes at the cost of one."""

    def follow(self, prefix: str, changed: Callable[[str], None]) -> None:
        """Keep `current(prefix)` true; call `changed(prefix)` after joins and leaves."""

    def unfollow(self, prefix: str) -> None:
        """Forget a prefix."""

    def current(self, prefix: str) -> Members | None:
        """Return the last picture without I/O; None before the first, or if not observable.

        Joins and leaves are in it at once; timestamps are as old as the picture.
        """


class MetadataService(Protocol):
    """One service, whoever uses it. Methods other than `probe` raise ServiceFailed.

    `prefix` is a key prefix such as /kvhelm/team/pool/1a2b3c4d; `uid` is who claims it.
    """

    @property
    def kind(self) -> str:
        """The word by which a spec names it."""

    @property
    def endpoints(self) -> tuple[str, ...]:
        """SCHEME://HOST:PORT, lower case."""

    @property
    def observable(self) -> bool:
        """Whether it can tell who is registered."""

    @property
    def feed(self) -> MembershipFeed:
        """Members of many prefixes at once."""

    async def preflight(self, prefix: str, uid: str) -> tuple[Finding, ...]:
        """Find out whether a pool can work with this, worst first. Changes nothing.

        A service that does not answer is a finding, not an error. Takes up to some 15 seconds.
        """

    async def probe(self) -> Probe:
        """Ask for health, within PROBE_DEADLINE seconds whatever happens."""

    async def claim(self, prefix: str, uid: str) -> Finding | None:
        """Claim a prefix unless it is, holds, or lies under another's; None: it is `uid`'s."""

    async def members(self, prefix: str) -> Members | None:
        """Read who is registered, timestamps included; None if this service can't tell."""

    async def remove_member(self, prefix: str, uid: str, member: Member) -> bool:
        """Delete a member's entry if it has not moved since `member` was read; tell if it went.

        An entry that is gone already counts as gone. Refused where `uid` holds no claim.
        """

    async def reserve(self, prefix: str, uid: str, number: int) -> Finding | None:
        """Let no daemon that registers from now on get an instance number below `number`.

        For a prefix that lost its metadata: the count of numbers is lost with it, and daemons that
        live on still go by theirs. What is returned is why not: the place is another's.
        """

    async def purge(self, prefix: str, uid: str) -> Purged:
        """Delete everything under a prefix, and its claim, if the claim is `uid`'s."""

    async def close(self) -> None:
        """Close connections; the service can be asked again afterwards, and reconnects."""
