"""A pool is changed and scaled: what a new revision is made for, and what it is not."""

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import PODS, STATEFUL_SETS, Object, Resource
from tests.cluster.stories import Stories, condition, version

HPAS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")


def uids(pods: list[Object]) -> list[str]:
    return [pod["metadata"]["uid"] for pod in pods]


def image(statefulset: Object) -> str:
    return str(statefulset["spec"]["template"]["spec"]["containers"][0]["image"])


def rolled_out(statefulset: Object, wanted: str) -> bool:
    status = statefulset["status"]
    return (
        image(statefulset) == wanted
        and status["observedGeneration"] == statefulset["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("readyReplicas")
        and status["readyReplicas"] == statefulset["spec"]["replicas"]
    )


async def test_a_new_image_is_a_new_revision(stories: Stories) -> None:
    await stories.create("p", replicas=2)
    await stories.ready("p")
    since = await stories.now()
    changed = await stories.change("p", cache={"image": "vineyard:2"})
    await stories.ready("p")
    assert image(await stories.daemons("p")) == "vineyard:2"
    history = await stories.helm("history", "p", "--output", "json")
    assert history.count('"revision"') == 2

    # Status is never ahead of the truth: nobody was told Ready of this spec before it was.
    generation = changed["metadata"]["generation"]
    told = await stories.replay(
        POOLS,
        since,
        lambda pool: (
            condition(pool, "Ready")["status"] == "True"
            and condition(pool, "Ready")["observedGeneration"] == generation
        ),
    )
    true = await stories.replay(
        STATEFUL_SETS, since, lambda statefulset: rolled_out(statefulset, "vineyard:2")
    )
    assert version(told[-1]) > version(true[-1])


async def test_what_daemons_do_not_run_restarts_none(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    before, template = await stories.pods("p"), (await stories.daemons("p"))["spec"]["template"]
    await stories.change("p", service={"port": 9700, "annotations": {"example.com/a": "b"}})
    pool = await stories.ready("p")
    assert pool["status"]["endpoint"] == f"p-rpc.{stories.namespace}.svc:9700"
    assert await stories.revisions("p") == 2
    assert uids(await stories.pods("p")) == uids(before)
    assert (await stories.daemons("p"))["spec"]["template"] == template


async def test_a_scale_is_no_revision(stories: Stories) -> None:
    await stories.create("p")
    first = uids([(await stories.ready("p")), *(await stories.pods("p"))])
    await stories.kubectl("scale", "kvcp/p", "--replicas=3")
    pool = await stories.ready("p")
    assert (pool["status"]["replicas"], pool["status"]["readyReplicas"]) == (3, 3)
    # As a HorizontalPodAutoscaler does it.
    await stories.client.patch(
        POOLS, "p", {"spec": {"replicas": 1}}, stories.namespace, subresource="scale"
    )
    pool = await stories.ready("p")
    assert pool["status"]["replicas"] == 1
    assert await stories.revisions("p") == 1
    assert uids([pool, *(await stories.pods("p"))]) == first


async def test_an_autoscaler_finds_its_target(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    target = {"apiVersion": POOLS.api_version, "kind": POOLS.kind, "name": "p"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    hpa = {
        "metadata": {"name": "p"},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }
    await stories.client.create(HPAS, hpa, stories.namespace)
    seen = await stories.wait(
        HPAS, "p", lambda it: condition(it, "ScalingActive")["status"] != "", "to be judged"
    )
    assert condition(seen, "AbleToScale")["reason"] == "SucceededGetScale"
    # Nobody serves metrics here; a target without a selector would be InvalidSelector.
    assert condition(seen, "ScalingActive")["reason"] == "FailedGetResourceMetric"
    selector = (await stories.get("p"))["status"]["selector"]
    page = await stories.client.list(PODS, stories.namespace, labelSelector=selector)
    assert uids(page.items) == uids(await stories.pods("p"))


async def test_a_pool_that_begins_at_zero_starts_no_daemon(stories: Stories) -> None:
    since = await stories.now()
    await stories.create("p", replicas=0)
    pool = await stories.ready("p")
    assert condition(pool, "Available")["reason"] == "ScaledToZero"

    await stories.change("p", replicas=2)
    await stories.ready("p")
    name = (await stories.daemons("p"))["metadata"]["name"]
    pods = await stories.replay(PODS, since, lambda pod: pod["metadata"]["name"] == f"{name}-1")
    assert version(pods[0]) > version(pool), "a pod was there before anyone asked for one"

    since = await stories.now()
    await stories.change("p", service={"annotations": {"example.com/a": "b"}})
    await stories.ready("p")
    # (The first held the daemons at 0, which no later one does.)
    assert await stories.revisions("p") == 3
    last = await stories.daemons("p")
    states = await stories.replay(STATEFUL_SETS, since, lambda it: version(it) == version(last))
    assert {it["spec"]["replicas"] for it in states} == {2}, "the upgrade scaled the daemons"


async def test_an_upgrade_and_a_scale_in_one_change(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    await stories.change("p", replicas=2, cache={"image": "vineyard:2"})
    pool = await stories.ready("p")
    assert pool["status"]["readyReplicas"] == 2
    statefulset = await stories.daemons("p")
    assert rolled_out(statefulset, "vineyard:2")
    assert await stories.revisions("p") == 2


async def test_a_scale_of_the_statefulset_is_put_back(stories: Stories) -> None:
    await stories.create("p", replicas=1)
    await stories.ready("p")
    since = await stories.now()
    name = (await stories.daemons("p"))["metadata"]["name"]
    await stories.kubectl("scale", f"statefulset/{name}", "--replicas=3")
    states = await stories.replay(
        STATEFUL_SETS, since, lambda it: it["spec"]["replicas"] == 1 and it["status"] != {}
    )
    # The first state after `since` is the person's.
    assert states[0]["spec"]["replicas"] == 3
    await stories.ready("p")
    assert len(await stories.pods("p")) == 1


async def test_what_a_person_uninstalls_is_installed_again(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    before = (await stories.daemons("p"))["metadata"]["uid"]
    await stories.helm("uninstall", "p")
    await stories.wait(
        STATEFUL_SETS, "p-daemon", lambda it: it["metadata"]["uid"] != before, "to be made again"
    )
    await stories.ready("p")
    assert await stories.revisions("p") == 1
