"""What is worth a line of what happens to a pool: pure."""

from collections.abc import Iterator
from typing import NamedTuple

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import EVENTS, PODS, Object

_GOOD, _NOT_YET = "green", "yellow"

_COMPONENT = "app.kubernetes.io/component"
_INDEX = "apps.kubernetes.io/pod-index"


class Line(NamedTuple):
    """One thing that turned."""

    subject: str
    what: str
    detail: str
    style: str


class Timeline:
    """What is worth a line of what the watches of one pool say; each thing is told once.

    `ready`, `message` (of Ready) and `stalled` (its message) are of the pool's present generation.
    """

    def __init__(self, name: str, release: str) -> None:
        self.name = name
        self.release = release
        self.ready = False
        self.message = ""
        self.stalled = ""
        self._told: dict[str, tuple[str, ...]] = {}

    def lines(self, seen: Object) -> Iterator[Line]:
        """Yield what is new in an object: the pool, one of its pods, or an Event."""
        match seen["kind"]:
            case POOLS.kind:
                yield from self._of_pool(seen)
            case PODS.kind:
                yield from self._of_pod(seen)
            case EVENTS.kind:
                yield from self._of_event(seen)

    def _of_pool(self, pool: Object) -> Iterator[Line]:
        if self._is_new("pool"):
            yield Line("pool", "created", self.name, "")
        for condition in pool.get("status", {}).get("conditions", []):
            kind, status, message = condition["type"], condition["status"], condition["message"]
            holds = status == "True"
            # Reconciling says what Ready says; of the others, what holds, or held, is worth a line.
            worth = kind == "Ready" or (kind != "Reconciling" and (holds or kind in self._told))
            if worth and self._is_new(kind, status, condition["reason"]):
                style = _GOOD if holds != (kind == "Stalled") else _NOT_YET
                yield Line(kind, f"{status} {condition['reason']}", message, style)
            if condition["observedGeneration"] == pool["metadata"]["generation"]:
                if kind == "Ready":
                    self.ready, self.message = holds, message
                if kind == "Stalled":
                    self.stalled = message if holds else ""

    def _of_pod(self, pod: Object) -> Iterator[Line]:
        labels, status = pod["metadata"]["labels"], pod.get("status", {})
        # Short: the rest of a pod's name is the release's, with a hash.
        name = f"{labels[_COMPONENT]}-{labels[_INDEX]}"
        conditions = status.get("conditions", [])
        serves = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        what = "ready" if serves else status.get("phase", "Pending")
        node = pod["spec"].get("nodeName")
        if self._is_new(f"pod {name}", what, node or ""):
            where = f"{name} on {node}" if node else name
            yield Line("pod", what, where, _GOOD if serves else _NOT_YET)

    def _of_event(self, event: Object) -> Iterator[Line]:
        about = event["involvedObject"]
        if about["name"] == self.name or about["name"].startswith(self.release):
            text = f"{about['kind']}: {event.get('message', '')}"
            yield Line(
                "event", event["reason"], text, "dim" if event["type"] == "Normal" else "red"
            )

    def _is_new(self, about: str, *state: str) -> bool:
        new = self._told.get(about) != state
        self._told[about] = state
        return new
