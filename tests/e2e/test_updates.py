"""Updates of pools that run: one daemon after the other, and back if the first does not start."""

import pytest

from kvhelm.kube.resource import PODS
from kvhelm.local.realnode.images import VINEYARDD_IMAGES
from tests.cluster.stories import condition
from tests.e2e.pools import NODES, Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_an_update_leaves_the_other_daemons_objects_readable(pools: Pools) -> None:
    """The last daemon is replaced first; here that takes as long as its node takes no pods."""
    await pools.own_etcd()
    await pools.create("pool", replicas=2)
    await pools.ready("pool")
    first, last = await pools.pods("pool")
    beside = await pools.engine("pool", first["spec"]["nodeName"])
    away = await pools.engine("pool", last["spec"]["nodeName"], beside=False)
    key = await pools.put(beside, 2)

    await pools.kubectl("cordon", last["spec"]["nodeName"])
    try:
        await pools.change("pool", cache={"image": VINEYARDD_IMAGES[1]})
        await pools.wait(
            PODS,
            last["metadata"]["name"],
            lambda pod: (
                pod["metadata"]["uid"] != last["metadata"]["uid"]
                and condition(pod, "PodScheduled")["status"] == "False"
            ),
            "to be replaced, and to wait for a node",
        )
        assert await pools.fetch(beside, key) == 20_000
        assert await pools.fetch(away, key) == 20_000
    finally:
        await pools.kubectl("uncordon", last["spec"]["nodeName"])
    await pools.ready("pool")
    found = await pools.pods("pool")
    assert {pod["spec"]["containers"][0]["image"] for pod in found} == {VINEYARDD_IMAGES[1]}
    assert await pools.nodes("pool") == list(NODES)
    engine = await pools.engine("pool", last["spec"]["nodeName"])
    assert await pools.fetch(engine, await pools.put(engine, 3)) == 30_000


async def test_an_update_that_cannot_start_is_taken_back_by_itself(pools: Pools) -> None:
    """A vineyardd that does not know its flags: a real crash loop, which says why it is one."""
    await pools.own_etcd()
    upgrade = {"onFailure": "Rollback", "progressDeadlineSeconds": 10}
    await pools.create("pool", replicas=2, upgrade=upgrade)
    await pools.ready("pool")
    first, last = await pools.pods("pool")
    beside = await pools.engine("pool", first["spec"]["nodeName"])
    key = await pools.put(beside, 4)

    unknown = {"image": VINEYARDD_IMAGES[1], "extraArgs": ["--of_another_age=true"]}
    await pools.change("pool", cache=unknown)
    said = await pools.turned("pool", "Ready", "False", "Crashing")
    assert last["metadata"]["name"] in said
    assert "unknown command line flag 'of_another_age'" in said
    assert await pools.fetch(beside, key) == 40_000

    pool = await pools.pool(
        "pool",
        lambda pool: (
            condition(pool, "Stalled")["reason"] == "RolledBack"
            and pool["status"].get("readyReplicas") == 2
        ),
        "to be rolled back, and to have both daemons",
    )
    assert condition(pool, "Available")["status"] == "True"
    assert "Revision 2 made no progress for 10 s" in condition(pool, "Stalled")["message"]
    # The daemon that the update had not come to never noticed; the other one serves again.
    assert (await pools.pods("pool"))[0]["metadata"]["uid"] == first["metadata"]["uid"]
    assert await pools.fetch(beside, key) == 40_000
    engine = await pools.engine("pool", last["spec"]["nodeName"])
    assert await pools.fetch(engine, key) == 40_000
    assert await pools.fetch(beside, await pools.put(engine, 5)) == 50_000

    # Whoever mends the spec is Ready again.
    await pools.change("pool", cache={"image": VINEYARDD_IMAGES[0], "extraArgs": None})
    await pools.ready("pool")
