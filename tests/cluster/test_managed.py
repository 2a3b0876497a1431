"""Pools with an etcd of their own: three members, volumes, and what becomes of them."""

import asyncio

import pytest

from kvhelm.assets import chart_dir
from kvhelm.kube.resource import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Object
from tests.cluster.stories import Stories, condition

THREE = {"managed": {"replicas": 3, "storage": {"size": "1Gi"}}}
VOLUMES = [f"data-p-etcd-{n}" for n in range(3)]


async def volumes(stories: Stories) -> dict[str, str]:
    """Return the claims of the pool's etcd by name, each with its uid."""
    found = await stories.client.list(
        PERSISTENT_VOLUME_CLAIMS,
        stories.namespace,
        labelSelector="app.kubernetes.io/instance=p,app.kubernetes.io/component=etcd",
    )
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found.items}


async def held_by(stories: Stories) -> list[str]:
    """Wait until the status tells what holds the etcd's data, and return it."""
    pool = await stories.pool(
        "p", lambda it: "heldBy" in it["status"].get("metadata", {}), "to tell what holds its data"
    )
    return list(pool["status"]["metadata"]["heldBy"])


async def test_three_members_with_volumes_that_go_with_the_pool(stories: Stories) -> None:
    await stories.create("p", metadata=THREE)
    pool = await stories.ready("p")
    assert condition(pool, "MetadataReady")["reason"] == "EtcdReady"
    expected = {
        "kind": "managed",
        "endpoints": [f"http://p-etcd-{n}.{stories.namespace}.svc:2379" for n in range(3)],
        "heldBy": sorted((await volumes(stories)).values()),
    }
    await stories.pool("p", lambda it: it["status"]["metadata"] == expected, f"to say {expected}")
    assert sorted(await volumes(stories)) == VOLUMES
    # Another revision leaves members and volumes as they are.
    before = await stories.client.get(STATEFUL_SETS, "p-etcd", stories.namespace)
    await stories.change("p", cache={"image": "vineyard:2"})
    await stories.ready("p")
    after = await stories.client.get(STATEFUL_SETS, "p-etcd", stories.namespace)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    # A pool is gone when its volumes are.
    await stories.delete("p")
    assert await volumes(stories) == {}


async def test_two_of_three_are_enough_and_one_is_not(stories: Stories) -> None:
    await stories.create("p", metadata=THREE)
    await stories.ready("p")
    await ends(stories, "p-etcd-2", "member bf53f85b0f219c09 has already been bootstrapped")
    words = await stories.turned("p", "MetadataReady", "True", "EtcdMemberLost")
    assert words.startswith("2 of 3 members of the StatefulSet p-etcd ready; p-etcd-2: ")
    assert condition(await stories.get("p"), "Ready")["status"] == "True"
    await ends(stories, "p-etcd-1", "something else")
    words = await stories.turned("p", "MetadataReady", "False", "EtcdNotReady")
    assert words.startswith("1 of 3 members")
    await stories.turned("p", "Ready", "False", "EtcdNotReady")


async def test_an_etcd_whose_pod_is_gone_has_lost_its_data(stories: Stories) -> None:
    await stories.create("p", replicas=2, metadata={"managed": {}})
    await stories.ready("p")
    (held,) = await held_by(stories)
    before = {pod["metadata"]["uid"] for pod in await stories.pods("p")}
    await stories.client.delete(PODS, "p-etcd-0", stories.namespace)
    said = str((await stories.event("p", "DaemonsRestarted"))["message"])
    assert "came back empty: 2 daemons are restarted in order" in said
    assert "objects in the pool are lost" in said
    pool = await stories.pool(
        "p", lambda pool: pool["status"]["metadata"]["heldBy"] != [held], "to be on the new one"
    )
    assert pool["status"]["metadata"]["mendedAt"]
    await stories.ready("p")
    assert not before & {pod["metadata"]["uid"] for pod in await stories.pods("p")}
    # Not so often: it would be the same the next time.
    # (When a pod was made is told in whole seconds.)
    await asyncio.sleep(1)
    await stories.client.delete(PODS, "p-etcd-0", stories.namespace)
    words = await stories.turned("p", "MetadataReady", "False", "MetadataLost")
    assert "10 minutes after the last time" in words
    # Who can't wait restarts them.
    await asyncio.sleep(1)
    daemons = (await stories.daemons("p"))["metadata"]["name"]
    await stories.kubectl("rollout", "restart", f"statefulset/{daemons}")
    await stories.turned("p", "MetadataReady", "True", "EtcdReady")


async def test_another_pod_has_the_same_volume(stories: Stories) -> None:
    """(How an etcd is made anew, volumes and all, is the story of docs/metadata.md.)"""
    await stories.create("p", metadata={"managed": {"storage": {"size": "1Gi"}}})
    await stories.ready("p")
    held = list((await volumes(stories)).values())
    assert await held_by(stories) == held
    (daemon,) = await stories.pods("p")
    gone = (await stories.client.get(PODS, "p-etcd-0", stories.namespace))["metadata"]["uid"]
    await stories.client.delete(PODS, "p-etcd-0", stories.namespace)
    await stories.running("p-etcd-0", besides=gone)
    await stories.turned("p", "MetadataReady", "True", "EtcdReady")
    pool = await stories.ready("p")
    assert pool["status"]["metadata"]["heldBy"] == held
    (same,) = await stories.pods("p")
    assert same["metadata"]["uid"] == daemon["metadata"]["uid"]


async def test_another_number_of_members_by_helm_alone_is_refused(
    stories: Stories,
) -> None:
    """No rule of the CRD speaks then: one member grown to three would be two etcds."""
    one = "{cache: {image: v}, metadata: {managed: {storage: {size: 1Gi}}}}"
    three = one.replace("{storage", "{replicas: 3, storage")
    chart = str(chart_dir())
    await stories.helm("install", "by-hand", chart, "--values", "-", stdin=one)
    with pytest.raises(AssertionError, match=r"spec.selector.*field is immutable"):
        await stories.helm("upgrade", "by-hand", chart, "--values", "-", stdin=three)
    await stories.helm("uninstall", "by-hand")


async def ends(stories: Stories, pod: str, words: str) -> None:
    """Write what a kubelet says of an etcd that has ended."""
    terminated = {"exitCode": 1, "reason": "Error", "message": words}
    status: Object = {
        "containerStatuses": [
            {
                "name": "etcd",
                "image": "etcd:1",
                "imageID": "",
                "ready": False,
                "restartCount": 1,
                "state": {"terminated": terminated},
            }
        ],
        "conditions": [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")],
    }
    await stories.client.patch_status(PODS, pod, status, stories.namespace)
