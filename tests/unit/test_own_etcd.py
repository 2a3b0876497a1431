"""A pool's own etcd that came back empty, as its pods and volumes tell."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kvhelm.controller.decide import decide
from kvhelm.controller.metadata_status import metadata_status_for
from kvhelm.controller.own_etcd import data_to_remember, decide_own_etcd
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import RestartDaemons, Wait
from kvhelm.controller.verdicts import verdicts_for
from kvhelm.controller.workloads import Pod
from tests.unit.pools import NOW, POLICY, made, pod, pool, revision, snapshot, workload

THREE = {"metadata": {"managed": {"replicas": 3, "storage": {"size": "1Gi"}}}}


def held(*uids: str, mended_ago: float | None = None) -> dict[str, Any]:
    """Return a status that remembers what holds the etcd's data."""
    metadata: dict[str, Any] = {"kind": "managed", "endpoints": [], "heldBy": list(uids)}
    if mended_ago is not None:
        metadata["mendedAt"] = (NOW - timedelta(seconds=mended_ago)).isoformat()
    return {"metadata": metadata}


def member(number: int = 0, uid: str = "pod-1", age: float = 10) -> Pod:
    return replace(pod(f"p-etcd-{number}", component="etcd", age=age), uid=uid)


def picture(
    status: dict[str, Any],
    *members: Pod,
    volumes: tuple[str, ...] = (),
    daemons: tuple[float, ...] = (100, 90),
    ready: int | None = None,
) -> Snapshot:
    """A pool whose daemons were made so many seconds ago; `volumes` are the uids of its volumes."""
    count = len(members)
    etcd = workload("etcd", count, volumes=("data",) if volumes else ())
    return snapshot(
        pool((THREE if count == 3 else {}) | {"replicas": len(daemons)}, status=status),
        (revision(1, healthy=True),),
        (
            workload(replicas=len(daemons)),
            replace(etcd, ready=count if ready is None else ready),
        ),
        (*members, *(pod(f"p-{n}", age=age) for n, age in enumerate(daemons))),
        volumes=tuple(
            replace(made(), kind="PersistentVolumeClaim", name=f"data-p-etcd-{n}", uid=uid)
            for n, uid in enumerate(volumes)
        ),
    )


def restarted(seen: Snapshot) -> list[str]:
    step = decide_own_etcd(seen)
    return [each.name for each in step.pods] if isinstance(step, RestartDaemons) else []


ALL, NONE = ["p-0", "p-1"], list[str]()
V = ("v0", "v1", "v2")

