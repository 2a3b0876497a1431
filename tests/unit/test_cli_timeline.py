"""What the demo prints of a pool's way to Ready, and what it leaves out."""

from typing import Any

from kvhelm.cli.timeline import Timeline

NODE = "gpu-a10-0"


def pool(*conditions: tuple[str, str, str], generation: int = 1, judged: int = 1) -> Any:
    return {
        "kind": "KVCachePool",
        "metadata": {"name": "p", "generation": generation},
        "status": {
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": reason.lower()}
                | {"observedGeneration": judged}
                for kind, status, reason in conditions
            ]
        },
    }


def pod(ready: str, node: str | None) -> Any:
    labels = {"app.kubernetes.io/component": "daemon", "apps.kubernetes.io/pod-index": "0"}
    return {
        "kind": "Pod",
        "metadata": {"name": "p-daemon-0", "labels": labels},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": ready}]},
    }


def told(timeline: Timeline, seen: Any) -> list[tuple[str, str]]:
    return [(line.subject, line.what) for line in timeline.lines(seen)]


def test_each_thing_is_told_once() -> None:
    timeline = Timeline("p", "p")
    installing = pool(("Ready", "False", "Installing"), ("Reconciling", "True", "Installing"))
    assert told(timeline, installing) == [("pool", "created"), ("Ready", "False Installing")]
    assert told(timeline, installing) == []
    assert told(timeline, pod("False", None)) == [("pod", "Pending")]
    assert told(timeline, pod("False", NODE)) == [("pod", "Pending")]
    assert told(timeline, pod("True", NODE)) == [("pod", "ready")]
    assert not timeline.ready
    assert told(timeline, pool(("Ready", "True", "PoolReady"))) == [("Ready", "True PoolReady")]
    assert timeline.ready


def test_what_does_not_hold_yet_is_told_only_if_it_held_before() -> None:
    timeline = Timeline("p", "p")
    assert told(timeline, pool(("Available", "False", "NoDaemon"))) == [("pool", "created")]
    serves, gone = ("Available", "True", "DaemonsServe"), ("Available", "False", "NoDaemon")
    assert told(timeline, pool(serves)) == [("Available", "True DaemonsServe")]
    assert told(timeline, pool(gone)) == [("Available", "False NoDaemon")]


def test_a_status_of_a_former_generation_is_not_the_end() -> None:
    timeline = Timeline("p", "p")
    told(timeline, pool(("Ready", "True", "PoolReady"), generation=2, judged=1))
    assert not timeline.ready


def test_a_pool_that_stalls_says_why() -> None:
    timeline = Timeline("p", "p")
    told(timeline, pool(("Stalled", "True", "QuotaExceeded")))
    assert timeline.stalled == "quotaexceeded"


def test_events_of_others_are_left_out() -> None:
    timeline = Timeline("p", "p")
    event = {"kind": "Event", "reason": "Killing", "type": "Normal", "message": "m"}
    about = {"kind": "Pod", "name": "other-0"}
    assert told(timeline, event | {"involvedObject": about}) == []
    about = {"kind": "StatefulSet", "name": "p-daemon"}
    assert told(timeline, event | {"involvedObject": about}) == [("event", "Killing")]
