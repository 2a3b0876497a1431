"""An etcd as a MetadataService: which endpoint is asked, what is asked is in its own modules."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from kvhelm.metadata.dial import Endpoint, endpoint_in
from kvhelm.metadata.etcd import claims
from kvhelm.metadata.etcd.client import EtcdEndpoint
from kvhelm.metadata.etcd.feed import EtcdFeed
from kvhelm.metadata.etcd.members import members
from kvhelm.metadata.etcd.preflight import check_cluster, check_prefix, sorted_findings
from kvhelm.metadata.etcd.probe import probe
from kvhelm.metadata.findings import Finding, Reason, ServiceFailed
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.service import PROBE_DEADLINE, Member, Members, Probe, Purged

# Seconds for one request that is no probe's; an etcd on a slow disk answers in one or two.
_REQUEST = 4.0
# Seconds for which a check of the cluster is taken for granted: pools come in crowds.
_CHECK_HOLDS = 5.0
# Another endpoint may do better.
_ELSEWHERE = frozenset(
    {Reason.UNREACHABLE, Reason.STALLED, Reason.NO_LEADER, Reason.DIAL_NOT_ALLOWED}
)

Answer = TypeVar("Answer")


class EtcdService:
    """One etcd cluster, by the endpoints that its user gave.

    Raises MetadataError for an endpoint that is not SCHEME://HOST:PORT.
    """

    kind = "etcd"
    observable = True

    def __init__(self, endpoints: Sequence[str], policy: DialPolicy) -> None:
        read = [endpoint_in(each) for each in endpoints]
        self.endpoints = tuple(str(each) for each in read)
        self._policy = policy
        self._asked = [self._connect(each) for each in read]
        # A probe does not wait in line with requests, and has less patience.
        patience = PROBE_DEADLINE * 0.7
        self._probed = [EtcdEndpoint(each, policy, patience) for each in read]
        self._checking: asyncio.Task[tuple[Finding, ...]] | None = None
        self._checked_at = 0.0
        self.feed = EtcdFeed(self.members, [self._connect(each) for each in read])

    def _connect(self, endpoint: Endpoint) -> EtcdEndpoint:
        return EtcdEndpoint(endpoint, self._policy, _REQUEST)

    async def preflight(self, prefix: str, uid: str) -> tuple[Finding, ...]:
        """Find out whether a pool can work with this etcd; see MetadataService."""
        found = await self._check_cluster()
        if not _blocks(found):
            try:
                found += await self._on_one(lambda etcd: check_prefix(etcd, prefix, uid))
            except ServiceFailed as failure:
                found += (failure.finding,)
        return sorted_findings(found)

    async def _check_cluster(self) -> tuple[Finding, ...]:
        """Check the cluster once for all who ask in the same few seconds, if they may go on."""
        now = asyncio.get_running_loop().time()
        last = self._checking
        if last is None or (
            last.done() and (now > self._checked_at + _CHECK_HOLDS or _blocks(last.result()))
        ):
            self._checked_at = now
            last = asyncio.create_task(check_cluster(list(self._asked), self._connect))
            self._checking = last
        return await asyncio.shield(last)

    async def probe(self) -> Probe:
        """Ask for health, within PROBE_DEADLINE seconds."""
        return await probe(self._probed, PROBE_DEADLINE)

    async def claim(self, prefix: str, uid: str) -> Finding | None:
        """Claim a prefix unless it is, holds, or lies under another's."""
        return await self._on_one(lambda etcd: claims.claim(etcd, prefix, uid))

    async def members(self, prefix: str) -> Members:
        """Read who is registered, timestamps included."""
        return await self._on_one(lambda etcd: members(etcd, prefix))

    async def remove_member(self, prefix: str, uid: str, member: Member) -> bool:
        """Delete a member's entry if it has not moved since it was read."""
        return await self._on_one(lambda etcd: claims.remove_member(etcd, prefix, uid, member))

    async def reserve(self, prefix: str, uid: str, number: int) -> Finding | None:
        """Let no daemon that registers from now on get a number below `number`."""
        return await self._on_one(lambda etcd: claims.reserve(etcd, prefix, uid, number))

    async def purge(self, prefix: str, uid: str) -> Purged:
        """Delete everything under a prefix, and its claim, if the claim is `uid`'s."""
        return await self._on_one(lambda etcd: claims.purge(etcd, prefix, uid))

    async def close(self) -> None:
        """Close all connections, and the feed."""
        if self._checking:
            self._checking.cancel()
        await self.feed.close()
        for etcd in (*self._asked, *self._probed):
            await etcd.close()

    async def _on_one(self, ask: Callable[[EtcdEndpoint], Awaitable[Answer]]) -> Answer:
        """Ask the endpoint that answered last, then the others; all requests may be repeated."""
        failures: list[ServiceFailed] = []
        for etcd in tuple(self._asked):
            try:
                return await ask(etcd)
            except ServiceFailed as failure:
                if failure.reason not in _ELSEWHERE:
                    raise
                failures.append(failure)
                self._asked.append(self._asked.pop(self._asked.index(etcd)))
        raise failures[0]


def _blocks(found: Iterable[Finding]) -> bool:
    return any(each.blocks for each in found)
