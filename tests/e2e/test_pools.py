"""Pools that really run: daemons in containers, engines that put and get."""

import asyncio

import pytest

from kvhelm import assets
from tests.cluster.stories import PATIENCE, condition
from tests.e2e.pools import NODES, Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_the_sample_as_it_is(pools: Pools) -> None:
    """The manifest of the README, with an etcd in its own release, and an engine beside it."""
    text = (assets.examples_dir() / "sample.yaml").read_text()
    assert "namespace: default" in text
    manifest = text.replace("namespace: default", f"namespace: {pools.namespace}")
    await pools.kubectl("apply", "-f", "-", stdin=manifest)
    name = "test-aibrix-model-deepseek-coder-33b-instruct-kvcache"
    await pools.ready(name)
    (node,) = await pools.nodes(name)
    engine = await pools.engine(name, node)
    key = await pools.put(engine, 7)
    assert await pools.reaches(engine) == (True, True)
    assert await pools.fetch(engine, key) == 70_000

    # Where no daemon is, the Service's name leads to it.
    (away,) = set(NODES) - {node}
    remote = await pools.engine(name, away, beside=False)
    assert await pools.reaches(remote) == (False, True)
    assert await pools.fetch(remote, key) == 70_000
    assert await pools.fetch(engine, await pools.put(remote, 8)) == 80_000


async def test_what_one_node_puts_another_gets(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("shared", replicas=2)
    await pools.ready("shared")
    assert await pools.nodes("shared") == list(NODES)
    first, second = [await pools.engine("shared", node) for node in NODES]
    key = await pools.put(first, 3)
    assert await pools.fetch(second, key) == 30_000


async def test_a_pool_grows_and_shrinks(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("elastic", replicas=1)
    await pools.ready("elastic")
    await pools.kubectl("scale", "kvcp/elastic", "--replicas=2")
    await pools.ready("elastic")
    assert await pools.nodes("elastic") == list(NODES)
    await pools.kubectl("scale", "kvcp/elastic", "--replicas=1")
    await pools.ready("elastic")
    assert len(await pools.nodes("elastic")) == 1
    assert await pools.revisions("elastic") == 1


async def test_a_daemon_that_is_killed_comes_back(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("hurt")
    await pools.ready("hurt")
    (pod,) = await pools.pods("hurt")
    node = pod["spec"]["nodeName"]
    pools.on_node(node, "pkill", "-KILL", "--exact", "vineyardd")
    await pools.pool(
        "hurt", lambda pool: condition(pool, "Ready")["status"] == "False", "to miss its daemon"
    )
    await pools.ready("hurt")
    (again,) = await pools.pods("hurt")
    assert again["status"]["containerStatuses"][0]["restartCount"] == 1
    # It joined anew, and serves.
    engine = await pools.engine("hurt", node)
    assert await pools.fetch(engine, await pools.put(engine, 1)) == 10_000


async def test_a_daemon_over_its_memory_limit_says_so(pools: Pools) -> None:
    """A real kill by the kernel: the limit leaves the daemon next to nothing beside its cache."""
    await pools.own_etcd()
    resources = {"limits": {"memory": "65Mi"}, "requests": {"memory": "65Mi"}}
    await pools.create("greedy", cache={"memory": "64Mi", "resources": resources})
    message = await pools.turned("greedy", "Ready", "False", "OutOfMemory")
    assert "raise cache.resources.limits.memory" in message


async def test_an_image_that_nobody_has_is_named(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("absent", cache={"image": "kvhelm.local/no-such-vineyardd:1"})
    message = await pools.turned("absent", "Ready", "False", "ImageUnavailable")
    assert "kvhelm.local/no-such-vineyardd:1" in message


async def test_an_etcd_that_lost_its_data_costs_the_cache_and_not_the_pool(pools: Pools) -> None:
    """Wiped where it stands: vineyardd alone would never serve again."""
    await pools.own_etcd()
    await pools.create("pool")
    await pools.ready("pool")
    (daemon,) = await pools.pods("pool")
    engine = await pools.engine("pool", daemon["spec"]["nodeName"])
    before = await pools.put(engine, 1)

    uid = await pools.kubectl("get", "pod", "etcd-0", "-o=jsonpath={.metadata.uid}")
    data = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/data/etcd"
    pools.on_node(NODES[0], "sh", "-c", f"rm -r {data} && pkill -KILL --exact etcd")
    restarted = await pools.event("pool", "DaemonsRestarted")
    assert restarted["message"]
    await pools.running(daemon["metadata"]["name"], besides=daemon["metadata"]["uid"])
    await pools.ready("pool")
    engine = await pools.engine("pool", (await pools.nodes("pool"))[0])
    after = await pools.put(engine, 2)
    assert after != before
    assert await pools.fetch(engine, after) == 20_000


async def test_a_pool_that_is_deleted_leaves_nothing_on_the_nodes(pools: Pools) -> None:
    """The kubelet clears up behind it within a minute or two."""
    await pools.own_etcd()
    await pools.create("short", replicas=2)
    await pools.ready("short")
    pods = [pod["metadata"]["uid"] for pod in await pools.pods("short")]
    seen = pools.on_disks(pods)
    assert all(any(pod in path for path in seen) for pod in pods)
    await pools.delete("short")
    await pools.kubectl("delete", "statefulset,pod", "--all", "--wait")
    async with asyncio.timeout(PATIENCE):
        while left := pools.on_disks(pods):  # noqa: ASYNC110 - a disk sends no event
            await asyncio.sleep(2)
    assert not left