ROWS: dict[str, tuple[Snapshot, list[str], set[str]]] = {
    # What is to be restarted, and what the status remembers.
    "all is as it was": (picture(held("pod-1"), member()), NONE, {"pod-1"}),
    "first seen": (picture({}, member()), NONE, {"pod-1"}),
    "another pod, no storage": (picture(held("pod-0"), member()), ALL, {"pod-0"}),
    "the same volume in another pod": (
        picture(held("v0"), member(uid="pod-2"), volumes=("v0",)),
        NONE,
        {"v0"},
    ),
    "another volume": (picture(held("old"), member(), volumes=("v0",)), ALL, {"old"}),
    "the volume is not seen yet": (
        replace(picture(held("v0"), member(), volumes=("v0",)), volumes=()),
        NONE,
        {"v0"},
    ),
    "not ready yet": (picture(held("pod-0"), replace(member(), ready=False)), NONE, {"pod-0"}),
    "ready, and the StatefulSet is behind": (
        picture(held("pod-0"), member(), ready=0),
        NONE,
        {"pod-0"},
    ),
    "ends": (picture(held("pod-0"), replace(member(), ending=True)), NONE, {"pod-0"}),
    "some daemons started since": (
        picture(held("pod-0"), member(age=50), daemons=(40, 60)),
        ["p-1"],
        {"pod-0"},
    ),
    "in the same second": (
        picture(held("pod-0"), member(age=50), daemons=(50, 40)),
        ["p-0"],
        {"pod-0"},
    ),
    "all daemons started since": (
        picture(held("pod-0"), member(age=50), daemons=(40, 30)),
        NONE,
        {"pod-1"},
    ),
    "restarted in the very second in which the etcd was made": (
        picture(held("pod-0", mended_ago=5), member(age=5), daemons=(5, 5)),
        NONE,
        {"pod-1"},
    ),
    "made in that second, and not restarted yet": (
        picture(held("pod-0"), member(age=5), daemons=(5, 5)),
        ALL,
        {"pod-0"},
    ),
    "no daemons": (picture(held("pod-0"), member(), daemons=()), NONE, {"pod-1"}),
    "one volume of three was made anew": (
        picture(held("old", "v1", "v2"), *(member(n, f"p{n}") for n in range(3)), volumes=V),
        NONE,
        {"v0", "v1", "v2"},
    ),
    "all three volumes were made anew": (
        picture(held("a", "b", "c"), *(member(n, f"p{n}") for n in range(3)), volumes=V),
        ALL,
        {"a", "b", "c"},
    ),
    "of an etcd of the user's, before": (
        picture({"metadata": {"kind": "etcd", "endpoints": ["http://e:1"]}}, member()),
        NONE,
        {"pod-1"},
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_restarted_and_what_is_remembered(row: str) -> None:
    seen, behind, remembered = ROWS[row]
    assert restarted(seen) == behind
    assert data_to_remember(seen) == remembered
    # Nothing comes before it, and nothing of a healthy release comes after.
    assert isinstance(decide(seen, POLICY), RestartDaemons) == bool(behind)
    verdict = verdicts_for(seen, decide(seen, POLICY), POLICY)["MetadataReady"]  # type: ignore[index]
    assert (verdict.reason == "MetadataLost") == bool(behind)
    status = metadata_status_for(seen, verdict)
    assert status and set(status.held_by or ()) == remembered


def test_it_is_lost_until_the_last_daemon_of_before_is_gone() -> None:
    seen = picture(held("pod-0", mended_ago=1), member())
    ends = replace(
        seen, pods=tuple(replace(each, ending=each.component == "daemon") for each in seen.pods)
    )
    assert decide_own_etcd(ends) is None
    assert data_to_remember(ends) == {"pod-0"}
    verdict = verdicts_for(ends, decide(ends, POLICY), POLICY)["MetadataReady"]  # type: ignore[index]
    assert verdict.message == "The pool's etcd came back empty: the daemons are restarted."


def test_a_pool_is_mended_at_most_once_in_ten_minutes() -> None:
    step = decide_own_etcd(picture(held("pod-0", mended_ago=60), member()))
    assert isinstance(step, Wait) and step.seconds == 540
    assert restarted(picture(held("pod-0", mended_ago=601), member())) == ALL
    again = replace(picture(held("pod-0"), member()), mended_at=NOW - timedelta(seconds=1))
    verdict = verdicts_for(again, decide(again, POLICY), POLICY)["MetadataReady"]  # type: ignore[index]
    assert "10 minutes after the last time" in verdict.message


def test_who_deletes_the_statefulset_takes_no_memory_with_it() -> None:
    seen = picture(held("pod-0"), member())
    without = replace(seen, workloads=seen.workloads[:1], pods=())
    verdict = verdicts_for(without, decide(without, POLICY), POLICY)["MetadataReady"]  # type: ignore[index]
    status = metadata_status_for(without, verdict)
    assert status == seen.pool.status.metadata and status and status.held_by == ["pod-0"]


def test_a_suspended_pool_is_left_alone() -> None:
    seen = picture(held("pod-0"), member())
    seen = replace(seen, pool=pool({"suspend": True}, status=held("pod-0")))
    assert not isinstance(decide(seen, POLICY), RestartDaemons)
