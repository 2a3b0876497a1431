"""One etcd endpoint: requests with a deadline through aetcd's generated stubs, errors in our words.

aetcd's own client hides what is needed here: response headers, error codes, range filters, ranges
in compares, and any address but one host's.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from aetcd import rpc
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

from kvhelm.metadata.dial import Endpoint, addresses_for, silence_of
from kvhelm.metadata.etcd.keys import KeyRange, KeyValue
from kvhelm.metadata.findings import Reason, ServiceFailed
from kvhelm.metadata.policy import Address, DialPolicy

_VERSION = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,4}(-[a-z0-9.]{1,20})?")
# StatusResponse.dbSizeQuota came with etcd 3.6, after aetcd's stubs were generated.
_QUOTA_FIELD = 12
_OPTIONS = (
    # An endpoint is dialled as it was checked, never through a proxy of the operator's.
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A watch that a NAT has forgotten; etcd refuses pings more often than every 5 s.
    ("grpc.keepalive_time_ms", 20000),
    ("grpc.keepalive_timeout_ms", 10000),
    # Services are apart from one another, and a channel made anew must connect anew.
    ("grpc.use_local_subchannel_pool", 1),
)
# What etcd itself says, below its prefix `etcdserver: `; matched, never repeated.
_SERVER_WORDS = (
    ("user name is empty", Reason.AUTH_REQUIRED),
    ("permission denied", Reason.AUTH_REQUIRED),
    ("invalid auth token", Reason.AUTH_REQUIRED),
    ("no leader", Reason.NO_LEADER),
    ("leader changed", Reason.NO_LEADER),
    ("request timed out", Reason.NO_LEADER),
    ("database space exceeded", Reason.NO_SPACE),
    ("corrupt", Reason.CORRUPT),
)


@dataclass(frozen=True)
class Status:
    """What one member says of itself."""

    cluster: int
    member: int
    leader: int
    version: str | None
    size: int
    """Bytes of the database file."""
    quota: int | None
    """Bytes that it may have; etcd tells since 3.6."""
    alarms: frozenset[Reason]


@dataclass(frozen=True)
class Peer:
    """One member of the cluster, as the cluster lists it."""

    member: int
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """What a range read returned, at which revision of which cluster."""

    cluster: int
    revision: int
    count: int
    entries: tuple[KeyValue, ...]


class EtcdEndpoint:
    """A connection to one endpoint, made when it is first needed and after each failure."""

    def __init__(self, endpoint: Endpoint, policy: DialPolicy, timeout: float) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._policy = policy
        self._addresses: tuple[Address, ...] = ()
        self._channel: Any = None
        self._asking = 0
        self._failed = False

    async def close(self) -> None:
        """Close the connection."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def status(self) -> Status:
        """Ask this member for its state; it answers without a leader too."""
        answer = await self._ask(rpc.MaintenanceStub, "Status", rpc.StatusRequest())
        words = " ".join(answer.errors)
        alarms = {"NOSPACE": Reason.NO_SPACE, "CORRUPT": Reason.CORRUPT}
        unknown = UnknownFieldSet(answer)
        quota = [field.data for field in unknown if field.field_number == _QUOTA_FIELD]
        return Status(
            cluster=answer.header.cluster_id,
            member=answer.header.member_id,
            leader=answer.leader,
            version=answer.version if _VERSION.fullmatch(answer.version) else None,
            size=answer.dbSize,
            quota=quota[0] if quota and isinstance(quota[0], int) else None,
            alarms=frozenset(reason for word, reason in alarms.items() if word in words),
        )

    async def peers(self) -> tuple[Peer, ...]:
        """List the members of the cluster."""
        answer = await self._ask(rpc.ClusterStub, "MemberList", rpc.MemberListRequest())
        return tuple(Peer(each.ID, tuple(each.clientURLs)) for each in answer.members)

    async def alarms(self) -> frozenset[Reason]:
        """List the alarms of the whole cluster."""
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET)
        answer = await self._ask(rpc.MaintenanceStub, "Alarm", request)
        known = {rpc.NOSPACE: Reason.NO_SPACE, rpc.CORRUPT: Reason.CORRUPT}
        return frozenset(known.get(each.alarm, Reason.UNHEALTHY) for each in answer.alarms)

    async def read(self, keys: bytes | KeyRange, *, count_only: bool = False) -> Page:
        """Read keys, confirmed by a majority of the members (linearizable)."""
        request = range_request(keys, count_only=count_only)
        return page_of(await self._ask(rpc.KVStub, "Range", request))

    async def transact(
        self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()
    ) -> Any:
        """Run one transaction and return etcd's TxnResponse."""
        request = rpc.TxnRequest(compare=compare, success=success, failure=failure)
        return await self._ask(rpc.KVStub, "Txn", request)

    async def ever_compacted(self) -> bool:
        """Tell whether history was compacted: the first revision can't be read any more."""
        request = rpc.RangeRequest(key=b"\0", revision=1, count_only=True)
        try:
            await self._ask(rpc.KVStub, "Range", request)
        except _Compacted:
            return True
        return False

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Stream"]:
        """Open one stream for watches; it ends with the block."""
        channel = await self._connected()
        call = rpc.WatchStub(channel).Watch()
        try:
            yield Stream(call, ServiceFailed(Reason.UNREACHABLE, str(self.endpoint)))
        finally:
            call.cancel()

    async def _ask(self, stub: Any, method: str, request: Any) -> Any:
        try:
            return await self._ask_once(stub, method, request)
        except _Passing:
            return await self._ask_once(stub, method, request)

    async def _ask_once(self, stub: Any, method: str, request: Any) -> Any:
        channel = await self._connected()
        call: Callable[..., Awaitable[Any]] = getattr(stub(channel), method)
        self._asking += 1
        try:
            return await call(request, timeout=self.timeout)
        except rpc.AioRpcError as error:
            raise await self._failure(error) from None
        finally:
            self._asking -= 1

    async def _connected(self) -> Any:
        # After a failure the name is resolved anew, but not under a request that still waits:
        # closing a channel cancels those.
        if self._failed and not self._asking:
            await self.close()
        if self._channel is None:
            addresses = await addresses_for(self.endpoint, self._policy)
            if self._channel is None:
                self._addresses, self._failed = addresses, False
                self._channel = _channel(self.endpoint, addresses)
        return self._channel

    async def _failure(self, error: rpc.AioRpcError) -> ServiceFailed:
        where = str(self.endpoint)
        if error.code() == rpc.StatusCode.OUT_OF_RANGE:
            return _Compacted(Reason.UNHEALTHY, where)
        reason = _said(error)
        if reason is not None:
            return ServiceFailed(reason, where)
        # No etcd answered. A fraction of a request's time, since a probe has to end soon.
        self._failed = True
        silence = await silence_of(self.endpoint, self._addresses, self.timeout / 6)
        if error.code() == rpc.StatusCode.DEADLINE_EXCEEDED:
            # It was spoken to all right; what is behind it did not answer.
            kept = silence in (Reason.UNREACHABLE, Reason.TLS_REQUIRED)
            return ServiceFailed(silence if silence and kept else Reason.STALLED, where)
        if silence is None:
            return _Passing(Reason.STALLED, where)
        return ServiceFailed(Reason.NOT_ETCD if silence is Reason.UNHEALTHY else silence, where)


