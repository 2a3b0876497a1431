"""What someone changes of a release's objects by hand is right again: no helm, no revision."""

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
from tests.cluster.stories import Stories

MANAGER = "someone"


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
