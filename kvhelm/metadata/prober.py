"""One probe per distinct service, however many pools share it.

A service is the same if kind and endpoints are. While it is well it is asked every 10 seconds or a
little sooner; a failure is confirmed at once, so that going away shows within 15 seconds; while it
is away it is asked every 3 seconds at least, so that its return shows within 5.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from kvhelm.metadata.findings import Reason, finding
from kvhelm.metadata.kinds import service_for
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.service import MetadataService, Probe

_log = logging.getLogger(__name__)

INTERVAL = 10.0
_FIRST_RETRY = 0.5
_LAST_RETRY = 2.8


@dataclass(frozen=True)
class Health:
    """What is known of a service: its last probe, and when a probe last succeeded."""

    probe: Probe
    last_success: float | None = None
    """Seconds since the epoch."""


Open = Callable[[str, Sequence[str], DialPolicy], MetadataService]


@dataclass
class _Shared:
    service: MetadataService
    subscriptions: "set[Subscription]" = field(default_factory=set)
    health: Health | None = None
    task: asyncio.Task[None] | None = None


class Subscription:
    """One user's share in a service. Close it; the last one closed closes the service."""

    def __init__(self, prober: "Prober", shared: _Shared, changed: Callable[[], None]) -> None:
        self._prober = prober
        self._shared = shared
        self._changed = changed

    @property
    def service(self) -> MetadataService:
        """The service, shared with its other users."""
        return self._shared.service

    @property
    def health(self) -> Health | None:
        """The last result, without I/O; None before the first."""
        return self._shared.health

    def tell(self) -> None:
        """Tell the user that health turned."""
        self._changed()

    async def close(self) -> None:
        """Give up the share."""
        await self._prober.release(self, self._shared)


class Prober:
    """Probes every service that somebody subscribed to. `interval` in seconds."""

    def __init__(
        self, policy: DialPolicy, *, interval: float = INTERVAL, open_service: Open = service_for
    ) -> None:
        self._policy = policy
        self._interval = interval
        self._open = open_service
        self._shared: dict[tuple[str, tuple[str, ...]], _Shared] = {}

    def subscribe(
        self, kind: str, endpoints: Sequence[str], changed: Callable[[], None]
    ) -> Subscription:
        """Share in a service; `changed()`, which must not raise, is called when health turns.

        Raises MetadataError for endpoints that can't be read.
        """
        key = (kind, tuple(sorted({each.strip().lower().rstrip("/") for each in endpoints})))
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(self._open(kind, key[1], self._policy))
            shared.task = asyncio.create_task(self._watch(shared), name=f"probe {kind}")
        subscription = Subscription(self, shared, changed)
        shared.subscriptions.add(subscription)
        return subscription

    def services(self) -> list[tuple[MetadataService, Health | None]]:
        """Return every distinct service with what is known of it, for metrics."""
        return [(shared.service, shared.health) for shared in self._shared.values()]

    async def release(self, subscription: Subscription, shared: _Shared) -> None:
        """Take a share back; without users a service is closed."""
        shared.subscriptions.discard(subscription)
        if not shared.subscriptions:
            await self._end(shared)

    async def close(self) -> None:
        """End all probes and close all services."""
        for shared in list(self._shared.values()):
            shared.subscriptions.clear()
            await self._end(shared)

    async def _end(self, shared: _Shared) -> None:
        # Out of the table first: who subscribes while this closes gets a service of his own.
        self._shared = {key: each for key, each in self._shared.items() if each is not shared}
        task, shared.task = shared.task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await shared.service.close()

    async def _watch(self, shared: _Shared) -> None:
        failures = 0
        while True:
            probe = await _probe(shared.service)
            if not probe.healthy and (shared.health is None or shared.health.probe.healthy):
                probe = await _probe(shared.service)  # the second one counts
            failures = 0 if probe.healthy else failures + 1
            self._show(shared, probe)
            await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        """Return the seconds until the next probe; spread out, since services fail together."""
        if failures:
            longest = min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(failures - 1, 8))
        else:
            longest = self._interval
        return longest * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing

    def _show(self, shared: _Shared, probe: Probe) -> None:
        before = shared.health
        if probe.healthy:
            shared.health = Health(probe, time.time())
        elif before is None:
            shared.health = Health(probe)
        else:
            # What the service is does not become unknown by its being away.
            known = before.probe
            shared.health = Health(
                replace(
                    probe,
                    version=probe.version or known.version,
                    cluster_id=probe.cluster_id or known.cluster_id,
                    revision=probe.revision or known.revision,
                ),
                before.last_success,
            )
        if before is None or _turned(before.probe, shared.health.probe):
            for subscription in list(shared.subscriptions):
                subscription.tell()


async def _probe(service: MetadataService) -> Probe:
    try:
        return await service.probe()
    except Exception as error:  # must not end the watch; the text may be an endpoint's
        _log.error("probe of %s: %s", service.endpoints[0], type(error).__name__)
        return Probe(finding(Reason.UNHEALTHY, service.endpoints[0]))


def _turned(before: Probe, now: Probe) -> bool:
    """Tell whether anything but numbers that always move differs."""
    steady = ("finding", "version", "cluster_id")
    if any(getattr(before, name) != getattr(now, name) for name in steady):
        return True
    # Restored or wiped under the same name.
    return (
        before.revision is not None and now.revision is not None and now.revision < before.revision
    )
