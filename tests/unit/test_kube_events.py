"""The recorder of Events, with an API that keeps them in a dictionary.

It stands in for the API server to refuse and to forget on demand.
"""

import asyncio
from typing import Any, cast

import pytest

from kvhelm.kube.client import Client
from kvhelm.kube.errors import Forbidden, NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.resource import Object, Resource

POOL = {
    "apiVersion": "example.io/v1",
    "kind": "Pool",
    "namespace": "ns",
    "name": "p" * 250,
    "uid": "1",
}


class Events:
    def __init__(self) -> None:
        self.events: dict[str, Object] = {}
        self.refused = 0
        self.created = asyncio.Event()

    async def create(self, resource: Resource, obj: Object, namespace: str) -> Object:
        if namespace == "ending":
            self.refused += 1
            raise Forbidden(403, "Forbidden", "namespace ending is being terminated")
        assert len(obj["metadata"]["name"]) <= 253
        self.events[obj["metadata"]["name"]] = obj
        self.created.set()
        return obj

    async def patch(
        self, resource: Resource, name: str, body: Object, namespace: str, **_: Any
    ) -> Object:
        if name not in self.events:
            raise NotFound(404, "NotFound", "no such event")
        self.events[name].update(body)
        return self.events[name]


@pytest.fixture
async def api() -> Events:
    return Events()


async def test_the_same_words_count_up_one_event(api: Events) -> None:
    async with EventRecorder(cast(Client, api), "kvhelm") as recorder:
        for _ in range(3):
            recorder.record(POOL, "Warning", "NoImage", "image not found")
        recorder.record(POOL, "Normal", "Ready", "serving")
        recorder.record({**POOL, "uid": "2"}, "Warning", "NoImage", "image not found")
    assert sorted((e["reason"], e["count"]) for e in api.events.values()) == [
        ("NoImage", 1),
        ("NoImage", 3),
        ("Ready", 1),
    ]
    ready = next(e for e in api.events.values() if e["reason"] == "Ready")
    assert ready["involvedObject"] == POOL
    assert ready["metadata"]["namespace"] == "ns"
    assert ready["type"] == "Normal"
    assert ready["source"]["component"] == "kvhelm"


async def test_an_event_that_expired_is_written_anew(api: Events) -> None:
    async with asyncio.timeout(30), EventRecorder(cast(Client, api), "kvhelm") as recorder:
        recorder.record(POOL, "Normal", "Ready", "serving")
        await api.created.wait()
        api.events.clear()
        recorder.record(POOL, "Normal", "Ready", "serving")
    assert [e["count"] for e in api.events.values()] == [1]


async def test_a_refused_event_disturbs_nobody(api: Events) -> None:
    async with EventRecorder(cast(Client, api), "kvhelm") as recorder:
        recorder.record({**POOL, "namespace": "ending"}, "Normal", "Deleted", "bye")
        recorder.record(POOL, "Normal", "Ready", "x" * 5000)
    assert api.refused == 1
    assert [len(e["message"]) for e in api.events.values()] == [1024]


async def test_events_of_objects_without_namespace_live_in_default(api: Events) -> None:
    about = {"apiVersion": "v1", "kind": "Node", "name": "gpu-1", "uid": "3"}
    async with EventRecorder(cast(Client, api), "kvhelm") as recorder:
        recorder.record(about, "Normal", "Seen", "hello")
    assert [e["metadata"]["namespace"] for e in api.events.values()] == ["default"]
