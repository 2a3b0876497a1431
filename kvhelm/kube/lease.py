"""Leader election on a Lease: one of several processes acts, the others stand by."""

import asyncio
import logging
import math
import random
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from kvhelm.errors import KubeError
from kvhelm.kube.client import Client
from kvhelm.kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from kvhelm.kube.resource import LEASES, Object

log = logging.getLogger(__name__)


def _level(error: KubeError) -> int:
    """Return how loud an error is: a server that is away is told of by the transport, for all."""
    return logging.DEBUG if isinstance(error, Unreachable) else logging.WARNING


def new_identity() -> str:
    """Return a name for this process that no other has, not even its successor on this host."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class LeaderElection:
    """Leads from entering the context (which waits until we lead) until `lost`, or its end.

    Whoever leads must stop when `lost` is set: `renew_deadline` seconds have gone without a
    renewal, or another holds the Lease. Others take over when the record stood still for
    `lease_duration` seconds as they saw it: no clock is compared with another machine's. Leaving
    the context gives the Lease back, so that a standby takes over within `retry_period`.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        identity: str | None = None,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        time: Callable[[], float] | None = None,
    ) -> None:
        """Prepare; `time` is a monotonic clock in seconds, the event loop's by default.

        Raises ValueError unless lease_duration > renew_deadline > retry_period: else a leader
        could still act when another already leads.
        """
        if not lease_duration > renew_deadline > retry_period > 0:
            raise ValueError("lease_duration > renew_deadline > retry_period > 0 must hold")
        self.identity = identity or new_identity()
        self.lost = asyncio.Event()
        """Set when we no longer lead, for whatever reason."""
        self.holder = ""
        """Who holds the Lease, as last seen; empty if nobody does."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._time = time or asyncio.get_running_loop().time
        self._lease: Object = {}
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._renewing: asyncio.Task[None] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether we lead now: asks the clock, so that it is true even after a long stall."""
        leads = self._renewing is not None and not self.lost.is_set()
        return leads and self._left() > 0

    async def __aenter__(self) -> Self:
        log.info("waiting to lead as %s", self.identity)
        failed = ""
        while True:
            try:
                if await self._acquire():
                    break
                failed = ""
            except KubeError as e:
                if failed != str(e):
                    log.log(_level(e), "Lease %s/%s: %s", self._namespace, self._name, e)
                failed = str(e)
            await self._pause()
        log.info("leading as %s", self.identity)
        self._renewing = asyncio.create_task(self._keep(), name="renew the Lease")
        return self

    async def __aexit__(self, *_: object) -> None:
        led = not self.lost.is_set()
        if self._renewing:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        self.lost.set()
        if led:
            await self._release()

    async def _acquire(self) -> bool:
        """Try once to hold the Lease."""
        began = self._time()
        try:
            lease = await self._client.get(
                LEASES, self._name, self._namespace, timeout=self._renew_deadline
            )
        except NotFound:
            return await self._create(began)
        self._observe(lease)
        spec = lease.get("spec") or {}
        duration = spec.get("leaseDurationSeconds") or self._lease_duration
        if self.holder not in ("", self.identity) and self._time() < self._seen_at + duration:
            return False
        changes: Object = {}
        if self.holder != self.identity:
            changes = {
                "holderIdentity": self.identity,
                "acquireTime": _micro_time(),
                "leaseTransitions": (spec.get("leaseTransitions") or 0) + 1,
            }
        try:
            await self._write(changes)
        except Conflict:
            return False
        self._renewed_at = began
        return True

    async def _create(self, began: float) -> bool:
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._lease_duration),
            "acquireTime": _micro_time(),
            "renewTime": _micro_time(),
            "leaseTransitions": 0,
        }
        metadata = {"name": self._name, "namespace": self._namespace}
        try:
            lease = await self._client.create(
                LEASES, {"metadata": metadata, "spec": spec}, timeout=self._renew_deadline
            )
        except AlreadyExists:
            return False
        self._observe(lease)
        self._renewed_at = began
        return True

    async def _keep(self) -> None:
        """Renew until that fails for too long."""
        try:
            while True:
                await asyncio.sleep(self._retry_period)
                if not await self._renew():
                    break
        finally:
            self.lost.set()  # whatever ended it

    async def _renew(self) -> bool:
        """Renew once, trying until the deadline; tell whether we still lead."""
        while self._left() > 0:
            began = self._time()
            try:
                await self._write({}, timeout=self._left())
            except Conflict:
                # Another took it, or our own write came through and its answer did not.
                if not await self._still_ours():
                    log.error("no longer leading: %s holds the Lease", self.holder or "nobody")
                    return False
            except NotFound:
                log.error("no longer leading: the Lease was deleted")
                return False
            except KubeError as e:
                log.log(_level(e), "cannot renew the Lease: %s", e)
                await self._pause(self._left())
            else:
                self._renewed_at = began
                return True
        log.error("no longer leading: not renewed for %g s", self._renew_deadline)
        return False

    def _left(self) -> float:
        """Return the seconds until we must stop, if nothing is renewed."""
        return self._renewed_at + self._renew_deadline - self._time()

    async def _still_ours(self) -> bool:
        try:
            self._observe(
                await self._client.get(
                    LEASES, self._name, self._namespace, timeout=max(self._left(), 0.1)
                )
            )
        except KubeError as e:
            log.log(_level(e), "cannot read the Lease: %s", e)
            await self._pause(self._left())
            return True  # unknown: the deadline decides
        return self.holder == self.identity

    async def _release(self) -> None:
        """Give the Lease back; should that fail, it runs out by itself."""
        changes = {"holderIdentity": None, "leaseDurationSeconds": 1}
        try:
            try:
                await self._write(changes, timeout=self._retry_period)
            except Conflict:
                if await self._still_ours():
                    await self._write(changes, timeout=self._retry_period)
        except KubeError as e:
            log.warning("the Lease is not given back, it ends in its time: %s", e)

    async def _write(self, changes: Object, timeout: float | None = None) -> None:
        """Write the Lease, if it is still as last seen; else raise Conflict."""
        spec = {
            "leaseDurationSeconds": math.ceil(self._lease_duration),
            "renewTime": _micro_time(),
            **changes,
        }
        metadata = {"resourceVersion": self._lease["metadata"]["resourceVersion"]}
        self._observe(
            await self._client.patch(
                LEASES,
                self._name,
                {"metadata": metadata, "spec": spec},
                self._namespace,
                timeout=timeout or self._renew_deadline,
            )
        )

    def _observe(self, lease: Object) -> None:
        """Note when the record was first seen as it is now."""
        spec = lease.get("spec") or {}
        if not self._lease or spec != self._lease.get("spec"):
            self._seen_at = self._time()
        self._lease = lease
        self.holder = spec.get("holderIdentity") or ""

    async def _pause(self, at_most: float = math.inf) -> None:
        # At random, so that standbys do not all ask at once.
        seconds = self._retry_period * random.uniform(0.5, 1.0)  # noqa: S311
        await asyncio.sleep(min(seconds, at_most))


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
