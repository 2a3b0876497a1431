"""How a new chart comes to the pools: who is behind, whose turn it is, and where it stops."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kvhelm.api.status import FailedAttempt, Pin, Rejected
from kvhelm.controller.decide import decide
from kvhelm.controller.pool import PoolKey
from kvhelm.controller.report import status_for
from kvhelm.controller.rollout import data_for
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import Nothing, Upgrade
from kvhelm.controller.waves import (
    Place,
    Plan,
    Standing,
    State,
    Waves,
    plan_for,
    standing_for,
)
from tests.unit.pools import NOW, POLICY, pod, pool, revision, service, snapshot, workload

OLD: dict[str, Any] = {"chart": "chart-0", "healthy": True}


def behind(**changes: Any) -> Snapshot:
    """A pool whose revision is of an earlier chart."""
    made = {"revisions": (revision(1, **OLD),), "workloads": (workload(),), "turn": False}
    return snapshot(**{**made, **changes})


def rejected(**more: Any) -> dict[str, Any]:
    told = Rejected(revision=2, spec_digest="spec-1", chart_digest="chart-1", message="no")
    return {"release": {"name": "p", "rejected": told.model_dump(by_alias=True), **more}}


FAILED = FailedAttempt(
    spec_digest="spec-1", chart_digest="chart-1", reason="RenderFailed", message="no"
)
PINNED = Pin(revision=1, spec_digest="spec-1", chart_digest="chart-0").model_dump(by_alias=True)
MOVED = (revision(1, "superseded", **OLD), revision(2))


@pytest.mark.parametrize(
    ("seen", "where"),
    [
        (snapshot(revisions=()), Standing.OTHER),
        (behind(), Standing.WAITING),
        (behind(workloads=(workload(ready=0),)), Standing.UNREADY),
        (behind(turn=True), Standing.MOVING),
        (behind(revisions=MOVED, workloads=(workload(ready=0),), pods=(pod(),)), Standing.MOVING),
        (behind(revisions=(MOVED[0], revision(2, healthy=True))), Standing.CURRENT),
        (behind(revisions=MOVED, workloads=(workload(replicas=0),)), Standing.CURRENT),
        (snapshot(revisions=(revision(1, healthy=True),)), Standing.NEW),
        # Not ready yet as its user asked for it: the chart is not to blame.
        (snapshot(revisions=(revision(1),), workloads=(workload(ready=0),)), Standing.OTHER),
        (
            snapshot(
                revisions=(revision(1, "superseded", spec="spec-0", asked="a0", **OLD), MOVED[1]),
                workloads=(workload(ready=0),),
                asked="a1",
            ),
            Standing.OTHER,
        ),
        # A change of the user's own is not held back.
        (behind(revisions=(revision(1, asked="a0", **OLD),), asked="a1"), Standing.OTHER),
        # (Defaults of the operator are not the user's.)
        (behind(revisions=(revision(1, spec="spec-0"),)), Standing.WAITING),
        (behind(failed=FAILED), Standing.FAILED),
        (behind(the_pool=pool(status=rejected())), Standing.FAILED),
        (
            behind(
                the_pool=pool({"upgrade": {"onFailure": "Keep", "progressDeadlineSeconds": 60}}),
                revisions=(MOVED[0], revision(2, age=61)),
                workloads=(workload(ready=0),),
                pods=(pod(age=61),),
            ),
            Standing.FAILED,
        ),
        (
            behind(
                the_pool=pool(
                    {"rollbackTo": {"revision": 1}},
                    status={"release": {"name": "p", "pinned": PINNED}},
                )
            ),
            Standing.PINNED,
        ),
        (behind(the_pool=pool({"suspend": True})), Standing.SUSPENDED),
        (behind(the_pool=pool(deleting=True)), Standing.OTHER),
    ],
)
def test_where_a_pool_stands(seen: Snapshot, where: Standing) -> None:
    assert standing_for(seen, POLICY) is where


def test_a_pool_that_waits_is_ready_and_left_alone() -> None:
    seen = behind(workloads=(workload(), workload("etcd")))
    step = decide(seen, POLICY)
    assert isinstance(step, Nothing)
    status = status_for(seen, step, POLICY, "kvcachepool-2", NOW)
    assert status.rollout and status.rollout.standing == "Waiting"
    assert status.rollout.chart == "kvcachepool-2"
    assert status.release and status.release.chart == "kvcachepool-1"
    ready = next(each for each in status.conditions if each.type == "Ready")
    assert (ready.status, ready.message) == (
        "True",
        "1 of 1 daemon ready; a new chart comes in its turn",
    )
    assert isinstance(decide(replace(seen, turn=True), POLICY), Upgrade)


def test_until_its_turn_a_pool_keeps_its_metadata_service() -> None:
    """The operator's default etcd is another one now, and nobody runs on it yet."""
    metadata = {"kind": "etcd", "endpoints": ["http://old:2379"], "prefix": "/kvhelm/ns/p/1"}
    seen = behind(
        the_pool=pool(status={"metadata": metadata}),
        revisions=(revision(1, place="old", **OLD),),
        service=service(healthy=True),
    )
    step = decide(seen, POLICY)
    assert isinstance(step, Nothing), "the new place is not claimed yet"
    status = status_for(seen, step, POLICY, "kvcachepool-2", NOW)
    assert status.metadata and status.metadata.endpoints == ["http://old:2379"]
    assert status.left == [], "what daemons use is not to be purged"


