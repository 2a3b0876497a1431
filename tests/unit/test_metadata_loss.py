"""When a prefix's metadata counts as lost, and how often that may be mended."""

from dataclasses import replace

import pytest

from kvhelm.metadata.loss import LossSign, LossWatch, Verdict, is_loss, loss_signs
from kvhelm.metadata.service import Member, Members

DAEMON = Member(0, "1", "10.0.0.1", "node", "10.0.0.1:9600", "/var/run/vineyard.sock", "17", 90)
TORN = replace(DAEMON, hostid="", hostname="", nodename="", rpc_endpoint="", ipc_socket="")
GOOD = Members(members=(DAEMON,), claim="mine", cluster_id="a1", revision=100)
WIPED = Members(torn=(TORN,), cluster_id="a1", revision=4)


@pytest.mark.parametrize(
    ("now", "signs", "lost"),
    [
        (replace(GOOD, revision=140), set(), False),
        (replace(GOOD, members=()), set(), False),
        (replace(GOOD, claim=None), {LossSign.CLAIM_GONE}, False),
        (replace(GOOD, claim="yours"), {LossSign.CLAIM_GONE}, False),
        (replace(GOOD, revision=99), {LossSign.REVISION_WENT_BACK}, False),
        (replace(GOOD, torn=(TORN,)), {LossSign.ENTRY_TORN}, False),
        (replace(GOOD, cluster_id="b2"), {LossSign.CLUSTER_REPLACED}, True),
        (replace(GOOD, torn=(TORN,), claim=None), {LossSign.ENTRY_TORN, LossSign.CLAIM_GONE}, True),
        (
            WIPED,
            {LossSign.CLAIM_GONE, LossSign.ENTRY_TORN, LossSign.REVISION_WENT_BACK},
            True,
        ),
    ],
)
def test_signs_of_a_loss(now: Members, signs: set[LossSign], lost: bool) -> None:
    assert loss_signs(GOOD, now, "mine") == signs
    assert is_loss(frozenset(signs)) is lost


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([(0, GOOD), (5, GOOD)], Verdict.INTACT),
        ([(0, WIPED)], Verdict.INTACT),  # nothing better was ever seen
        ([(0, GOOD), (5, WIPED)], Verdict.SUSPECTED),
        ([(0, GOOD), (5, WIPED), (14, WIPED)], Verdict.SUSPECTED),
        ([(0, GOOD), (5, WIPED), (15, WIPED)], Verdict.LOST),
        ([(0, GOOD), (5, WIPED), (10, GOOD), (15, WIPED)], Verdict.SUSPECTED),
        # One sign first, the next one later: what was good is not forgotten in between.
        (
            [
                (0, GOOD),
                (5, replace(GOOD, claim=None)),
                (60, replace(GOOD, claim=None, torn=(TORN,))),
                (70, replace(GOOD, claim=None, torn=(TORN,))),
            ],
            Verdict.LOST,
        ),
    ],
)
def test_a_loss_is_seen_twice_before_it_is_one(
    looks: list[tuple[float, Members]], verdict: Verdict
) -> None:
    watch = LossWatch("mine")
    for at, members in looks:
        watch = watch.seen(members, at)
    assert watch.verdict is verdict


def test_mending_starts_anew_and_waits_before_it_mends_again() -> None:
    watch = LossWatch("mine").seen(GOOD, 0).seen(WIPED, 10).seen(WIPED, 20)
    assert watch.verdict is Verdict.LOST
    watch = watch.mended(30)
    again = replace(GOOD, cluster_id="b2")
    watch = watch.seen(again, 40)
    assert watch.verdict is Verdict.INTACT
    watch = watch.seen(WIPED, 100).seen(WIPED, 110)
    assert watch.verdict is Verdict.LOST_AGAIN
    assert watch.seen(WIPED, 631).verdict is Verdict.LOST
