"""redis, through redis-py: https://redis.io/docs/latest/commands/.

vineyardd's keys in a redis carry no prefix, so one redis serves one pool: the claim is of the whole
redis, and what vineyardd left there can't be told from anybody's. No vineyardd that can use redis
is to be had from a package (its build needs BUILD_VINEYARD_SERVER_REDIS=ON): what is said here of
the service is tested, a running vineyardd on redis is not.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from kvhelm.errors import MetadataError
from kvhelm.metadata.dial import addresses_for, endpoint_in, silence_of
from kvhelm.metadata.findings import Finding, Reason, ServiceFailed, finding
from kvhelm.metadata.policy import Address, DialPolicy
from kvhelm.metadata.service import PROBE_DEADLINE, Member, Members, Probe, Purged

CLAIM = "kvhelm:claim"
_REQUEST = 4.0
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,4}")

Info = Mapping[str, Any]


class RedisService:
    """One redis. Raises MetadataError unless there is exactly one endpoint redis://HOST:PORT."""

    kind = "redis"
    observable = False

    def __init__(self, endpoints: Sequence[str], policy: DialPolicy) -> None:
        read = [endpoint_in(each) for each in endpoints]
        if len(read) != 1 or read[0].scheme != "redis":
            raise MetadataError("a redis has one endpoint, redis://HOST:PORT")
        self._endpoint = read[0]
        self._policy = policy
        self.endpoints = (str(self._endpoint),)
        self.feed = Unobserved()

    async def preflight(self, prefix: str, uid: str) -> tuple[Finding, ...]:
        """Find out whether a pool can work with this redis; see MetadataService."""
        try:
            async with self._connected(_REQUEST) as redis:
                await redis.ping()
                reasons = judged(await redis.info())
                holder = await redis.get(CLAIM)
                keys = await redis.dbsize()
        except ServiceFailed as failure:
            return (failure.finding,)
        if holder not in (None, uid):
            reasons.append(Reason.PREFIX_TAKEN)
        if holder is None and keys:
            reasons.append(Reason.PREFIX_FOREIGN_KEYS)
        return tuple(finding(reason, str(self._endpoint)) for reason in reasons)

    async def probe(self) -> Probe:
        """Ask for health, within PROBE_DEADLINE seconds."""
        start = time.monotonic()
        try:
            async with (
                asyncio.timeout(PROBE_DEADLINE),
                self._connected(PROBE_DEADLINE / 2) as redis,
            ):
                await redis.ping()
                latency = time.monotonic() - start
                info = await redis.info()
        except ServiceFailed as failure:
            return Probe(failure.finding)
        except TimeoutError:
            return Probe(finding(Reason.STALLED, str(self._endpoint)))
        wrong = judged(info)
        version = str(info.get("redis_version"))
        return Probe(
            finding(wrong[0], str(self._endpoint)) if wrong else None,
            latency=None if wrong else latency,
            version=version if _VERSION.fullmatch(version) else None,
        )

    async def claim(self, prefix: str, uid: str) -> Finding | None:
        """Claim the whole redis unless it is another's."""
        async with self._connected(_REQUEST) as redis:
            await redis.set(CLAIM, uid, nx=True)
            holder = await redis.get(CLAIM)
        return None if holder == uid else finding(Reason.PREFIX_TAKEN, str(self._endpoint))

    async def members(self, prefix: str) -> Members | None:
        """Return None: what vineyardd writes into a redis is not known well enough to be read."""
        return None

    async def remove_member(self, prefix: str, uid: str, member: Member) -> bool:
        """Remove nothing: no member was ever seen."""
        return False

    async def reserve(self, prefix: str, uid: str, number: int) -> Finding | None:
        """Do nothing: how vineyardd counts in a redis is not known."""
        return None

    async def purge(self, prefix: str, uid: str) -> Purged:
        """Delete the claim if it is `uid`'s. vineyardd's keys, which have no prefix, remain."""
        async with self._connected(_REQUEST) as redis, redis.pipeline() as transaction:
            await transaction.watch(CLAIM)
            holder = await transaction.get(CLAIM)
            keys = await transaction.dbsize()
            if holder not in (None, uid):
                return Purged(refused=finding(Reason.PREFIX_TAKEN, str(self._endpoint)))
            if holder is None:
                return Purged(remaining=keys)
            transaction.multi()
            transaction.delete(CLAIM)
            await transaction.execute()
            return Purged(remaining=keys - 1)

    async def close(self) -> None:
        """Do nothing: each request has a connection of its own."""

    @asynccontextmanager
    async def _connected(self, timeout: float) -> AsyncIterator[Any]:
        """Connect to an address that was checked; errors become ServiceFailed."""
        addresses = await addresses_for(self._endpoint, self._policy)
        client = _client(addresses[0], self._endpoint.port, timeout)
        try:
            yield client
        except (exceptions.RedisError, OSError, ValueError) as error:
            raise await self._failure(error, addresses, timeout / 2) from None
        finally:
            await client.aclose()

    async def _failure(
        self, error: Exception, addresses: tuple[Address, ...], patience: float
    ) -> ServiceFailed:
        reason = _said(error)
        if reason is None:
            reason = await silence_of(self._endpoint, addresses, patience)
            if reason in (None, Reason.UNHEALTHY):
                reason = Reason.NOT_REDIS
        return ServiceFailed(reason, str(self._endpoint))


class Unobserved:
    """The feed of a service that can't tell who is registered: the pods alone do."""

    def follow(self, prefix: str, changed: Callable[[str], None]) -> None:
        """Follow nothing."""

    def unfollow(self, prefix: str) -> None:
        """Follow nothing."""

    def current(self, prefix: str) -> Members | None:
        """Return None: not observable."""
        return None


def judged(info: Info) -> list[Reason]:
    """Judge what a redis says of itself (INFO), worst first."""
    if "redis_version" not in info:
        return [Reason.NOT_REDIS]
    most, used = info.get("maxmemory", 0), info.get("used_memory", 0)
    wrong = {
        Reason.LOADING: info.get("loading") == 1,
        Reason.NOT_PRIMARY: info.get("role") != "master",
        Reason.CLUSTER_MODE: info.get("cluster_enabled") == 1,
        Reason.EVICTION_ON: info.get("maxmemory_policy", "noeviction") != "noeviction",
        Reason.NO_SPACE: isinstance(most, int) and isinstance(used, int) and 0 < most <= used,
    }
    return [reason for reason, holds in wrong.items() if holds]


def _said(error: Exception) -> Reason | None:
    """Return what a redis's refusal means; None if it was no redis that spoke."""
    known: tuple[tuple[type[Exception], Reason], ...] = (
        (exceptions.BusyLoadingError, Reason.LOADING),
        (exceptions.AuthenticationError, Reason.AUTH_REQUIRED),
        (exceptions.NoPermissionError, Reason.AUTH_REQUIRED),
        (exceptions.ReadOnlyError, Reason.NOT_PRIMARY),
        (exceptions.ClusterDownError, Reason.CLUSTER_MODE),
        (exceptions.MovedError, Reason.CLUSTER_MODE),
        (exceptions.OutOfMemoryError, Reason.NO_SPACE),
        (exceptions.InvalidResponse, Reason.NOT_REDIS),
        (ValueError, Reason.NOT_REDIS),  # a number that is none
    )
    for kind, reason in known:
        if isinstance(error, kind):
            return reason
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
        return None
    return Reason.UNHEALTHY


def _client(address: Address, port: int, timeout: float) -> "Redis":
    return Redis(
        host=str(address),
        port=port,
        protocol=2,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
        driver_info=None,
    )
