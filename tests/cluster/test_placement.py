"""Where daemons run, as the real scheduler decides it.

Each test has nodes with a GPU that no other test knows of, and leaves them: a node that goes would
take other tests' pods with it.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import pytest

from kvhelm.kube.resource import PODS, SERVICE_ACCOUNTS
from kvhelm.local.cluster import add_nodes
from kvhelm.local.nodes import Node, Taint
from tests.cluster.stories import Stories, condition

WORKLOAD = "model.aibrix.ai/name"


@dataclass
class Rack:
    """Fake nodes of one test: they have a GPU of their own."""

    stories: Stories
    gpu: str

    async def add(self, *nodes: str, **more: Any) -> None:
        """Make nodes with short names."""
        made = [Node(self.node(name), self.gpu, **more) for name in nodes]
        await asyncio.to_thread(add_nodes, self.stories.cluster, made)

    def node(self, name: str) -> str:
        """Return the full name of a node."""
        return f"{self.gpu.lower()}-{name}"

    async def run_workload(self, name: str, node: str) -> None:
        """Start an inference engine's pod on a node."""
        await self.stories.wait(SERVICE_ACCOUNTS, "default", lambda _: True, "to be made")
        pod = {
            "metadata": {"name": name, "labels": {WORKLOAD: name}},
            "spec": {
                "nodeName": self.node(node),
                "containers": [{"name": "engine", "image": "engine:1"}],
            },
        }
        await self.stories.client.create(PODS, pod, self.stories.namespace)
        await self.stories.wait(
            PODS, name, lambda it: condition(it, "Ready")["status"] == "True", "to be Ready"
        )


@pytest.fixture
def rack(stories: Stories) -> Rack:
    return Rack(stories, f"GPU-{os.urandom(4).hex()}")


async def test_the_gpu_type_picks_the_node(stories: Stories, rack: Rack) -> None:
    await rack.add("a", taints=(Taint("nvidia.com/gpu", "present", "NoSchedule"),))
    await stories.create("p", scheduler={"gpuType": rack.gpu})
    pool = await stories.ready("p")
    assert await stories.nodes("p") == [rack.node("a")]
    assert condition(pool, "Scheduled")["reason"] == "PodsScheduled"


async def test_a_gpu_type_under_another_label(stories: Stories, rack: Rack) -> None:
    await rack.add("a")
    await rack.add("b", labels={"example.com/gpu": rack.gpu})
    await stories.create("p", scheduler={"gpuType": rack.gpu, "gpuTypeLabel": "example.com/gpu"})
    await stories.ready("p")
    assert await stories.nodes("p") == [rack.node("b")]


async def test_daemons_go_where_the_workload_is(stories: Stories, rack: Rack) -> None:
    await rack.add("a", "b", "c")
    await rack.run_workload("deepseek", "b")
    for affinity in ("Preferred", "Required"):
        scheduler = {"gpuType": rack.gpu, "affinityWorkload": "deepseek", "affinity": affinity}
        await stories.create(affinity.lower(), scheduler=scheduler)
    for affinity in ("preferred", "required"):
        await stories.ready(affinity)
        assert await stories.nodes(affinity) == [rack.node("b")]


async def test_a_preferred_workload_may_be_absent(stories: Stories, rack: Rack) -> None:
    await rack.add("a")
    await stories.create("p", scheduler={"gpuType": rack.gpu, "affinityWorkload": "absent"})
    await stories.ready("p")


async def test_a_required_workload_is_waited_for(stories: Stories, rack: Rack) -> None:
    await rack.add("a")
    scheduler = {"gpuType": rack.gpu, "affinityWorkload": "late", "affinity": "Required"}
    await stories.create("p", scheduler=scheduler)
    words = await stories.turned("p", "Scheduled", "False", "Unschedulable")
    assert "didn't match pod affinity rules" in words
    assert (await stories.event("p", "Unschedulable"))["type"] == "Warning"
    assert condition(await stories.get("p"), "Ready")["reason"] == "Unschedulable"
    await rack.run_workload("late", "a")
    await stories.ready("p")


async def test_daemons_spread_over_nodes(stories: Stories, rack: Rack) -> None:
    await rack.add("a", "b")
    await stories.create("p", replicas=2, scheduler={"gpuType": rack.gpu})
    await stories.ready("p")
    assert await stories.nodes("p") == [rack.node("a"), rack.node("b")]

    await stories.change("p", replicas=3)
    words = await stories.turned("p", "Scheduled", "False", "Unschedulable")
    assert "didn't match pod anti-affinity rules" in words
    assert condition(await stories.get("p"), "Available")["status"] == "True"

    await rack.add("c")
    pool = await stories.ready("p")
    assert condition(pool, "Scheduled")["status"] == "True"
    assert len(set(await stories.nodes("p"))) == 3


async def test_daemons_spread_over_zones(stories: Stories, rack: Rack) -> None:
    await rack.add("a1", "a2", "a3", zone="zone-a")
    await rack.add("b1", zone="zone-b")
    scheduler = {"gpuType": rack.gpu, "spreadPolicy": "Zone"}
    await stories.create("p", replicas=2, scheduler=scheduler)
    await stories.ready("p")
    assert rack.node("b1") in await stories.nodes("p")


async def test_daemons_that_may_share_a_node(stories: Stories, rack: Rack) -> None:
    await rack.add("a")
    await stories.create(
        "p",
        replicas=2,
        cache={"image": "vineyard:1", "socket": "EmptyDir"},
        scheduler={"gpuType": rack.gpu, "spreadPolicy": "None"},
    )
    await stories.ready("p")
    assert await stories.nodes("p") == [rack.node("a")] * 2


async def test_taints_and_node_labels(stories: Stories, rack: Rack) -> None:
    await rack.add("a", labels={"disk": "slow"})
    await rack.add("b", labels={"disk": "fast"}, taints=(Taint("team", "ml", "NoSchedule"),))
    scheduler = {"gpuType": rack.gpu, "nodeSelector": {"disk": "fast"}}
    await stories.create("refused", scheduler=scheduler)
    words = await stories.turned("refused", "Scheduled", "False", "Unschedulable")
    assert "untolerated taint" in words
    tolerations = [{"key": "team", "value": "ml", "effect": "NoSchedule"}]
    await stories.create("borne", scheduler=scheduler | {"tolerations": tolerations})
    await stories.ready("borne")
    assert await stories.nodes("borne") == [rack.node("b")]
