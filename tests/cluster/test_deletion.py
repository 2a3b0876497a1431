"""A deleted pool leaves nothing behind, however far it had come."""

from collections.abc import Callable
from pathlib import Path

from kvhelm.controller.pool import FINALIZER
from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import (
    CONFIG_MAPS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Object,
)
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition

VOLUME = "data-p-etcd-0"


async def test_nothing_of_a_deleted_pool_is_left(stories: Stories) -> None:
    await stories.create("p", metadata=None)  # with an etcd of its own
    pool = await stories.ready("p")
    assert FINALIZER in pool["metadata"]["finalizers"]
    made = {name.partition("/")[0] for name in await stories.objects("p")}
    assert made == {
        *("StatefulSet", "Pod", "Service", "ConfigMap", "ServiceAccount", "Secret"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    }
    # A second revision: its Secret must go as well.
    await stories.change("p", service={"port": 9700})
    await stories.ready("p")
    await stories.delete("p")
    assert await stories.objects("p") == {}
    assert (await stories.helm("list", "--short")).split() == []


async def test_a_pool_that_never_worked_can_be_deleted(stories: Stories) -> None:
    await stories.create("p", service={"type": "NodePort", "nodePort": 5})
    await stories.turned("p", "Stalled", "True", "ObjectRefused")
    await stories.delete("p")
    assert await stories.objects("p") == {}


async def test_the_release_of_someone_else_survives_the_pool(stories: Stories) -> None:
    foreign = {"metadata": {"name": "p-rpc"}, "spec": {"ports": [{"port": 1}]}}
    await stories.client.create(SERVICES, foreign, stories.namespace)
    await stories.create("p")
    await stories.turned("p", "Stalled", "True", "ObjectInTheWay")
    await stories.delete("p")
    await stories.client.get(SERVICES, "p-rpc", stories.namespace)
    assert await stories.objects("p") == {}


async def test_a_namespace_ends_with_its_pools(stories: Stories) -> None:
    await stories.create("p", metadata=None)
    await stories.create("q", replicas=0)
    await stories.ready("p")
    await stories.ready("q")
    other = f"{stories.namespace}-new"
    await stories.client.create(NAMESPACES, {"metadata": {"name": other}})
    ending = Stories(stories.client, stories.cluster, other, stories.etcd)
    await ending.create("p", metadata=None)
    await ending.create("q")
    await ending.ready("p")
    await ending.create("r")  # in the middle of its way
    await ending.client.delete(NAMESPACES, other)
    await ending.gone(NAMESPACES, other)
    assert condition(await stories.get("p"), "Ready")["status"] == "True"


async def test_a_namespace_that_takes_our_rights_with_it_ends_as_well(
    alone: Stories, start: Callable[..., Operator]
) -> None:
    start(alone.namespace)  # named: a RoleBinding in the namespace is all that it has
    await alone.create("p")
    await alone.create("q", replicas=0)
    await alone.ready("p")
    await alone.ready("q")
    await alone.client.delete(NAMESPACES, alone.namespace)
    await alone.gone(NAMESPACES, alone.namespace)


async def test_a_pool_made_again_at_once_is_a_new_one(stories: Stories) -> None:
    await stories.create("p")
    first = await stories.ready("p")
    old = (await stories.daemons("p"))["spec"]["template"]
    await stories.client.delete(POOLS, "p", stories.namespace)
    await stories.gone(POOLS, "p")
    await stories.create("p")
    second = await stories.ready("p")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert await stories.revisions("p") == 1
    new = (await stories.daemons("p"))["spec"]["template"]
    prefixes = [
        next(it for it in template["spec"]["containers"][0]["args"] if "etcd_prefix" in it)
        for template in (old, new)
    ]
    assert prefixes[0].endswith(first["metadata"]["uid"][:8])
    assert prefixes[1].endswith(second["metadata"]["uid"][:8])


async def says_deleting(stories: Stories, words: str, reason: str = "Deleting") -> None:
    await stories.pool(
        "p",
        lambda it: (
            condition(it, "Ready")["reason"] == reason
            and words in condition(it, "Ready")["message"]
        ),
        f"to be {reason}: {words}",
    )


async def test_an_object_that_someone_holds_is_named(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    held: Object = {"metadata": {"finalizers": ["example.com/hold"]}}
    await stories.client.patch(SERVICES, "p-rpc", held, stories.namespace)
    await stories.client.delete(POOLS, "p", stories.namespace)
    await says_deleting(
        stories, "Left so far: Service/p-rpc (held by the finalizer example.com/hold)."
    )
    held["metadata"]["finalizers"] = None
    await stories.client.patch(SERVICES, "p-rpc", held, stories.namespace)
    await stories.gone(POOLS, "p")
    assert await stories.objects("p") == {}


async def test_a_volume_that_someone_holds_is_named(stories: Stories) -> None:
    await stories.create("p", metadata={"managed": {"storage": {"size": "1Gi"}}})
    await stories.ready("p")
    held: Object = {"metadata": {"finalizers": ["example.com/hold"]}}
    await stories.client.patch(PERSISTENT_VOLUME_CLAIMS, VOLUME, held, stories.namespace)
    await stories.client.delete(POOLS, "p", stories.namespace)
    await says_deleting(
        stories, f"PersistentVolumeClaim/{VOLUME} (held by the finalizer example.com/hold)"
    )
    held["metadata"]["finalizers"] = None
    await stories.client.patch(PERSISTENT_VOLUME_CLAIMS, VOLUME, held, stories.namespace)
    await stories.gone(POOLS, "p")
    assert await stories.objects("p") == {}


async def test_objects_whose_release_is_gone_are_found(
    alone: Stories, start: Callable[..., Operator]
) -> None:
    first = start(alone.namespace)
    await alone.create("p", metadata=None)
    await alone.ready("p")
    first.stop()
    for revision in (await alone.client.list(SECRETS, alone.namespace)).items:
        await alone.client.delete(SECRETS, revision["metadata"]["name"], alone.namespace)
    made = await alone.client.get(CONFIG_MAPS, "p-connection", alone.namespace)
    mine = {"metadata": {"name": "mine", "labels": made["metadata"]["labels"]}}
    await alone.client.create(CONFIG_MAPS, mine, alone.namespace)
    await alone.client.delete(POOLS, "p", alone.namespace)
    start(alone.namespace)
    await alone.gone(POOLS, "p")
    assert list(await alone.objects("p")) == ["ConfigMap/mine"]
    event = await alone.event("p", "StraysDeleted")
    assert "StatefulSet/p-daemon" in event["message"]
    assert "mine" not in event["message"]


async def test_pods_without_their_statefulset_are_named(
    alone: Stories, start: Callable[..., Operator]
) -> None:
    first = start(alone.namespace)
    await alone.create("p")
    await alone.ready("p")
    first.stop()
    await alone.client.delete(STATEFUL_SETS, "p-daemon", alone.namespace, propagation="Orphan")
    await alone.gone(STATEFUL_SETS, "p-daemon")
    await alone.client.delete(POOLS, "p", alone.namespace)
    start(alone.namespace)
    await says_deleting(alone, "Left so far: Pod/p-daemon-0.")
    await alone.client.delete(PODS, "p-daemon-0", alone.namespace)
    await alone.gone(POOLS, "p")
    assert await alone.objects("p") == {}


async def test_an_uninstall_that_fails_says_why(
    alone: Stories, start: Callable[..., Operator], tmp_path: Path
) -> None:
    mended, helm = tmp_path / "mended", tmp_path / "helm"
    helm.write_text(
        f'#!/bin/sh\nif [ "$1" = uninstall ] && [ ! -e {mended} ]; then\n'
        '  echo "Error: admission webhook \\"keep\\" denied the request: not today" >&2; exit 1\n'
        f'fi\nexec {alone.cluster.helm} "$@"\n'
    )
    helm.chmod(0o755)
    start(alone.namespace, "--helm", str(helm))
    await alone.create("p")
    await alone.ready("p")
    await alone.client.delete(POOLS, "p", alone.namespace)
    await says_deleting(alone, "denied the request: not today", "ObjectRefused")
    mended.touch()
    await alone.gone(POOLS, "p")
    assert await alone.objects("p") == {}
