"""status.members against real daemons: who serves, who is gone, and metadata that was lost."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kvhelm.kube.resource import Object
from tests.cluster.daemons import Daemons, running_daemons
from tests.cluster.stories import Stories
from tests.dataplane.parts import Etcd, etcd_members

SMALL = {"image": "vineyard:1", "memory": "16Mi"}
"""Real daemons reserve what they are given."""


@pytest.fixture
async def own_etcd(tmp_path: Path) -> AsyncIterator[Etcd]:
    """An etcd of the test's own. Asked for before `stories`, it outlives their pools."""
    (member,) = etcd_members(tmp_path / "etcd")
    await member.serve()
    yield member
    member.kill()


@pytest.fixture
async def daemons(stories: Stories, tmp_path: Path) -> AsyncIterator[Daemons]:
    async with running_daemons(stories.client, stories.namespace, tmp_path / "daemons") as running:
        yield running


async def create(stories: Stories, etcd: Etcd, replicas: int) -> None:
    metadata = {"etcd": {"endpoints": [etcd.url]}}
    await stories.create("p", replicas=replicas, metadata=metadata, cache=SMALL)


def states(pool: Object) -> dict[str, int]:
    """Count the members by state."""
    return dict(Counter(each["state"] for each in pool.get("status", {}).get("members", [])))


async def members(stories: Stories, **expected: int) -> list[dict[str, Any]]:
    """Wait until the members have these states, and return them."""
    pool = await stories.pool("p", lambda pool: states(pool) == expected, f"members: {expected}")
    return list(pool.get("status", {}).get("members", []))


async def test_members_follow_the_daemons_up_and_down(
    own_etcd: Etcd, stories: Stories, daemons: Daemons
) -> None:
    await create(stories, own_etcd, replicas=2)
    serving = await members(stories, Serving=2)
    pods = await stories.pods("p")
    assert [
        (each["pod"], each["node"], each["rpcEndpoint"].partition(":")[0]) for each in serving
    ] == [
        (pod["metadata"]["name"], pod["spec"]["nodeName"], pod["status"]["podIP"]) for pod in pods
    ]
    assert len({each["instance"] for each in serving}) == 2
    await stories.change("p", replicas=3)
    await members(stories, Serving=3)
    # A daemon dies. Its pod is there, and a peer that lives removes its entry.
    name = pods[1]["metadata"]["name"]
    daemons.by_pod[name].kill()
    (silent,) = (
        each
        for each in await members(stories, Serving=2, NotRegistered=1)
        if each["state"] == "NotRegistered"
    )
    assert silent["pod"] == name
    await daemons.by_pod[name].serve()
    await members(stories, Serving=3)


async def test_entries_that_nobody_answers_for_are_removed(
    own_etcd: Etcd, stories: Stories, daemons: Daemons
) -> None:
    await create(stories, own_etcd, replicas=1)
    (alone,) = await members(stories, Serving=1)
    # Started again in its pod, it leaves its old entry; there is no peer to remove it.
    daemons.by_pod[alone["pod"]].kill()
    await daemons.by_pod[alone["pod"]].serve()
    await members(stories, Serving=1, Duplicate=1)
    await members(stories, Serving=1)
    # vineyardd would keep this one for ever.
    await stories.change("p", replicas=0)
    (stale,) = await members(stories, Stale=1)
    assert "pod" not in stale
    await members(stories)
    await stories.event("p", "MemberRemoved")


async def test_a_wiped_etcd_is_mended(own_etcd: Etcd, stories: Stories, daemons: Daemons) -> None:
    await create(stories, own_etcd, replicas=2)
    await members(stories, Serving=2)
    before = {pod["metadata"]["uid"] for pod in await stories.pods("p")}
    since = await stories.now()
    await own_etcd.wipe()
    await stories.turned_since(since, "p", "MetadataReady", "MetadataLost")
    said = str((await stories.event("p", "DaemonsRestarted"))["message"])
    assert "2 daemons are restarted in order" in said
    assert "objects in the pool are lost" in said
    serving = await members(stories, Serving=2)
    assert len({each["instance"] for each in serving}) == 2
    assert not before & {pod["metadata"]["uid"] for pod in await stories.pods("p")}
    pool = await stories.ready("p")
    assert pool["status"]["metadata"]["mendedAt"]
