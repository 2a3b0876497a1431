"""The etcd of a pool's own: its pod goes, and with it the data or not, and the pool goes on."""

import pytest

from tests.e2e.pools import NODES, Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_an_etcd_without_storage_is_lost_with_its_pod_and_the_pool_is_mended(
    pools: Pools,
) -> None:
    await pools.create("pool", replicas=2, metadata={"managed": {}})
    await pools.ready("pool")
    before = {pod["metadata"]["uid"] for pod in await pools.pods("pool")}
    first, second = [await pools.engine("pool", node) for node in NODES]
    key = await pools.put(first, 3)
    assert await pools.fetch(second, key) == 30_000

    etcd = await pools.running("pool-etcd-0")
    await pools.kubectl("delete", "pod", "pool-etcd-0")
    await pools.running("pool-etcd-0", besides=etcd["metadata"]["uid"])
    restarted = await pools.event("pool", "DaemonsRestarted")
    assert "2 daemons are restarted in order" in restarted["message"]
    await pools.pool(
        "pool",
        lambda pool: pool["status"]["metadata"].get("heldBy") != [etcd["metadata"]["uid"]],
        "to be on the new etcd",
    )
    await pools.ready("pool")
    assert not before & {pod["metadata"]["uid"] for pod in await pools.pods("pool")}

    for node in NODES:
        await pools.kubectl("delete", "pod", f"engine-{node}", "--grace-period=0", "--force")
    first, second = [await pools.engine("pool", node) for node in NODES]
    for one, other, value in ((first, second, 4), (second, first, 5)):
        assert await pools.fetch(other, await pools.put(one, value)) == value * 10_000


async def test_a_restart_of_the_etcd_in_its_pod_costs_nothing(pools: Pools) -> None:
    await pools.create("pool", metadata={"managed": {}})
    await pools.ready("pool")
    (daemon,) = await pools.pods("pool")
    node = daemon["spec"]["nodeName"]
    engine = await pools.engine("pool", node)
    key = await pools.put(engine, 6)
    etcd = await pools.running("pool-etcd-0")
    pools.on_node(etcd["spec"]["nodeName"], "pkill", "-KILL", "--exact", "etcd")
    await pools.turned("pool", "MetadataReady", "False", "EtcdNotReady")
    await pools.ready("pool")
    assert await pools.fetch(engine, key) == 60_000
    (same,) = await pools.pods("pool")
    assert same["metadata"]["uid"] == daemon["metadata"]["uid"]
