"""One probe a service, and what its users hear of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kvhelm.metadata.findings import Reason, finding
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.prober import Prober
from kvhelm.metadata.redis import RedisService
from kvhelm.metadata.service import Probe

DOWN = Probe(finding(Reason.UNREACHABLE))


class Scripted(RedisService):
    """A service that answers probes as told, one a time; then it is well."""

    def __init__(self, answers: Sequence[Probe]) -> None:
        super().__init__(["redis://h:1"], DialPolicy())
        self.answers = list(answers)
        self.probes = 0
        self.closed = False
        self.all_told = asyncio.Event()

    async def probe(self) -> Probe:
        self.probes += 1
        if not self.answers:
            self.all_told.set()
            return Probe(None, revision=9)
        return self.answers.pop(0)

    async def close(self) -> None:
        self.closed = True


class Desk:
    """Opens scripted services."""

    def __init__(self) -> None:
        self.script: list[Probe] = []
        self.opened: list[Scripted] = []

    def open(self, kind: str, endpoints: Sequence[str], policy: DialPolicy) -> Scripted:
        self.opened.append(Scripted(self.script))
        return self.opened[-1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def prober(desk: Desk) -> AsyncIterator[Prober]:
    made = Prober(DialPolicy(), interval=0.01, open_service=desk.open)
    yield made
    await made.close()


async def test_a_hiccup_is_no_turn(prober: Prober, desk: Desk) -> None:
    desk.script = [Probe(None), DOWN, *[Probe(None)] * 3]
    turns: list[str] = []
    subscription = prober.subscribe("redis", ["redis://h:1"], lambda: turns.append("turned"))

    await asyncio.wait_for(desk.opened[0].all_told.wait(), 30)
    assert turns == ["turned"], "the first result, and nothing since"
    assert subscription.health and subscription.health.probe.healthy


async def test_a_failure_that_lasts_is_a_turn_and_keeps_what_is_known(
    prober: Prober, desk: Desk
) -> None:
    desk.script = [Probe(None, version="7.0.1"), DOWN, DOWN]
    seen: list[Probe] = []
    back = asyncio.Event()

    def changed() -> None:
        assert subscription.health
        seen.append(subscription.health.probe)
        if len(seen) == 3:
            back.set()

    subscription = prober.subscribe("redis", ["redis://h:1"], changed)
    await asyncio.wait_for(back.wait(), 30)
    assert [each.healthy for each in seen] == [True, False, True]
    assert seen[1].version == "7.0.1"


async def test_users_of_one_service_share_it_until_the_last_leaves(
    prober: Prober, desk: Desk
) -> None:
    one = prober.subscribe("redis", ["redis://H:1/"], lambda: None)
    other = prober.subscribe("redis", ["redis://h:1"], lambda: None)
    apart = prober.subscribe("redis", ["redis://h:2"], lambda: None)
    assert len(desk.opened) == 2
    assert one.service is other.service is not apart.service
    await one.close()
    await one.close()
    assert not desk.opened[0].closed
    await other.close()
    assert desk.opened[0].closed
    prober.subscribe("redis", ["redis://h:1"], lambda: None)
    assert len(desk.opened) == 3, "asked for again, opened again"


@pytest.mark.parametrize("failures", [0, 1, 2, 5, 5000])
def test_pauses_keep_the_promised_times(failures: int) -> None:
    prober = Prober(DialPolicy())
    pauses = [prober._pause(failures) for _ in range(200)]
    # Noticed within 15 s: pause, probe, confirming probe. Back within 5 s: probe, pause, probe.
    longest = 3.0 if failures else 10.0
    assert min(pauses) > 0 and max(pauses) <= longest
