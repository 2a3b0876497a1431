"""What people read: conditions that are never ahead of the truth."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.controller.decide import decide
from kvhelm.controller.pool import Pool
from kvhelm.controller.report import merge_patch, status_for
from kvhelm.controller.service_view import Trouble
from kvhelm.controller.snapshot import About, Failure, Snapshot
from kvhelm.controller.verdicts import verdicts_for
from kvhelm.controller.workloads import Pod, RefusedPod, pod_from
from kvhelm.helm.origin import Origin
from tests.unit.pools import POLICY, pod, pool, revision, running, service, snapshot, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY, STALLED = ConditionType.READY, ConditionType.STALLED
RECONCILING, AVAILABLE = ConditionType.RECONCILING, ConditionType.AVAILABLE
METADATA, SCHEDULED = ConditionType.METADATA_READY, ConditionType.SCHEDULED
EXTERNAL: dict[str, Any] = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}


def conditions(picture: Snapshot) -> dict[str, tuple[str, str]]:
    verdicts = verdicts_for(picture, decide(picture, POLICY), POLICY)
    return {kind: (verdict.status, verdict.reason) for kind, verdict in verdicts.items()}


def message(picture: Snapshot, kind: ConditionType) -> str:
    return verdicts_for(picture, decide(picture, POLICY), POLICY)[kind].message


def test_a_pool_that_runs_is_ready() -> None:
    assert conditions(running()) == {
        READY: ("True", "PoolReady"),
        RECONCILING: ("False", "Done"),
        STALLED: ("False", "Done"),
        AVAILABLE: ("True", "DaemonsServe"),
        METADATA: ("True", "EtcdReady"),
        SCHEDULED: ("True", "PodsScheduled"),
    }


NOT_READY = {
    "a new pool": (snapshot(), Reason.INSTALLING),
    "helm is at work": (
        snapshot(revisions=(revision(1, "pending-install"),), workloads=(workload(),)),
        Reason.INSTALLING,
    ),
    "the spec changed and its revision is not made yet": (
        replace(running(), revisions=(revision(2, spec="spec-0"),)),
        Reason.UPGRADING,
    ),
    "the StatefulSet controller has not seen the new revision": (
        replace(running(), workloads=(workload(observed=False), workload("etcd"))),
        Reason.PODS_NOT_READY,
    ),
    "daemons run the template before": (
        replace(running(), workloads=(workload(updated=0), workload("etcd"))),
        Reason.UPGRADING,
    ),
    "one of three is not ready": (
        replace(
            running(pool({"replicas": 3}), 3),
            workloads=(workload(replicas=3, ready=2), workload("etcd")),
        ),
        Reason.PODS_NOT_READY,
    ),
    "its pod ends, to be replaced": (
        replace(running(), pods=(pod(ending=True),)),
        Reason.PODS_NOT_READY,
    ),
    "scaling up": (running(pool({"replicas": 3})), Reason.SCALING),
    "scaling down, a pod still ends": (
        replace(running(), workloads=(workload(existing=2, ready=2, updated=2), workload("etcd"))),
        Reason.SCALING,
    ),
    "its etcd is not ready": (
        replace(running(), workloads=(workload(), workload("etcd", ready=0))),
        Reason.ETCD_NOT_READY,
    ),
    "no node fits": (
        replace(running(), pods=(pod(node=None, unschedulable="0/4 nodes are available"),)),
        Reason.UNSCHEDULABLE,
    ),
    "it is being deleted": (running(pool(deleting=True)), Reason.DELETING),
    "the API server is away": (
        snapshot(
            failure=Failure(Reason.API_UNAVAILABLE, "away", About("spec-1", deleting=False)),
            retry_in=3,
        ),
        Reason.API_UNAVAILABLE,
    ),
}


@pytest.mark.parametrize("case", NOT_READY)
def test_ready_is_never_ahead_of_the_truth(case: str) -> None:
    picture, reason = NOT_READY[case]
    assert conditions(picture)[READY] == ("False", reason)
    assert conditions(picture)[RECONCILING] == ("True", reason)


def test_the_schedulers_own_words_are_shown() -> None:
    words = "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector."
    picture = replace(running(), pods=(pod(node=None, unschedulable=words),))
    assert conditions(picture)[SCHEDULED] == ("False", "Unschedulable")
    assert message(picture, SCHEDULED) == f"p-0: {words}"


def test_stalled_is_for_what_only_a_person_mends() -> None:
    picture = snapshot(revisions=(revision(1, uid=None),))
    assert conditions(picture)[STALLED] == ("True", "ReleaseInTheWay")
    assert conditions(picture)[RECONCILING] == ("False", "Done")
    assert conditions(picture)[READY] == ("False", "ReleaseInTheWay")


def test_a_suspended_pool_says_so_and_is_still_available() -> None:
    picture = running(pool({"suspend": True}))
    assert conditions(picture)[READY] == ("Unknown", "Suspended")
    assert conditions(picture)[AVAILABLE] == ("True", "DaemonsServe")
    assert conditions(picture)[RECONCILING] == ("False", "Done")


def test_pod_security_names_the_remedy() -> None:
    said = (
        'create Pod p-0 in StatefulSet p failed error: pods "p-0" is forbidden: '
        'violates PodSecurity "baseline:latest": hostPath volumes (volume "socket")'
    )
    picture = snapshot(
        revisions=(revision(1),),
        workloads=(workload(existing=0, ready=0, updated=0), workload("etcd")),
        refused=RefusedPod("ns", "p", "p-0", said, "2026-01-01T00:00:00Z"),
    )
    assert conditions(picture)[STALLED] == ("True", "PodsForbidden")
    assert "spec.cache.socket to EmptyDir" in message(picture, STALLED)
    assert said in message(picture, STALLED)


CRASHED = {"exitCode": 1, "reason": "Error", "message": "ERROR: no memory\n"}
BROKEN: dict[str, tuple[dict[str, Any], Reason, str]] = {
    "its image can't be pulled": (
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "v:1: not found"}}},
        Reason.IMAGE_UNAVAILABLE,
        "p-0: the image v:1 can't be pulled (ImagePullBackOff): v:1: not found.",
    ),
    "a Secret of its environment is missing": (
        {
            "state": {
                "waiting": {
                    "reason": "CreateContainerConfigError",
                    "message": 'secret "s" not found',
                }
            }
        },
        Reason.CONTAINER_NOT_STARTED,
        "p-0: the container vineyardd can't be started (CreateContainerConfigError): "
        'secret "s" not found.',
    ),
    "it waits to be started again": (
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}},
            "lastState": {"terminated": CRASHED},
        },
        Reason.CRASHING,
        "p-0: the container vineyardd ended with exit code 1; its last words: ERROR: no memory.",
    ),
    "it starts again": (
        {"state": {"running": {}}, "started": False, "lastState": {"terminated": CRASHED}},
        Reason.CRASHING,
        "p-0: the container vineyardd ended with exit code 1; its last words: ERROR: no memory.",
    ),
    "it ended this moment": (
        {"state": {"terminated": {"exitCode": 3, "reason": "Error"}}},
        Reason.CRASHING,
        "p-0: the container vineyardd ended with exit code 3; kubectl logs --previous has more.",
    ),
    "it needs more memory than it may use": (
        {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
        Reason.OUT_OF_MEMORY,
        "p-0: the container vineyardd was killed at its memory limit: raise "
        "cache.resources.limits.memory, or lower cache.memory.",
    ),
    "its etcd does not answer it": (
        {
            "state": {
                "terminated": {
                    "exitCode": 1,
                    "reason": "Error",
                    "message": "I20261122 21:09:32.219071  1647 etcd_launcher.cc:185] Found\n"
                    "E20261122 21:09:32.221668  1647 etcd_launcher.cc:341] "
                    "Failed to launch etcd: Permission denied\n[error] Check failed",
                }
            }
        },
        Reason.ETCD_OUT_OF_REACH,
        "p-0: the daemon did not reach its etcd within 5 seconds of its start: check that the "
        "pods reach the endpoints (DNS, NetworkPolicy).",
    ),
}


def broken(container: dict[str, Any], name: str = "vineyardd", **metadata: str) -> Pod:
    """A pod with one container that does not run; name and metadata are those of the kubelet."""
    status = {"name": name, "image": "v:1", "ready": False, **container}
    component = "daemon" if name == "vineyardd" else name
    labels = {"app.kubernetes.io/instance": "p", "app.kubernetes.io/component": component}
    return pod_from(
        {
            "metadata": {
                "name": "p-0",
                "namespace": "ns",
                "uid": "u",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": labels,
                **metadata,
            },
            "spec": {"nodeName": "n"},
            "status": {"containerStatuses": [status]},
        }
    )


def with_a_broken_daemon(pod: Pod, **spec: Any) -> Snapshot:
    workloads = (workload(ready=0), workload("etcd"))
    return replace(running(pool(spec)), workloads=workloads, pods=(pod,))


@pytest.mark.parametrize("case", BROKEN)
def test_a_container_that_does_not_run_says_why(case: str) -> None:
    container, reason, words = BROKEN[case]
    picture = with_a_broken_daemon(broken(container))
    assert conditions(picture)[READY] == ("False", reason)
    assert conditions(picture)[RECONCILING] == ("True", reason)
    assert message(picture, READY) == words


@pytest.mark.parametrize(
    "pod",
    [
        broken({"state": {"waiting": {"reason": "ContainerCreating"}}}),
        broken({"state": {"running": {}}, "started": False}),
        broken({"state": {"running": {}}, "started": True, "lastState": {"terminated": CRASHED}}),
        broken({"ready": True, "state": {"running": {}}, "lastState": {"terminated": CRASHED}}),
        broken({"state": {"terminated": CRASHED}}, deletionTimestamp="2026-01-01T00:00:00Z"),
    ],
    ids=["being made", "starting", "runs again", "ready again", "being deleted"],
)
def test_what_is_over_or_as_it_should_be_is_no_last_word(pod: Pod) -> None:
    assert conditions(with_a_broken_daemon(pod))[READY] == ("False", "PodsNotReady")


def test_a_long_log_is_cut_at_where_it_tells_of_an_error() -> None:
    log = "I20261122 21:09:27.2 1 a.cc:1] Hello\n[error] " + "x" * 5000 + "\n main + 0x249"
    pod = broken({"state": {"terminated": CRASHED | {"message": log}}})
    assert message(with_a_broken_daemon(pod), READY).endswith(f"words: [error] {'x' * 292}.")
    log = "I20261122 21:09:27.2 1 a.cc:1] Hello\nI20261122 21:09:28.3 1 a.cc:9] Bye\n"
    pod = broken({"state": {"terminated": CRASHED | {"message": log}}})
    assert message(with_a_broken_daemon(pod), READY).endswith("words: Bye.")


def test_an_image_that_knows_no_redis_is_named_and_only_a_person_mends_it() -> None:
    said = CRASHED | {"message": "ERROR: unknown command line flag 'redis_endpoint'\n"}
    crashed = broken({"state": {"waiting": {}}, "lastState": {"terminated": said}})
    picture = with_a_broken_daemon(crashed)
    assert conditions(picture)[STALLED] == ("True", "BuiltWithoutRedis")
    assert conditions(picture)[READY] == ("False", "BuiltWithoutRedis")
    assert "this image's vineyardd was built without redis" in message(picture, READY)
    # The image was changed, and the pod of before still ends.
    changing = replace(picture, workloads=(workload(ready=0, updated=0), workload("etcd")))
    assert conditions(changing)[STALLED] == ("False", "Done")
    assert conditions(replace(picture, revisions=(revision(1, spec="spec-0"),)))[STALLED] == (
        "False",
        "Done",
    )


def test_an_etcd_of_the_pools_own_that_does_not_run_says_why() -> None:
    container = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    picture = replace(
        running(),
        workloads=(workload(ready=0), workload("etcd", ready=0)),
        pods=(broken(container, "etcd"),),
    )
    assert conditions(picture)[METADATA] == ("False", "EtcdNotReady")
    assert "the image v:1 can't be pulled (ErrImagePull): no such image" in message(
        picture, METADATA
    )


@pytest.mark.parametrize(
    ("ready", "status"),
    [(3, "True"), (2, "True"), (1, "False"), (0, "False")],
)
def test_an_etcd_of_three_needs_two(ready: int, status: str) -> None:
    etcd = workload("etcd", replicas=3, ready=ready)
    picture = replace(running(), workloads=(workload(), etcd))
    assert conditions(picture)[METADATA][0] == status
    if ready < 3:
        assert f"{ready} of 3 members" in message(picture, METADATA)


def test_a_member_that_lost_its_data_shows_while_the_others_go_on() -> None:
    log = (
        '{"level":"info","ts":"2026-11-22T21:35:44.0Z","msg":"starting"}\n'
        '{"level":"fatal","ts":"2026-11-22T21:35:44.1Z","msg":"discovery failed",'
        '"error":"member bf53 has already been bootstrapped","stacktrace":"a\\nb"}'
    )
    lost = broken({"state": {"terminated": CRASHED | {"message": log}}}, "etcd")
    etcd = workload("etcd", replicas=3, ready=2)
    picture = replace(running(), workloads=(workload(), etcd), pods=(pod(), lost))
    assert conditions(picture)[METADATA] == ("True", "EtcdMemberLost")
    assert "this member came back without its data" in message(picture, METADATA)
    # Of any other end its own words are shown.
    other = log.replace("has already been bootstrapped", "is nobody")
    lost = broken({"state": {"terminated": CRASHED | {"message": other}}}, "etcd")
    picture = replace(picture, pods=(pod(), lost))
    assert conditions(picture)[METADATA] == ("True", "EtcdReady")
    assert message(picture, METADATA).endswith("words: discovery failed: member bf53 is nobody.")


AWAY = Trouble("Unreachable", "etcd:2379: Nothing answers there: check it.", blocks=True)


def test_a_service_that_was_not_asked_yet_is_not_claimed_to_be_healthy() -> None:
    picture = running(pool(EXTERNAL), service=service())
    assert conditions(picture)[METADATA] == ("Unknown", "NotProbed")


def test_a_healthy_service_with_its_warnings() -> None:
    warning = Trouble("AutoCompactionOff", "turn it on.", blocks=False)
    picture = running(pool(EXTERNAL), service=service(healthy=True, found=(warning,), claimed=True))
    assert conditions(picture)[METADATA] == ("True", "ServiceHealthy")
    assert "AutoCompactionOff: turn it on." in message(picture, METADATA)
    assert conditions(picture)[READY] == ("True", "PoolReady")


def test_a_service_that_goes_away_takes_ready_with_it_and_not_the_daemons() -> None:
    view = service(healthy=False, trouble=AWAY, claimed=True)
    picture = running(pool(EXTERNAL), service=view)
    assert conditions(picture)[METADATA] == ("False", "Unreachable")
    assert conditions(picture)[READY] == ("False", "Unreachable")
    assert conditions(picture)[AVAILABLE] == ("True", "DaemonsServe")


def test_with_warn_the_operators_view_does_not_count_for_ready() -> None:
    spec = {"metadata": {**EXTERNAL["metadata"], "preflight": "Warn"}}
    picture = running(pool(spec), service=service(healthy=False, trouble=AWAY, found=(AWAY,)))
    assert conditions(picture)[METADATA] == ("Unknown", "Unreachable")
    assert conditions(picture)[READY] == ("True", "PoolReady")


def test_a_preflight_that_blocks_says_what_to_change() -> None:
    taken = Trouble("PrefixTaken", "choose another prefix.", blocks=True)
    picture = snapshot(pool(EXTERNAL), service=service(healthy=True, found=(taken,)))
    assert conditions(picture)[READY] == ("False", "PrefixTaken")
    assert message(picture, READY) == "choose another prefix."
    assert conditions(picture)[RECONCILING] == ("True", "PrefixTaken")


def test_a_restart_of_ours_is_no_news_of_the_service() -> None:
    healthy = running(pool(EXTERNAL), service=service(healthy=True, found=(), claimed=True))
    status = status_of(healthy)
    restarted = running(with_status(status, EXTERNAL), service=service())
    assert merge_patch(status, status_of(restarted, NOW + timedelta(hours=1))) == {}


def test_latency_and_last_success_are_no_reason_to_write() -> None:
    def seen(second: int, latency: float, the_pool: Pool) -> Snapshot:
        when = NOW + timedelta(seconds=second)
        view = service(
            healthy=True, found=(), claimed=True, latency=latency, last_success=when, version="3.7"
        )
        return running(the_pool, service=view)

    status = status_of(seen(0, 0.001, pool(EXTERNAL)))
    assert status["metadata"]["latencyMilliseconds"] == 1  # type: ignore[index]
    later = seen(60, 0.009, with_status(status, EXTERNAL))
    assert merge_patch(status, status_of(later)) == {}


def test_a_deleted_pool_says_what_its_keys_wait_for_and_how_to_let_go() -> None:
    failure = Failure(
        Reason.METADATA_WAITING, "etcd:2379: Nothing answers.", About("spec-1", deleting=True)
    )
    picture = snapshot(
        pool(EXTERNAL, deleting=True),
        verified=True,
        service=service(claimed=True),
        failure=failure,
        retry_in=3,
    )
    assert conditions(picture)[READY] == ("False", "MetadataWaiting")
    assert "annotate kvcp p kvcache.aibrix.ai/abandon-metadata=true" in message(picture, READY)


def test_a_pool_at_zero_is_ready_and_not_available() -> None:
    picture = running(pool({"replicas": 0}), 0)
    assert conditions(picture)[READY] == ("True", "PoolReady")
    assert conditions(picture)[AVAILABLE] == ("False", "ScaledToZero")


def test_a_history_that_others_have_made_long_is_cut() -> None:
    revisions = tuple(revision(number, ours=False) for number in range(1, 100))
    history = status_of(snapshot(pool({"suspend": True}), revisions=revisions))["history"]
    assert [each["revision"] for each in history] == list(range(36, 100))  # type: ignore[attr-defined]


def release(**known: Any) -> dict[str, Any]:
    return {"release": {"name": "p", **known}}


def test_a_pinned_pool_is_ready_at_its_revision() -> None:
    back = pool({"rollbackTo": {"revision": 1}})
    revisions = (revision(1, spec="spec-0"), revision(2), revision(3, spec="spec-0"))
    picture = replace(running(back), revisions=revisions)
    assert conditions(picture)[READY] == ("True", "RolledBack")
    assert conditions(picture)[STALLED] == ("False", "Done")
    assert message(picture, READY) == (
        "1 of 1 daemon ready; at revision 1, as spec.rollbackTo says"
    )
    under_way = replace(picture, revisions=revisions[:2])
    assert conditions(under_way)[READY] == ("False", "RollingBack")
    assert conditions(under_way)[RECONCILING] == ("True", "RollingBack")


def test_a_pin_is_remembered_and_forgotten() -> None:
    revisions = (revision(1, spec="spec-0"), revision(2, healthy=True))
    pin = {"revision": 1, "specDigest": "spec-0", "chartDigest": "chart-1"}
    pinned = replace(running(pool({"rollbackTo": {"revision": 1}})), revisions=revisions)
    assert status_of(pinned)["release"]["pinned"] == pin  # type: ignore[index]
    unpinned = replace(running(pool(status=release(pinned=pin))), revisions=revisions)
    assert "pinned" not in status_of(unpinned)["release"]  # type: ignore[operator]


def test_a_revision_that_is_not_there_is_refused_with_those_that_are() -> None:
    picture = replace(
        running(pool({"rollbackTo": {"revision": 9}})),
        revisions=(
            revision(1, parked=True),
            revision(2, "superseded", healthy=True),
            revision(3, ours=False),
            revision(4),
        ),
    )
    assert conditions(picture)[STALLED] == ("True", "RevisionGone")
    assert conditions(picture)[AVAILABLE] == ("True", "DaemonsServe")
    assert message(picture, STALLED) == (
        "spec.rollbackTo: revision 9 can't be gone back to. There are: 2 (healthy), 4; name one of "
        "them, or remove spec.rollbackTo"
    )


def late(**spec: Any) -> Snapshot:
    return replace(
        running(pool(spec)),
        revisions=(revision(1, spec="spec-0", healthy=True), revision(2, age=601)),
        workloads=(workload(ready=0),),
        pods=(pod(node=None, unschedulable="0/4 nodes", age=601),),
    )


def test_an_upgrade_is_remembered_as_rejected_before_it_is_taken_back() -> None:
    said = "Revision 2 made no progress for 600 s: p-0: 0/4 nodes"
    assert status_of(late())["release"]["rejected"] == {  # type: ignore[index]
        "revision": 2,
        "specDigest": "spec-1",
        "chartDigest": "chart-1",
        "message": said,
    }
    assert conditions(late())[READY] == ("False", "RolledBack")
    assert message(late(), STALLED).startswith(f"{said} Gone back to the last healthy revision")


def test_after_a_rollback_by_itself_the_pool_is_available_and_not_ready() -> None:
    before = status_of(late())
    revisions = (*late().revisions, revision(3, spec="spec-0", healthy=True))
    picture = replace(running(pool(status=before)), revisions=revisions)
    assert conditions(picture)[READY] == ("False", "RolledBack")
    assert conditions(picture)[RECONCILING] == ("False", "Done")
    assert conditions(picture)[STALLED] == ("True", "RolledBack")
    assert conditions(picture)[AVAILABLE] == ("True", "DaemonsServe")
    # Another spec is another matter.
    changed = replace(picture, spec_digest="spec-2")
    assert conditions(changed)[READY] == ("False", "Upgrading")
    assert "rejected" not in status_of(changed)["release"]  # type: ignore[operator]


def test_what_stays_as_it_is_says_why() -> None:
    kept = late(upgrade={"onFailure": "Keep"})
    assert conditions(kept)[STALLED] == ("True", "ProgressDeadlineExceeded")
    assert "spec.upgrade.onFailure: Keep" in message(kept, STALLED)
    assert "rejected" not in status_of(kept)["release"]  # type: ignore[operator]
    first = replace(late(), revisions=(revision(1, age=601),))
    assert conditions(first)[STALLED] == ("True", "ProgressDeadlineExceeded")
    assert "0/4 nodes" in message(first, STALLED)


def test_a_persons_rollback_is_told_and_remembered() -> None:
    theirs = revision(3, ours=False, copy_of=1, spec="spec-0", port=9700)
    picture = replace(
        running(),
        revisions=(revision(1, spec="spec-0", port=9700), revision(2), theirs),
        origin=Origin("", 1, ours=False),
    )
    assert conditions(picture)[READY] == ("False", "HeldByHelmRollback")
    assert conditions(picture)[STALLED] == ("True", "HeldByHelmRollback")
    assert conditions(picture)[AVAILABLE] == ("True", "DaemonsServe")
    status = status_of(picture)
    held = {"revision": 3, "to": 1, "specDigest": "spec-1"}
    assert status["release"]["held"] == held  # type: ignore[index]
    # The Service that runs is what engines are told, not the spec's.
    assert status["endpoint"] == "p-rpc.ns.svc:9700"
    again = replace(picture, pool=pool(status=status), origin=None)
    assert merge_patch(status, status_of(again)) == {}


def status_of(picture: Snapshot, now: datetime = NOW) -> dict[str, object]:
    step = decide(picture, POLICY)
    return status_for(picture, step, POLICY, "kvcachepool-1", now).as_object()


def with_status(status: dict[str, object], spec: dict[str, object] | None = None) -> Pool:
    return pool(spec, status=status)


def test_what_engines_and_autoscalers_read() -> None:
    status = status_of(replace(running(), revisions=(revision(1, healthy=True, port=9700),)))
    assert status["endpoint"] == "p-rpc.ns.svc:9700"
    assert status["selector"] == "app.kubernetes.io/component=daemon,app.kubernetes.io/instance=p"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["release"] == {"name": "p", "revision": 1, "chart": "kvcachepool-1"}
    assert status["metadata"] == {
        "kind": "managed",
        "endpoints": ["http://p-etcd-0.ns.svc:2379"],
    }
    assert status["history"] == [
        {
            "revision": 1,
            "outcome": "deployed",
            "healthy": True,
            "time": "2026-01-01T12:00:00Z",
            "chart": "kvcachepool-1",
            "specDigest": "spec-1",
            "chartDigest": "chart-1",
        }
    ]


def test_what_helm_works_on_is_no_history_yet() -> None:
    revisions = (revision(1, ours=False), revision(2, "failed"), revision(3, "pending-upgrade"))
    history = status_of(snapshot(revisions=revisions))["history"]
    assert [(each["revision"], each["outcome"]) for each in history] == [  # type: ignore[attr-defined]
        (1, "deployed"),
        (2, "failed"),
    ]
    assert "specDigest" not in history[0]  # type: ignore[index]


def test_nothing_is_written_when_nothing_changed() -> None:
    status = status_of(running())
    later = NOW + timedelta(hours=1)
    assert merge_patch(status, status_of(running(with_status(status)), later)) == {}


def test_a_transition_time_moves_only_when_the_status_turns() -> None:
    before = status_of(running(pool({"replicas": 3}), 3))
    shrinking = replace(
        running(with_status(before, {"replicas": 3}), 3),
        workloads=(workload(replicas=3, ready=2), workload("etcd")),
    )
    later = NOW + timedelta(hours=1)
    times = {
        condition["type"]: condition["lastTransitionTime"]
        for condition in status_of(shrinking, later)["conditions"]  # type: ignore[attr-defined]
    }
    assert times["Ready"] == "2026-01-01T01:00:00Z"
    assert times["Available"] == "2026-01-01T00:00:00Z"


def test_a_merge_patch_removes_what_is_gone() -> None:
    before = {"release": {"name": "p", "failed": {"reason": "x"}}, "endpoint": "e", "same": [1]}
    after = {"release": {"name": "p"}, "same": [1], "new": 1}
    patch = {"release": {"failed": None}, "endpoint": None, "new": 1}
    assert merge_patch(before, after) == patch
