"""What people and HPAs get from the API itself: explanations, tables, the scale subresource."""

import json

from kvhelm import assets
from kvhelm.controller.watches import POOLS
from tests.cluster.stories import Stories


async def test_the_crd_is_small_and_draws_no_warning(stories: Stories) -> None:
    crd = assets.schemas_dir() / "crd.yaml"
    assert crd.stat().st_size < 100_000
    applied = await stories.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(crd)),
        "--warnings-as-errors",
    )
    assert "serverside-applied" in applied


async def test_kubectl_explains_every_level(stories: Stories) -> None:
    # kubectl explains from what it has discovered before; a get looks again for what it misses.
    await stories.kubectl("get", "kvcp")
    explained = await stories.kubectl("explain", "kvcp.spec.cache")
    assert "The vineyardd daemons." in explained
    assert "Image of vineyardd." in explained
    assert "-required-" in explained
    deep = await stories.kubectl("explain", "kvcachepools.spec.service.allowFrom.ipBlock.cidr")
    assert "For example 10.0.0.0/8." in deep
    status = await stories.kubectl("explain", "kvcp.status.conditions")
    assert "observedGeneration" in status


async def test_people_see_pools_where_they_look(stories: Stories) -> None:
    await stories.create("mine", replicas=2, scheduler={"gpuType": "NVIDIA-A10"})
    await stories.ready("mine")
    head, line = (await stories.kubectl("get", "kvcp")).splitlines()
    assert head.split() == [
        *("NAME", "READY", "REASON", "DAEMONS", "WANTED", "GPU", "REVISION", "CHART", "AGE")
    ]
    assert line.split()[:-1] == [
        "mine",
        "True",
        "PoolReady",
        "2",
        "2",
        "NVIDIA-A10",
        "1",
        "Current",
    ]
    wide, _ = (await stories.kubectl("get", "kvcachepool", "-o", "wide")).splitlines()
    assert wide.split()[9:] == ["METADATA", "METADATA-READY", "ENDPOINT", "RELEASE", "MESSAGE"]
    assert "kvcachepool.kvcache.aibrix.ai/mine" in await stories.kubectl("get", "all")


async def test_autoscalers_find_the_daemons(stories: Stories) -> None:
    await stories.create("mine", replicas=1)
    await stories.ready("mine")
    scale = await stories.client.get(POOLS, "mine", stories.namespace, subresource="scale")
    assert scale["kind"] == "Scale"
    assert scale["apiVersion"] == "autoscaling/v1"
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"]["replicas"] == 1
    # The selector finds the daemons and nothing else of the pool.
    selected = json.loads(
        await stories.kubectl("get", "pods", "-l", scale["status"]["selector"], "-o", "json")
    )
    assert [pod["metadata"]["name"] for pod in selected["items"]] == ["mine-daemon-0"]

    await stories.kubectl("scale", "kvcp/mine", "--replicas=3")
    await stories.ready("mine")
    scale = await stories.client.get(POOLS, "mine", stories.namespace, subresource="scale")
    assert scale["status"]["replicas"] == 3
