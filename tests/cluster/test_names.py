"""Any legal name of a pool, beside its most similar neighbour."""

import asyncio

from kvhelm.kube.resource import CONFIG_MAPS
from tests.cluster.stories import Stories

LONGEST = ".".join(["0" + "a" * 62, "b" * 63, "c" * 63, "d" * 61])
NEIGHBOURS = [
    LONGEST,
    LONGEST[:-1] + "e",
    "a.b",
    "a-b",
    "1st",
    "x" * 60 + "-one",
    "x" * 60 + "-two",
]


async def test_names_that_a_release_cannot_have(stories: Stories) -> None:
    assert len(LONGEST) == 253
    async with asyncio.TaskGroup() as group:
        for name in NEIGHBOURS:
            group.create_task(stories.create(name))
    endpoints = set()
    for name in NEIGHBOURS:
        pool = await stories.ready(name)
        release = pool["status"]["release"]["name"]
        # What the status says is what helm and the API server have.
        assert release in (await stories.helm("list", "--short")).split()
        host = pool["status"]["endpoint"].split(".")[0]
        connection = await stories.client.get(
            CONFIG_MAPS, f"{host.removesuffix('-rpc')}-connection", stories.namespace
        )
        assert connection["metadata"]["annotations"]["kvcache.aibrix.ai/pool"] == name
        endpoints.add(host)
    assert len(endpoints) == len(NEIGHBOURS)

    await stories.delete("a.b")
    assert await stories.objects("a.b") == {}
    assert len(await stories.pods("a-b")) == 1
