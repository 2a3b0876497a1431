"""Where a pool's metadata lay before it moved, and what becomes of it."""

from dataclasses import replace
from typing import Any

from kvhelm.controller import steps
from kvhelm.controller.decide import decide
from kvhelm.controller.left_places import left_for, next_left
from kvhelm.controller.snapshot import Snapshot
from kvhelm.values import Place
from tests.unit.pools import POLICY, pool, running, service, workload

OLD = Place("etcd", ("http://old:2379",), "/kvhelm/ns/p/1")
OLD_STATUS = {"kind": OLD.kind, "endpoints": list(OLD.endpoints), "prefix": OLD.prefix}
NEW: dict[str, Any] = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}
RETAIN = NEW | {"deletion": {"metadata": "Retain"}}


def moved(spec: dict[str, Any] = NEW, **more: Any) -> Snapshot:
    """A pool whose daemons are all on its new service, and which remembers the old one."""
    return running(
        pool(spec, status={"left": [OLD_STATUS]}),
        service=service(healthy=True, claimed=True),
        **more,
    )


def test_a_claimed_place_is_remembered_when_the_spec_names_another() -> None:
    seen = running(pool(NEW, status={"metadata": OLD_STATUS}), service=service())
    assert [each.prefix for each in left_for(seen)] == [OLD.prefix]


def test_also_when_the_pool_gets_an_etcd_of_its_own() -> None:
    seen = running(pool({}, status={"metadata": OLD_STATUS}))
    assert [each.endpoints for each in left_for(seen)] == [["http://old:2379"]]


def test_one_that_was_never_claimed_is_not_ours() -> None:
    unclaimed = {key: value for key, value in OLD_STATUS.items() if key != "prefix"}
    assert left_for(running(pool(NEW, status={"metadata": unclaimed}), service=service())) == []


def test_nor_is_one_whose_keys_are_to_stay() -> None:
    assert left_for(running(pool(RETAIN, status={"metadata": OLD_STATUS}), service=service())) == []


def test_a_pool_that_moves_back_has_not_left() -> None:
    back = service(healthy=True)
    seen = running(pool(NEW, status={"left": [OLD_STATUS]}), service=replace(back, place=OLD))
    assert left_for(seen) == []


def test_it_is_purged_when_every_daemon_has_left_it() -> None:
    assert isinstance(decide(moved(), POLICY), steps.PurgeLeft)


def test_not_while_a_daemon_is_there() -> None:
    rolling = replace(moved(), workloads=(workload(updated=0), workload("etcd")))
    assert type(decide(rolling, POLICY)) is steps.Nothing


def test_a_try_that_failed_is_not_repeated_at_once() -> None:
    assert type(decide(moved(left_in=4.0), POLICY)) is steps.Wait


def test_once_purged_it_is_forgotten() -> None:
    seen = moved(left_purged=frozenset({OLD}))
    assert left_for(seen) == []
    assert next_left(seen) is None
    assert type(decide(seen, POLICY)) is steps.Nothing
