"""The metadata services that pools bring: who uses which, what is known of each.

One probe a service, however many pools share it (kvhelm.metadata.prober).
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kvhelm.controller.decide import PREFLIGHT_EVERY
from kvhelm.controller.pool import PoolKey
from kvhelm.controller.registered import Register
from kvhelm.controller.service_view import ServiceView, Trouble
from kvhelm.errors import MetadataError
from kvhelm.metadata.findings import Finding, ServiceFailed
from kvhelm.metadata.kinds import service_for
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.prober import Prober, Subscription
from kvhelm.metadata.service import Member, MetadataService, Purged
from kvhelm.values import Place

Changed = Callable[[Iterable[PoolKey]], None]


@dataclass
class _Use:
    """One pool's share in a service."""

    place: Place
    subscription: Subscription | None = None
    """None if the endpoints can't even be read; `troubles` says why."""
    troubles: tuple[Trouble, ...] | None = None
    """What the last preflight found; None if there was none."""
    outdated_at: float = 0
    """When, on the event loop's clock, that is no longer taken for granted."""
    claimed: bool = False
    register: Register | None = None
    """Who is registered there; None before the place is claimed, or if that can't be told."""


@dataclass
class Services:
    """Every service in use. Only who leads observes pools, so a standby dials nothing."""

    policy: DialPolicy
    changed: Changed
    _uses: dict[PoolKey, _Use] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Prepare; nothing is dialled yet."""
        self._prober = Prober(self.policy)

    async def close(self) -> None:
        """End all probes."""
        await self._prober.close()

    def follow(self, key: PoolKey, place: Place | None) -> None:
        """Note which place a pool uses now, None for none (any more)."""
        before = self._uses.get(key)
        if before is not None and before.place == place:
            return
        if place is None:
            self._uses.pop(key, None)
        else:
            self._uses[key] = self._subscribe(key, place)
        # After the new subscription: a service that both use is not closed in between.
        if before and before.subscription:
            if before.register:
                before.subscription.service.feed.unfollow(before.place.prefix)
            closing = asyncio.create_task(before.subscription.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def register(self, key: PoolKey, make: Callable[[float], Register]) -> None:
        """Keep who is registered in a pool's place, which must be the pool's own.

        `make` is given the time of the event loop, and only called if nobody is followed yet.
        """
        use = self._uses[key]
        if use.register is None and use.subscription and use.subscription.service.observable:
            use.register = make(_now())
            self._follow(key, use, use.subscription.service)

    def view(self, key: PoolKey, place: Place) -> ServiceView:
        """Return what is known of a pool's service, without I/O."""
        use = self._uses.get(key)
        if use is None or use.place != place:
            return ServiceView(place)
        health = use.subscription.health if use.subscription else None
        probe = health.probe if health else None
        return ServiceView(
            place,
            healthy=probe.healthy if probe else None,
            trouble=_trouble(probe.finding) if probe and probe.finding else None,
            version=probe.version if probe else None,
            cluster_id=probe.cluster_id if probe else None,
            latency=probe.latency if probe else None,
            last_success=datetime.fromtimestamp(int(health.last_success), UTC)
            if health and health.last_success
            else None,
            found=use.troubles,
            outdated=_now() >= use.outdated_at,
            claimed=use.claimed,
            observable=bool(use.subscription and use.subscription.service.observable),
            registered=use.register.as_of(_now()) if use.register else None,
        )

    async def preflight(self, key: PoolKey, place: Place, uid: str) -> None:
        """Check whether the pool can work there; `view` tells what was found."""
        use = self._uses[key]
        if use.subscription:
            findings = await use.subscription.service.preflight(place.prefix, uid)
            self._note(use, tuple(map(_trouble, findings)))

    async def claim(self, key: PoolKey, place: Place, uid: str) -> None:
        """Claim the place; `view` tells whether it was, or what is in the way."""
        use = self._uses[key]
        finding = await self._service(use).claim(place.prefix, uid)
        if finding is None:
            use.claimed = True
            if use.register:
                await self.look(key)
        else:
            self._note(use, (_trouble(finding),))

    async def look(self, key: PoolKey) -> None:
        """Read again who is registered, timestamps included. Raises MetadataError."""
        use = self._uses[key]
        picture = await self._service(use).members(use.place.prefix)
        if use.register and picture:
            use.register.see(picture, _now())

    async def remove(self, key: PoolKey, place: Place, uid: str, member: Member) -> bool:
        """Delete a member's entry if it has not moved; tell whether it went."""
        removed = await self._service(self._uses[key]).remove_member(place.prefix, uid, member)
        await self.look(key)
        return removed

    async def reserve(self, key: PoolKey, place: Place, uid: str) -> None:
        """See to it that no daemon will get the number of one that lives.

        Raises MetadataError, also if the place is another's by now.
        """
        use = self._uses[key]
        number = use.register.highest_number() + 1 if use.register else 0
        finding = await self._service(use).reserve(place.prefix, uid, number)
        if finding is not None:
            raise ServiceFailed(finding.reason, place.prefix)

    async def claim_again(self, key: PoolKey, place: Place, uid: str) -> None:
        """Claim a place that was mended: what is there now is the known good.

        Raises MetadataError, also if the place is another's by now.
        """
        use = self._uses[key]
        finding = await self._service(use).claim(place.prefix, uid)
        if finding is not None:
            raise ServiceFailed(finding.reason, place.prefix)
        if use.register:
            use.register.mended(_now())
            await self.look(key)

    async def purge(self, key: PoolKey, place: Place, uid: str) -> Purged:
        """Delete what the pool has left there. Raises MetadataError."""
        return await self._service(self._uses[key]).purge(place.prefix, uid)

    async def purge_left(self, key: PoolKey, place: Place, uid: str) -> Purged | None:
        """Delete what the pool has left at a place where it was before. Raises MetadataError.

        None if that is the place where it is: the same data by the name of other endpoints.
        """
        use = self._uses.get(key)
        left = service_for(place.kind, place.endpoints, self.policy)
        try:
            if use and use.subscription and use.place.prefix == place.prefix:
                then = await left.members(place.prefix)
                now = await use.subscription.service.members(place.prefix)
                if then and now and then.cluster_id == now.cluster_id:
                    return None
            purged = await left.purge(place.prefix, uid)
            if use and use.subscription and not left.observable:
                # It may have been the same service by another name.
                await use.subscription.service.claim(use.place.prefix, uid)
            return purged
        finally:
            await left.close()

    def known(self) -> list[tuple[str, str, bool | None, float | None]]:
        """Return kind, endpoints, health and latency (seconds) of every service, for metrics."""
        return [
            (
                service.kind,
                ",".join(service.endpoints),
                health.probe.healthy if health else None,
                health.probe.latency if health else None,
            )
            for service, health in self._prober.services()
        ]

    def _subscribe(self, key: PoolKey, place: Place) -> _Use:
        use = _Use(place)

        def turned() -> None:
            # Whatever was found before may be mended, or broken, by now.
            use.outdated_at = 0
            if use.register:
                use.register.away(_now())
            self.changed([key])

        try:
            use.subscription = self._prober.subscribe(place.kind, place.endpoints, turned)
        except MetadataError as error:
            self._note(use, (Trouble("EndpointInvalid", str(error), blocks=True),))
        return use

    def _follow(self, key: PoolKey, use: _Use, service: MetadataService) -> None:
        def changed(prefix: str) -> None:
            picture = service.feed.current(prefix)
            if use.register and picture:
                use.register.see(picture, _now())
                self.changed([key])

        service.feed.follow(use.place.prefix, changed)

    @staticmethod
    def _note(use: _Use, troubles: tuple[Trouble, ...]) -> None:
        use.troubles = troubles
        use.outdated_at = _now() + PREFLIGHT_EVERY

    @staticmethod
    def _service(use: _Use) -> MetadataService:
        if use.subscription is None:
            raise MetadataError("the endpoints of the metadata service can't be read")
        return use.subscription.service


def _now() -> float:
    return asyncio.get_running_loop().time()


def _trouble(finding: Finding) -> Trouble:
    return Trouble(finding.reason.value, finding.message, finding.blocks)
