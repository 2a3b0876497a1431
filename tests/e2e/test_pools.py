"""Pools that really run: daemons in containers, engines that put and get."""

import pytest

from kvhelm import assets
from tests.cluster.stories import condition
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
    assert await pools.fetch(engine, key) == 70_000


async def test_what_one_node_puts_another_gets(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("shared", replicas=2)
    await pools.ready("shared")
    assert await pools.nodes("shared") == list(NODES)
    first, second = [await pools.engine("shared", node) for node in NODES]
    key = await pools.put(first, 3)
    assert await pools.fetch(second, key) == 30_000

    # Without a daemon beside: over the network, by the Service's name.
    script = (
        "import os, vineyard\n"
        "host, port = os.environ['VINEYARD_RPC_ENDPOINT'].rsplit(':', 1)\n"
        "c = vineyard.connect(host=host, port=int(port))\n"
        "print(c.get(c.put('by name')))"
    )
    assert await pools.python(first, script) == "by name"


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
    """A real kill by the kernel: the daemon keeps more for itself than its limit leaves."""
    await pools.own_etcd()
    resources = {"limits": {"memory": "80Mi"}, "requests": {"memory": "80Mi"}}
    await pools.create("greedy", cache={"memory": "256Mi", "resources": resources})
    message = await pools.turned("greedy", "Available", "False", "OutOfMemory")
    assert "raise cache.resources.limits.memory" in message