def keys(count: int) -> list[PoolKey]:
    return [PoolKey("ns", f"p{n}") for n in range(count)]


def play(waves: Waves, places: Mapping[PoolKey, Place]) -> list[int]:
    """Return how many pools each wave has, if all goes well."""
    now, admitted, sizes = dict(places), frozenset[PoolKey](), list[int]()
    while True:
        plan = plan_for(now, waves, admitted, "chart")
        if not plan.admitted:
            return sizes
        sizes.append(len(plan.admitted))
        for standing in (Standing.MOVING, Standing.CURRENT):
            now |= dict.fromkeys(plan.admitted, Place(standing))
            admitted = plan.admitted
            if standing is Standing.MOVING:
                assert not plan_for(now, waves, admitted, "chart").admitted, "the wave is not over"


@pytest.mark.parametrize(
    ("waves", "pools", "sizes"),
    [
        (Waves(), 1, [1]),
        (Waves(), 2, [1, 1]),
        (Waves(), 10, [1, 3, 3, 3]),
        (Waves(2, 50), 10, [2, 5, 3]),
        (Waves(0, 50), 10, [5, 5]),
        (Waves(1, 0), 10, [1]),
        (Waves(0, 0), 10, []),
        (Waves(20, 10), 10, [10]),
        (Waves(1, 100), 10, [1, 9]),
        (Waves(), 0, []),
    ],
)
def test_waves(waves: Waves, pools: int, sizes: list[int]) -> None:
    assert play(waves, dict.fromkeys(keys(pools), Place(Standing.WAITING))) == sizes


def test_canaries_are_those_that_ask_for_it() -> None:
    places = dict.fromkeys(keys(9), Place(Standing.WAITING))
    chosen = PoolKey("ns", "p7")
    places[chosen] = Place(Standing.WAITING, canary=True)
    assert plan_for(places, Waves(), frozenset(), "chart").admitted == {chosen}


def test_another_chart_begins_elsewhere() -> None:
    places = dict.fromkeys(keys(50), Place(Standing.WAITING))
    first = {plan_for(places, Waves(), frozenset(), f"chart-{n}").admitted for n in range(9)}
    assert len(first) > 1


def test_new_pools_prove_nothing() -> None:
    places = dict.fromkeys(keys(9), Place(Standing.WAITING))
    places |= dict.fromkeys([PoolKey("new", f"p{n}") for n in range(9)], Place(Standing.NEW))
    assert len(plan_for(places, Waves(), frozenset(), "chart").admitted) == 1


def test_what_was_not_ready_comes_last_and_all_at_once() -> None:
    first, second, *broken = keys(9)
    places = dict.fromkeys([first, second], Place(Standing.WAITING))
    places |= dict.fromkeys(broken, Place(Standing.UNREADY))
    assert play(Waves(), places) == [1, 1, 7]
    assert play(Waves(0, 0), places) == []


def test_a_failure_admits_nobody_any_more() -> None:
    first, second, third, *rest = keys(9)
    places = dict.fromkeys(rest, Place(Standing.WAITING))
    places |= {first: Place(Standing.FAILED), second: Place(Standing.MOVING)}
    places[third] = Place(Standing.UNREADY)
    plan = plan_for(places, Waves(), frozenset([rest[0]]), "chart")
    assert (plan.state, plan.admitted, plan.failed) == (State.HALTED, frozenset(), (first,))
    said = data_for(plan, "kvcachepool-2")
    assert said["state"] == "Halted"
    assert "failed at ns/p0, and 7 pools keep what they have" in said["message"]
    # Taken out by a person, it holds nobody up.
    places |= {first: Place(Standing.PINNED), second: Place(Standing.CURRENT)}
    assert plan_for(places, Waves(), frozenset(), "chart").admitted


def test_what_is_said_when_nobody_may_move_and_when_all_have() -> None:
    waiting = plan_for(
        dict.fromkeys(keys(3), Place(Standing.WAITING)), Waves(0, 0), frozenset(), "chart"
    )
    assert "3 pools keep what they have" in data_for(waiting, "c-2")["message"]
    assert data_for(Plan(), "c-2")["message"] == "c-2 has come to all pools that may have it"
    begun = plan_for(dict.fromkeys(keys(10), Place(Standing.WAITING)), Waves(), frozenset(), "c")
    said = data_for(begun, "c-2")
    assert (said["wave"], said["state"], said["waiting"]) == ("1/4", "Progressing", "10")
    assert said["message"] == "c-2: wave 1 of 4; 1 pool on the way, 9 wait"
