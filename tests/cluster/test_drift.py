"""What someone changes of a release's objects by hand is right again: no helm, no revision."""

import json
from collections.abc import Callable

import pytest

from kvhelm.kube.resource import (
    CONFIG_MAPS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
)
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories

MANAGER = "someone"
OURS = "app.kubernetes.io/name=kvcachepool,app.kubernetes.io/instance=p"


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def container(statefulset: Object) -> Object:
    found: Object = statefulset["spec"]["template"]["spec"]["containers"][0]
    return found


CHANGES: dict[str, tuple[Resource, str, Object, Callable[[Object], bool], str]] = {
    "a label of the chart": (
        SERVICES,
        "p-rpc",
        {"metadata": {"labels": {"helm.sh/chart": "mine"}}},
        lambda it: it["metadata"]["labels"]["helm.sh/chart"] != "mine",
        "metadata.labels[helm.sh/chart] written by someone",
    ),
    "the label by which we find it": (
        SERVICES,
        "p-rpc",
        {"metadata": {"labels": {"app.kubernetes.io/instance": "q"}}},
        lambda it: it["metadata"]["labels"]["app.kubernetes.io/instance"] == "p",
        "metadata.labels[app.kubernetes.io/instance] written by someone",
    ),
    "the mark of helm's ownership": (
        CONFIG_MAPS,
        "p-connection",
        {"metadata": {"annotations": {"meta.helm.sh/release-name": None}}},
        lambda it: it["metadata"]["annotations"].get("meta.helm.sh/release-name") == "p",
        "metadata.annotations[meta.helm.sh/release-name] removed",
    ),
    "a service's selector": (
        SERVICES,
        "p-rpc",
        {"spec": {"selector": {"app": "other"}}},
        lambda it: "app" not in it["spec"]["selector"],
        "spec.selector written by someone",
    ),
    "a service's port under the same name": (
        SERVICES,
        "p-rpc",
        {"spec": {"ports": [{"name": "rpc", "port": 9700, "targetPort": "rpc"}]}},
        lambda it: [port["port"] for port in it["spec"]["ports"]] == [9600],
        "spec.ports[port=9700,protocol=TCP], spec.ports written by someone",
    ),
    "what engines read": (
        CONFIG_MAPS,
        "p-connection",
        {"data": {"VINEYARD_RPC_PORT": "1"}},
        lambda it: it["data"]["VINEYARD_RPC_PORT"] == "9600",
        "data.VINEYARD_RPC_PORT written by someone",
    ),
    "a token for the daemons": (
        SERVICE_ACCOUNTS,
        "p-daemon",
        {"automountServiceAccountToken": True},
        lambda it: it["automountServiceAccountToken"] is False,
        "automountServiceAccountToken written by someone",
    ),
    "a budget that blocks drains": (
        POD_DISRUPTION_BUDGETS,
        "p-daemon",
        {"spec": {"maxUnavailable": 0}},
        lambda it: it["spec"]["maxUnavailable"] == 1,
        "spec.maxUnavailable written by someone",
    ),
    "who may reach the daemons": (
        NETWORK_POLICIES,
        "p-daemon",
        {"spec": {"ingress": [{}]}},
        lambda it: it["spec"]["ingress"] != [{}],
        "spec.ingress written by someone",
    ),
    "the daemons' image": (
        STATEFUL_SETS,
        "p-daemon",
        {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
        lambda it: it["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30,
        "spec.template.spec.terminationGracePeriodSeconds written by someone",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_by_hand_is_put_right(stories: Stories, change: str) -> None:
    kind, name, patch, right, told = CHANGES[change]
    await stories.create("p")
    await stories.ready("p")
    before = await stories.client.get(kind, name, stories.namespace)
    await stories.client.patch(kind, name, patch, stories.namespace, fieldManager=MANAGER)
    await stories.wait(kind, name, right, "to be put right")
    after = await stories.client.get(kind, name, stories.namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after.get("spec") == before.get("spec")
    assert after.get("data") == before.get("data")
    assert [entry["manager"] for entry in after["metadata"]["managedFields"]].count(MANAGER) == 0
    assert await stories.revisions("p") == 1
    event = await stories.event("p", "DriftRepaired")
    assert event["message"] == f"{kind.kind} {name}: {told}: put right"
    # Helm has nothing to stumble over.
    await stories.change("p", service={"port": 9800})
    await stories.ready("p")
    service = await stories.client.get(SERVICES, "p-rpc", stories.namespace)
    assert [port["port"] for port in service["spec"]["ports"]] == [9800]
    assert await stories.revisions("p") == 2


async def another(stories: Stories, kind: Resource, old: Object) -> Object:
    """Return the object that took the place of a deleted one."""
    uid = old["metadata"]["uid"]
    return await stories.wait(
        kind, name_of(old), lambda it: it["metadata"]["uid"] != uid, "to be made again"
    )


@pytest.mark.parametrize(
    "kind", [SERVICES, CONFIG_MAPS, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES]
)
async def test_a_deleted_object_is_made_again(stories: Stories, kind: Resource) -> None:
    await stories.create("p")
    await stories.ready("p")
    pods = await stories.pods("p")
    found = await stories.client.list(kind, stories.namespace, labelSelector=OURS)
    for each in found.items:
        name = each["metadata"]["name"]
        await stories.client.delete(kind, name, stories.namespace)
        again = await another(stories, kind, each)
        assert again["metadata"]["labels"] == each["metadata"]["labels"]
        assert again["metadata"]["annotations"] == each["metadata"]["annotations"]
    names = {name_of(each) for each in found.items}
    event = await stories.event("p", "DriftRepaired")
    assert event["message"] in {f"{kind.kind} {name} was deleted: made again" for name in names}
    assert await stories.revisions("p") == 1
    assert [pod["metadata"]["uid"] for pod in await stories.pods("p")] == [
        pod["metadata"]["uid"] for pod in pods
    ]
    await stories.ready("p")


async def test_daemons_outlive_their_statefulset(stories: Stories) -> None:
    await stories.create("p", replicas=3)
    await stories.ready("p")
    pods = {name_of(pod): pod["metadata"]["uid"] for pod in await stories.pods("p")}
    old = (await stories.daemons("p"))["metadata"]["uid"]
    since = await stories.now()
    await stories.client.delete(STATEFUL_SETS, "p-daemon", stories.namespace, propagation="Orphan")
    await stories.wait(
        STATEFUL_SETS,
        "p-daemon",
        lambda it: it["metadata"]["uid"] != old and it["status"].get("readyReplicas") == 3,
        "to adopt its pods",
    )
    await stories.ready("p")
    assert {name_of(pod): pod["metadata"]["uid"] for pod in await stories.pods("p")} == pods
    states = await stories.replay(
        STATEFUL_SETS, since, lambda it: it["status"].get("readyReplicas") == 3
    )
    assert all(it["spec"]["replicas"] == 3 for it in states)
    # A scale still goes through us alone.
    await stories.change("p", replicas=2)
    await stories.ready("p")
    await stories.change("p", service={"port": 9800})
    await stories.ready("p")
    assert len(await stories.pods("p")) == 2


SIDECAR = {"name": "side", "image": "example.com/side:1"}
POD_TEMPLATE: dict[str, tuple[Object, Callable[[Object], bool], str]] = {
    "a container": (
        {"containers": [SIDECAR]},
        lambda it: len(it["spec"]["template"]["spec"]["containers"]) == 1,
        "spec.template.spec.containers[name=side]",
    ),
    "an environment variable": (
        {"containers": [{"name": "vineyardd", "env": [{"name": "DEBUG", "value": "1"}]}]},
        lambda it: "DEBUG" not in [each["name"] for each in container(it)["env"]],
        "spec.template.spec.containers[name=vineyardd].env[name=DEBUG]",
    ),
    "another image": (
        {"containers": [{"name": "vineyardd", "image": "example.com/mine:1"}]},
        lambda it: container(it)["image"] == "vineyard:1",
        "spec.template.spec.containers[name=vineyardd].image",
    ),
    "a volume": (
        {"volumes": [{"name": "more", "emptyDir": {}}]},
        lambda it: (
            "more" not in [each["name"] for each in it["spec"]["template"]["spec"]["volumes"]]
        ),
        "spec.template.spec.volumes[name=more]",
    ),
}


@pytest.mark.parametrize("change", POD_TEMPLATE)
async def test_what_is_put_into_the_pods_is_taken_out(stories: Stories, change: str) -> None:
    patch, right, field = POD_TEMPLATE[change]
    await stories.create("p")
    await stories.ready("p")
    before = await stories.daemons("p")
    body = json.dumps({"spec": {"template": {"spec": patch}}})
    await stories.kubectl("patch", "statefulset/p-daemon", "--type=strategic", "-p", body)
    event = await stories.event("p", "DriftRepaired")
    assert event["message"] == f"StatefulSet p-daemon: {field} written by kubectl-patch: put right"
    after = await stories.wait(STATEFUL_SETS, "p-daemon", right, "to be put right")
    assert after["spec"] == before["spec"]
    await stories.ready("p")
    assert await stories.revisions("p") == 1
    await stories.change("p", cache={"image": "vineyard:2"})
    await stories.ready("p")
    assert [
        it["image"] for it in (await stories.daemons("p"))["spec"]["template"]["spec"]["containers"]
    ] == ["vineyard:2"]


async def test_what_the_chart_does_not_set_is_left_alone(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    mine = {"metadata": {"labels": {"example.com/mine": "1"}, "annotations": {"mine": "1"}}}
    await stories.client.patch(SERVICES, "p-rpc", mine, stories.namespace)
    extra = {"spec": {"sessionAffinity": "ClientIP"}, "metadata": {"finalizers": ["example.com/x"]}}
    await stories.client.patch(SERVICES, "p-rpc", extra, stories.namespace)
    await stories.kubectl("rollout", "restart", "statefulset/p-daemon")
    # Something to put right comes last, so that all of it has been looked at by then.
    await stories.client.patch(
        SERVICES, "p-rpc", {"spec": {"type": "NodePort"}}, stories.namespace, fieldManager=MANAGER
    )
    await stories.client.patch(
        STATEFUL_SETS,
        "p-daemon",
        {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
        stories.namespace,
        fieldManager=MANAGER,
    )
    service = await stories.wait(
        SERVICES, "p-rpc", lambda it: it["spec"]["type"] == "ClusterIP", "to be put right"
    )
    statefulset = await stories.wait(
        STATEFUL_SETS,
        "p-daemon",
        lambda it: it["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30,
        "to be put right",
    )
    await stories.client.patch(
        SERVICES, "p-rpc", {"metadata": {"finalizers": None}}, stories.namespace
    )
    assert service["metadata"]["labels"]["example.com/mine"] == "1"
    assert service["metadata"]["annotations"]["mine"] == "1"
    assert service["spec"]["sessionAffinity"] == "ClientIP"
    template = statefulset["spec"]["template"]["metadata"]
    assert "kubectl.kubernetes.io/restartedAt" in template["annotations"]
    await stories.ready("p")
    assert await stories.revisions("p") == 1


async def test_a_suspended_pool_is_not_repaired(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    await stories.change("p", suspend=True)
    await stories.turned("p", "Ready", "Unknown", "Suspended")
    body = {"spec": {"ports": [{"name": "rpc", "port": 9700, "targetPort": "rpc"}]}}
    await stories.client.patch(SERVICES, "p-rpc", body, stories.namespace, fieldManager=MANAGER)
    await stories.client.delete(CONFIG_MAPS, "p-connection", stories.namespace)
    # Looked at, at least once more, since then.
    changed = await stories.change("p", replicas=2)
    await stories.pool(
        "p",
        lambda it: it["status"]["observedGeneration"] == changed["metadata"]["generation"],
        "to be looked at",
    )
    service = await stories.client.get(SERVICES, "p-rpc", stories.namespace)
    assert service["spec"]["ports"][0]["port"] == 9700
    found = await stories.client.list(CONFIG_MAPS, stories.namespace, labelSelector=OURS)
    assert found.items == []

    # What helm would stumble over is put right before the upgrade that is due.
    await stories.change("p", suspend=False, service={"port": 9800})
    await stories.ready("p")
    service = await stories.client.get(SERVICES, "p-rpc", stories.namespace)
    assert [port["port"] for port in service["spec"]["ports"]] == [9800]
    await stories.client.get(CONFIG_MAPS, "p-connection", stories.namespace)
    assert await stories.revisions("p") == 2


async def test_drift_while_no_operator_looks_is_found(
    alone: Stories, start: Callable[..., Operator]
) -> None:
    first = start(alone.namespace)
    for name in ("p", "q", "r"):
        await alone.create(name)
        await alone.ready(name)
    await first.idles()
    assert first.metric("kvhelm_api_requests_total", verb="get", resource="secrets") == 3
    first.stop()
    body = {"data": {"VINEYARD_RPC_PORT": "1"}}
    await alone.client.patch(
        CONFIG_MAPS, "q-connection", body, alone.namespace, fieldManager=MANAGER
    )
    second = start(alone.namespace)
    await alone.wait(
        CONFIG_MAPS,
        "q-connection",
        lambda it: it["data"]["VINEYARD_RPC_PORT"] == "9600",
        "to be put right",
    )
    await second.reaches("kvhelm_leader", 1)
    await second.idles()
    assert second.helm_processes == 0
    # The others were not even compared.
    asked = "kvhelm_api_requests_total"
    assert second.metric(asked, verb="get", resource="secrets") == 1
    assert second.metric(asked, verb="patch", resource="kvcachepools/status") == 0
