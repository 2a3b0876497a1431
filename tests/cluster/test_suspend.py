"""A suspended pool is left alone, whatever its spec says by then."""

from kvhelm.controller.watches import POOLS
from tests.cluster.stories import Stories


async def test_nothing_changes_while_suspended(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    before = await stories.objects("p")

    await stories.change("p", suspend=True)
    await stories.turned("p", "Ready", "Unknown", "Suspended")
    generation = (
        await stories.change("p", replicas=2, cache={"image": "vineyard:2"}, suspend=True)
    )["metadata"]["generation"]
    pool = await stories.pool(
        "p", lambda it: it["status"]["observedGeneration"] == generation, "to be looked at"
    )
    assert pool["status"]["readyReplicas"] == 1
    assert await stories.objects("p") == before

    await stories.change("p", suspend=False)
    pool = await stories.ready("p")
    assert pool["status"]["readyReplicas"] == 2
    assert await stories.revisions("p") == 2


async def test_a_suspended_pool_is_not_even_installed(stories: Stories) -> None:
    await stories.create("p", suspend=True)
    await stories.turned("p", "Ready", "Unknown", "Suspended")
    assert await stories.objects("p") == {}
    await stories.change("p", suspend=False)
    await stories.ready("p")


async def test_a_suspended_pool_can_be_deleted(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    await stories.change("p", suspend=True)
    await stories.turned("p", "Ready", "Unknown", "Suspended")
    await stories.delete("p")
    assert await stories.objects("p") == {}
    assert (await stories.client.list(POOLS, stories.namespace)).items == []
