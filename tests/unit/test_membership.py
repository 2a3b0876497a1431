"""Who is registered, who answers for it, and what is done about it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kvhelm.api.conditions import ConditionType
from kvhelm.controller import steps
from kvhelm.controller.decide import decide
from kvhelm.controller.membership import STILL, members_for
from kvhelm.controller.registered import (
    SILENT_AFTER,
    Register,
    Registered,
    Registration,
    register_for,
)
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.verdicts import verdicts_for
from kvhelm.metadata.loss import CONFIRM_AFTER, LossSign, LossWatch, Verdict
from kvhelm.metadata.service import Member, Members
from tests.unit.pools import NOW, POLICY, UID, pod, pool, running, service

EXTERNAL: dict[str, Any] = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}


def member(number: int, host: str) -> Member:
    return Member(number, "1", host, "node-1", f"{host}:9600", "/var/run/v.sock", "17", 100)


def entry(number: int, host: str, still: float = 0, *, torn: bool = False) -> Registration:
    known = member(number, host)
    return Registration(replace(known, hostid="", hostname="") if torn else known, still, torn)


def picture(*entries: Registration, replicas: int = 1, ready: bool = True, **how: Any) -> Snapshot:
    seen = running(
        pool(EXTERNAL | {"replicas": replicas}),
        replicas,
        service=service(healthy=True, claimed=True, registered=Registered(entries, **how)),
    )
    return replace(seen, pods=tuple(replace(each, ready=ready) for each in seen.pods))


def states(snapshot: Snapshot) -> list[tuple[str | None, int | None, str]]:
    return [(each.pod, each.instance, each.state) for each in members_for(snapshot)]


def test_pods_are_joined_with_what_their_daemons_registered() -> None:
    seen = picture(entry(4, "10.0.0.1"), entry(3, "10.0.0.0"), replicas=3)
    assert states(seen) == [
        ("p-0", 3, "Serving"),
        ("p-1", 4, "Serving"),
        ("p-2", None, "NotRegistered"),
    ]


def test_ten_comes_after_nine() -> None:
    pods = (pod("p-10"), pod("p-9"))
    assert [each.pod for each in members_for(replace(running(), pods=pods))] == ["p-9", "p-10"]


def test_a_registered_daemon_whose_pod_is_not_ready_does_not_serve() -> None:
    assert states(picture(entry(0, "10.0.0.0"), ready=False)) == [("p-0", 0, "NotReady")]


def test_entries_that_no_daemon_answers_for_are_told_apart() -> None:
    seen = picture(entry(0, "10.0.0.0"), entry(1, "10.0.0.0"), entry(2, "10.0.0.9"))
    assert states(seen) == [
        ("p-0", 1, "Serving"),
        ("p-0", 0, "Duplicate"),
        (None, 2, "Stale"),
    ]


def test_where_nobody_can_look_the_pods_alone_tell() -> None:
    assert states(running()) == [("p-0", None, "Unobserved")]


def test_after_a_restart_what_was_seen_stands_until_it_is_seen_again() -> None:
    before = {"members": [{"pod": "p-0", "instance": 7, "state": "Serving"}]}
    seen = replace(running(), service=service(observable=True), pool=pool(EXTERNAL, status=before))
    assert states(seen) == [("p-0", 7, "Serving")]


LOOK = steps.LookAtRegistered

ROWS: dict[str, tuple[Snapshot, type[steps.Step]]] = {
    "all serve": (picture(entry(0, "10.0.0.0")), steps.Nothing),
    "an entry of nobody may move yet": (picture(entry(1, "10.0.0.9", STILL - 1)), steps.Wait),
    "and goes when it did not": (
        picture(entry(0, "10.0.0.0"), entry(1, "10.0.0.9", STILL)),
        steps.RemoveRegistration,
    ),
    "an old entry of a daemon that started again as well": (
        picture(entry(0, "10.0.0.0", STILL), entry(1, "10.0.0.0", STILL)),
        steps.RemoveRegistration,
    ),
    "and what is left of a lost one": (
        picture(entry(0, "10.0.0.0"), entry(1, "", STILL, torn=True)),
        steps.RemoveRegistration,
    ),
    "a living daemon's stays, however still it is": (
        picture(entry(0, "10.0.0.0", STILL * 10)),
        steps.Nothing,
    ),
    "one that is not heard of any more is restarted": (
        picture(replace(entry(0, "10.0.0.0"), silent=True)),
        steps.RestartDaemons,
    ),
    "who starts is waited for": (
        picture(replace(entry(0, "10.0.0.0"), silent=True), ready=False),
        steps.Nothing,
    ),
    "it is time to see who is heard of": (picture(entry(0, "10.0.0.0"), look_in=0.0), LOOK),
    "or not yet": (picture(entry(0, "10.0.0.0"), look_in=100.0), steps.Wait),
    "one sign of a loss is looked at again": (
        picture(entry(0, "10.0.0.0"), signs=frozenset({LossSign.ENTRY_TORN}), look_in=0.0),
        steps.LookAtRegistered,
    ),
    "but not all the time": (
        picture(entry(0, "10.0.0.0"), signs=frozenset({LossSign.ENTRY_TORN}), look_in=4.0),
        steps.Wait,
    ),
    "a claim that is gone alone is made again": (
        picture(
            entry(0, "10.0.0.0"),
            signs=frozenset({LossSign.CLAIM_GONE}),
            only_claim_gone=True,
            look_in=0.0,
        ),
        steps.Claim,
    ),
    "while the claim is gone no entry is touched": (
        picture(entry(1, "10.0.0.9", STILL), signs=frozenset({LossSign.CLAIM_GONE}), look_in=4.0),
        steps.Wait,
    ),
    "what may be lost is looked at twice": (
        picture(verdict=Verdict.SUSPECTED, signs=frozenset({LossSign.CLAIM_GONE}), look_in=4.0),
        steps.Wait,
    ),
    "what is lost is mended": (picture(verdict=Verdict.LOST), steps.MendMetadata),
    "but not again at once": (
        picture(verdict=Verdict.LOST_AGAIN, signs=frozenset({LossSign.CLAIM_GONE}), look_in=400.0),
        steps.Wait,
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_done(row: str) -> None:
    seen, step = ROWS[row]
    assert type(decide(seen, POLICY)) is step


@pytest.mark.parametrize("row", ROWS)
def test_nothing_is_done_while_the_service_is_away_or_the_pool_suspended(row: str) -> None:
    seen, _ = ROWS[row]
    assert seen.service
    away = replace(seen, service=replace(seen.service, healthy=False))
    suspended = replace(seen, pool=pool(EXTERNAL | {"suspend": True}))
    for snapshot in (away, suspended):
        assert type(decide(snapshot, POLICY)) is steps.Nothing


def test_a_mend_comes_before_an_upgrade_and_a_wait_does_not_hold_one_up() -> None:
    lost, waits = picture(verdict=Verdict.LOST), picture(entry(1, "10.0.0.9"))
    assert type(decide(replace(lost, spec_digest="spec-2"), POLICY)) is steps.MendMetadata
    assert type(decide(replace(waits, spec_digest="spec-2"), POLICY)) is steps.Upgrade


def test_an_entry_is_still_from_the_picture_that_it_was_first_in() -> None:
    register = Register(LossWatch(UID))
    still = member(0, "10.0.0.0")
    for at in (10.0, 40.0):
        moving = replace(member(1, "10.0.0.1"), revision=int(at))
        register.see(Members((still, moving), claim=UID, cluster_id="a", revision=200), at)
    known = register.as_of(50.0)
    assert known
    assert {each.member.instance: each.still for each in known.entries} == {0: 40.0, 1: 10.0}


def silent(register: Register, at: float) -> list[int]:
    known = register.as_of(at)
    assert known
    return [each.member.instance for each in known.entries if each.silent]


def test_who_does_not_move_after_the_etcd_came_back_is_cut_off() -> None:
    register = Register(LossWatch(UID))

    def see(at: float, stream: int | None, *, moved: bool) -> None:
        mute, other = member(0, "10.0.0.0"), member(1, "10.0.0.1")
        other = replace(other, revision=int(at) if moved else 100)
        both = Members((mute, other), claim=UID, cluster_id="a", revision=1000, stream=stream)
        register.see(both, at)

    see(0.0, 1, moved=True)
    see(SILENT_AFTER - 1, None, moved=True)
    assert silent(register, 10_000.0) == [], "time alone tells nothing"
    # It was away: how long is no daemon's fault.
    see(900.0, 2, moved=False)
    assert silent(register, 900.0) == []
    known = register.as_of(900.0)
    assert known and known.look_in == SILENT_AFTER
    see(900.0 + SILENT_AFTER, None, moved=True)
    assert silent(register, 2000.0) == [0]
    known = register.as_of(900.0 + SILENT_AFTER)
    assert known and known.look_in == SILENT_AFTER
    # By the probe as well.
    register.away(2000.0)
    assert silent(register, 2000.0) == []


def test_a_daemon_that_is_cut_off_is_named_and_restarted_once_in_ten_minutes() -> None:
    seen = picture(replace(entry(0, "10.0.0.0"), silent=True), entry(1, "10.0.0.1"), replicas=2)
    assert states(seen) == [("p-0", 0, "CutOff"), ("p-1", 1, "Serving")]
    step = decide(seen, POLICY)
    assert isinstance(step, steps.RestartDaemons) and [each.name for each in step.pods] == ["p-0"]
    verdict = verdicts_for(seen, step, POLICY)[ConditionType.METADATA_READY]
    assert (verdict.status, verdict.reason) == ("False", "DaemonsCutOff")
    assert "(p-0)" in verdict.message
    pods = tuple(replace(each, created=NOW - timedelta(hours=1)) for each in seen.pods)
    again = decide(replace(seen, pods=pods, mended_at=NOW - timedelta(seconds=100)), POLICY)
    assert isinstance(again, steps.Wait) and again.seconds == 500


def test_of_several_that_are_cut_off_one_is_restarted_first() -> None:
    """If it is the network that keeps them from their etcd, the others keep what they have."""
    first, second, third = (replace(entry(n, f"10.0.0.{n}"), silent=True) for n in range(3))
    seen = picture(first, second, third, replicas=3)
    step = decide(seen, POLICY)
    assert isinstance(step, steps.RestartDaemons) and [each.name for each in step.pods] == ["p-2"]

    lately = replace(seen, mended_at=NOW - timedelta(seconds=30))
    old, new = NOW - timedelta(hours=1), NOW - timedelta(seconds=20)
    ages = (old, old, new)
    pods = tuple(
        replace(each, created=created) for each, created in zip(seen.pods, ages, strict=True)
    )
    assert isinstance(decide(replace(lately, pods=pods), POLICY), steps.Wait), "not back yet"
    assert seen.service
    known = Registered((first, second, entry(3, "10.0.0.2")))
    back = replace(lately, pods=pods, service=replace(seen.service, registered=known))
    step = decide(back, POLICY)
    assert isinstance(step, steps.RestartDaemons)
    assert [each.name for each in step.pods] == ["p-0", "p-1"]
    # Nobody is restarted twice for it.
    again = replace(pods[1], created=new)
    step = decide(replace(back, pods=(pods[0], again, pods[2])), POLICY)
    assert isinstance(step, steps.RestartDaemons)
    assert [each.name for each in step.pods] == ["p-0"]


def test_after_a_restart_the_status_tells_what_was_good() -> None:
    register = register_for(UID, 0.0, cluster_id="a", instances=(0, 1), mended_ago=None)
    # The other etcd has the claim: someone restored it from a copy.
    register.see(Members(claim=UID, cluster_id="b", revision=9), 0.0)
    register.see(Members(claim=UID, cluster_id="b", revision=9), CONFIRM_AFTER)
    known = register.as_of(CONFIRM_AFTER)
    assert known and known.verdict is Verdict.LOST
    assert register.highest_number() == 1


def test_after_a_restart_a_mend_is_not_repeated_within_ten_minutes() -> None:
    register = register_for(UID, 0.0, cluster_id="a", instances=(), mended_ago=100.0)
    for at in (0.0, CONFIRM_AFTER):
        register.see(Members(cluster_id="b", revision=9), at)
    known = register.as_of(CONFIRM_AFTER)
    assert known and known.verdict is Verdict.LOST_AGAIN
    assert known.look_in == pytest.approx(490.0)


def test_entries_that_are_gone_with_the_claim_are_no_lost_claim_alone() -> None:
    register = register_for(UID, 0.0, cluster_id="a", instances=(0,), mended_ago=None)
    register.see(Members(cluster_id="a", revision=9), 0.0)
    known = register.as_of(0.0)
    assert known and not known.only_claim_gone
    register.see(Members((member(0, "10.0.0.0"),), cluster_id="a", revision=9), 1.0)
    known = register.as_of(1.0)
    assert known and known.only_claim_gone