class Stream:
    """Watches that share one stream."""

    def __init__(self, call: Any, broken: ServiceFailed) -> None:
        self._call = call
        self.broken = broken

    async def add(self, create: Any) -> None:
        """Add a watch (a WatchCreateRequest with a watch_id). Raises ServiceFailed."""
        await self._write(rpc.WatchRequest(create_request=create))

    async def remove(self, watch_id: int) -> None:
        """End a watch. Raises ServiceFailed."""
        cancel = rpc.WatchCancelRequest(watch_id=watch_id)
        await self._write(rpc.WatchRequest(cancel_request=cancel))

    async def answers(self) -> AsyncIterator[Any]:
        """Yield WatchResponses; the end of the stream is ServiceFailed."""
        try:
            async for answer in self._call:
                yield answer
        except rpc.AioRpcError:
            pass
        raise self.broken

    async def _write(self, request: Any) -> None:
        try:
            await self._call.write(request)
        except (rpc.AioRpcError, asyncio.InvalidStateError):
            raise self.broken from None


class _Passing(ServiceFailed):
    """A connection failed that would not any more: an etcd that starts, for one."""


class _Compacted(ServiceFailed):
    """The revision asked for is compacted away."""


def page_of(answer: Any) -> Page:
    """Read a RangeResponse."""
    entries = (
        KeyValue(each.key, each.value, each.create_revision, each.mod_revision)
        for each in answer.kvs
    )
    header = answer.header
    return Page(header.cluster_id, header.revision, answer.count, tuple(entries))


def range_request(keys: bytes | KeyRange, *, count_only: bool = False) -> Any:
    """Return the request that reads one key or a range."""
    if isinstance(keys, bytes):
        return rpc.RangeRequest(key=keys, count_only=count_only)
    return rpc.RangeRequest(key=keys.first, range_end=keys.end, count_only=count_only)


def _said(error: rpc.AioRpcError) -> Reason | None:
    """Return what an etcd's refusal means; None if it was no etcd that spoke."""
    code, words = error.code(), (error.details() or "").lower()
    if words.startswith("etcdserver:"):
        known = (reason for word, reason in _SERVER_WORDS if word in words)
        return next(known, Reason.UNHEALTHY)
    if code in (rpc.StatusCode.UNAUTHENTICATED, rpc.StatusCode.PERMISSION_DENIED):
        return Reason.AUTH_REQUIRED
    if code in (rpc.StatusCode.UNAVAILABLE, rpc.StatusCode.DEADLINE_EXCEEDED):
        return None
    # Some HTTP/2 or gRPC server, or one whose answers can't be read.
    return Reason.NOT_ETCD


def _channel(endpoint: Endpoint, addresses: tuple[Address, ...]) -> Any:
    # A channel takes addresses of one family; gRPC tries them in turn.
    four = [f"{each}:{endpoint.port}" for each in addresses if isinstance(each, IPv4Address)]
    six = [f"[{each}]:{endpoint.port}" for each in addresses if not isinstance(each, IPv4Address)]
    target = "ipv4:" + ",".join(four) if four else "ipv6:" + ",".join(six)
    authority = ("grpc.default_authority", f"{endpoint.host}:{endpoint.port}")
    return rpc.insecure_channel(target, options=(*_OPTIONS, authority))
