"""Leader election, with the API server played by a few lines.

A real one cannot be told to lose an answer or to let minutes pass; what it does with a Lease
otherwise is in tests/cluster.
"""

import asyncio
import copy
from collections.abc import Callable
from typing import Any, cast

import pytest

from kvhelm.kube.client import Client
from kvhelm.kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from kvhelm.kube.lease import LeaderElection
from kvhelm.kube.resource import Object, Resource


class OneLease:
    """Keeps one Lease as the API server does: merge patches guarded by resourceVersion."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.down = False
        self.loses_answers = False
        self.calls: asyncio.Queue[str] = asyncio.Queue()

    async def get(self, resource: Resource, name: str, namespace: str, **_: Any) -> Object:
        self._called("get")
        if self.lease is None:
            raise NotFound(404, "NotFound", f"leases {name!r} not found")
        return copy.deepcopy(self.lease)

    async def create(self, resource: Resource, obj: Object, **_: Any) -> Object:
        self._called("create")
        if self.lease is not None:
            raise AlreadyExists(409, "AlreadyExists", "exists")
        self.lease = copy.deepcopy(obj)
        return self._written()

    async def patch(
        self, resource: Resource, name: str, body: Object, namespace: str, **_: Any
    ) -> Object:
        self._called("patch")
        if self.lease is None:
            raise NotFound(404, "NotFound", "gone")
        if body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "changed meanwhile")
        spec = {**self.lease["spec"], **body["spec"]}
        self.lease["spec"] = {k: v for k, v in spec.items() if v is not None}
        return self._written()

    def steal(self, thief: str) -> None:
        assert self.lease
        self.lease["spec"]["holderIdentity"] = thief
        self._written()

    @property
    def spec(self) -> Object:
        assert self.lease
        return dict(self.lease["spec"])

    def _called(self, what: str) -> None:
        self.calls.put_nowait(what)
        if self.down:
            raise Unreachable("connection refused")

    def _written(self) -> Object:
        assert self.lease
        self.version += 1
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.loses_answers:
            self.loses_answers = False
            raise Unreachable("connection reset")
        return copy.deepcopy(self.lease)

    async def called(self, what: str, times: int = 1) -> None:
        """Wait until that was asked so often from now on."""
        while not self.calls.empty():
            self.calls.get_nowait()
        while times:
            times -= await self.calls.get() == what


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Elect = Callable[..., LeaderElection]


@pytest.fixture
async def api() -> OneLease:
    return OneLease()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def elect(api: OneLease, clock: Clock) -> Elect:
    def elect(identity: str, time: Clock = clock) -> LeaderElection:
        return LeaderElection(
            cast(Client, api), "system", "kvhelm", identity=identity, retry_period=0.01, time=time
        )

    return elect


async def test_a_standby_takes_over_as_soon_as_the_lease_is_given_back(
    api: OneLease, elect: Elect
) -> None:
    standby = elect("standby")
    async with asyncio.timeout(30):
        async with elect("first") as first:
            assert first.is_leader
            assert api.spec["holderIdentity"] == "first"
            assert api.spec["leaseTransitions"] == 0
            waiting = asyncio.create_task(standby.__aenter__())
            await api.called("get", 3)
            assert not waiting.done()
            assert not standby.is_leader
        assert first.lost.is_set()
        assert not first.is_leader
        # No clock moved: it was given back, not run out.
        await waiting
        assert standby.is_leader
        assert api.spec["holderIdentity"] == "standby"
        assert api.spec["leaseTransitions"] == 1
        assert api.spec["leaseDurationSeconds"] == 15
        await standby.__aexit__()
        assert "holderIdentity" not in api.spec


async def test_a_dead_leader_is_succeeded_when_its_record_stood_still_long_enough(
    api: OneLease, elect: Elect, clock: Clock
) -> None:
    # Its wall clock was wrong by years: that must not matter.
    await api.create(
        cast(Resource, None),
        {
            "metadata": {"name": "kvhelm"},
            "spec": {
                "holderIdentity": "dead",
                "leaseDurationSeconds": 15,
                "renewTime": "1970-01-01T00:00:00.000000Z",
                "leaseTransitions": 7,
            },
        },
    )
    standby = elect("standby")
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(standby.__aenter__())
        await api.called("get", 2)
        clock.now += 14.9
        await api.called("get", 2)
        assert not waiting.done()
        assert standby.holder == "dead"
        clock.now += 0.2
        await waiting
        assert api.spec["leaseTransitions"] == 8
        await standby.__aexit__()


async def test_a_leader_that_renews_is_left_alone_for_ever(
    api: OneLease, elect: Elect, clock: Clock
) -> None:
    async with asyncio.timeout(30), elect("first") as first:
        waiting = asyncio.create_task(elect("standby").__aenter__())
        for _ in range(10):
            await api.called("patch", 2)
            await api.called("get", 2)
            clock.now += 9.0
        assert first.is_leader
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(
    api: OneLease, elect: Elect, clock: Clock
) -> None:
    async with asyncio.timeout(30), elect("first") as first:
        api.down = True
        await api.called("patch", 2)
        clock.now += 9.9
        await api.called("patch", 1)
        assert first.is_leader
        clock.now += 0.2
        # Even before its own task noticed.
        assert not first.is_leader
        await first.lost.wait()
    assert api.spec["holderIdentity"] == "first"  # not given back: it was not ours to give


async def test_an_outage_shorter_than_the_deadline_is_survived(
    api: OneLease, elect: Elect, clock: Clock
) -> None:
    async with asyncio.timeout(30), elect("first") as first:
        api.down = True
        await api.called("patch", 2)
        clock.now += 9.0
        api.down = False
        await api.called("patch", 2)
        clock.now += 9.0
        assert first.is_leader


async def test_a_stolen_lease_is_lost_at_once(api: OneLease, elect: Elect) -> None:
    async with asyncio.timeout(30):
        async with elect("first") as first:
            api.steal("thief")
            await first.lost.wait()
            assert first.holder == "thief"
        assert api.spec["holderIdentity"] == "thief"


async def test_a_deleted_lease_is_lost(api: OneLease, elect: Elect) -> None:
    async with asyncio.timeout(30), elect("first") as first:
        api.lease = None
        await first.lost.wait()


async def test_a_renewal_whose_answer_got_lost_is_our_own(
    api: OneLease, elect: Elect, clock: Clock
) -> None:
    async with asyncio.timeout(30), elect("first") as first:
        for _ in range(3):
            api.loses_answers = True
            await api.called("get")
            await api.called("patch", 2)
            clock.now += 5.0
        assert first.is_leader
        api.loses_answers = True
        await api.called("patch")
    assert "holderIdentity" not in api.spec


async def test_times_that_would_let_two_lead_are_refused(api: OneLease) -> None:
    with pytest.raises(ValueError, match="lease_duration > renew_deadline"):
        LeaderElection(cast(Client, api), "ns", "x", lease_duration=10, renew_deadline=10)
