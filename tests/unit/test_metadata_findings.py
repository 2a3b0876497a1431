"""What is made of the answers of services, and whether the docs know every word of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvhelm.errors import MetadataError
from kvhelm.metadata.dial import endpoint_in
from kvhelm.metadata.etcd.client import Peer, Status
from kvhelm.metadata.etcd.preflight import Asked, advertised, judged, reached
from kvhelm.metadata.findings import Reason, finding
from kvhelm.metadata.kinds import SERVICES, service_for
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.redis import judged as judged_redis

DOCS = Path(__file__).parents[2] / "docs" / "metadata.md"
WELL = Status(1, 2, leader=2, version="3.6.1", size=100, quota=1000, alarms=frozenset())


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        (WELL, []),
        (replace(WELL, version="3.3.27"), [Reason.VERSION_TOO_OLD]),
        (replace(WELL, version="3.4.0"), []),
        (replace(WELL, version="4.0.1"), []),
        (replace(WELL, version=None), [Reason.NOT_ETCD]),
        (replace(WELL, leader=0), [Reason.NO_LEADER]),
        (replace(WELL, size=801), [Reason.QUOTA_NEARLY_USED]),
        (replace(WELL, size=801, quota=None), []),
        (replace(WELL, alarms=frozenset({Reason.CORRUPT})), [Reason.CORRUPT]),
    ],
)
def test_an_etcd_is_judged_by_its_status(status: Status, reasons: list[Reason]) -> None:
    assert judged(status) == reasons


def test_a_silent_endpoint_is_a_warning_only_beside_one_that_answers() -> None:
    down = endpoint_in("http://etcd-1:2379")
    silent = Asked(down, failure=finding(Reason.UNREACHABLE, str(down)))
    wrong = Asked(down, failure=finding(Reason.TLS_REQUIRED, str(down)))
    well = Asked(endpoint_in("http://etcd-2:2379"), status=WELL)
    assert [each.reason for each in reached([silent])] == [Reason.UNREACHABLE]
    assert [each.reason for each in reached([silent, well])] == [Reason.ENDPOINT_DOWN]
    assert [each.reason for each in reached([wrong, well])] == [Reason.TLS_REQUIRED]


@pytest.mark.parametrize(
    ("answers", "reasons"),
    [
        ([], [Reason.ADVERTISED_NOTHING]),
        ([None, None, None], []),
        ([None, Reason.UNREACHABLE, None], [Reason.MEMBER_DOWN]),
        ([Reason.STALLED, Reason.UNREACHABLE], [Reason.ADVERTISED_UNREACHABLE]),
        ([None, Reason.ADVERTISED_TLS], [Reason.ADVERTISED_TLS]),
    ],
)
def test_advertised_urls_are_judged(answers: list[Reason | None], reasons: list[Reason]) -> None:
    peers = [Peer(n, ("http://10.0.0.1:2379",)) for n in range(len(answers))]
    assert [each.reason for each in advertised(peers, answers)] == reasons


@pytest.mark.parametrize(
    ("told", "reasons"),
    [
        ({}, []),
        ({"role": "slave"}, [Reason.NOT_PRIMARY]),
        ({"loading": 1}, [Reason.LOADING]),
        ({"cluster_enabled": 1}, [Reason.CLUSTER_MODE]),
        ({"maxmemory_policy": "volatile-lru"}, [Reason.EVICTION_ON]),
        ({"maxmemory": 10, "used_memory": 10}, [Reason.NO_SPACE]),
        ({"maxmemory": "many", "used_memory": None}, []),
    ],
)
def test_a_redis_is_judged_by_its_info(told: dict[str, Any], reasons: list[Reason]) -> None:
    well = {"redis_version": "7.2.4", "role": "master", "maxmemory_policy": "noeviction"}
    assert judged_redis({**well, **told}) == reasons
    assert judged_redis({}) == [Reason.NOT_REDIS]


@pytest.mark.parametrize("reason", Reason)
def test_the_docs_have_every_finding_as_it_is_worded(reason: Reason) -> None:
    weight = "blocks" if reason.blocks else "warns"
    row = f"| `{reason.value}` | {weight} | {reason.meaning} | {reason.remedy} |"
    assert row in DOCS.read_text(), f"docs/metadata.md lacks this row:\n{row}"


def test_the_docs_have_no_finding_that_is_gone() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert len([row for row in rows if "| blocks |" in row or "| warns |" in row]) == len(Reason)


def test_a_service_of_an_unknown_kind_names_those_that_there_are() -> None:
    with pytest.raises(MetadataError) as refused:
        service_for("consul", ["http://a:1"], DialPolicy())
    assert all(kind in str(refused.value) for kind in SERVICES)
    with pytest.raises(MetadataError):
        service_for("etcd", [], DialPolicy())
