"""The operator as users run it: in pods, by its own chart, with what that grants and no more."""

import json

import pytest

from kvhelm.kube.resource import LEASES
from kvhelm.local.operator import NAMESPACE, RELEASE
from tests.e2e.pools import Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_it_fits_the_strictest_pod_security(pools: Pools) -> None:
    """Its namespace enforces `restricted`: pods that did not fit would not be there."""
    enforced = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"
    assert await pools.kubectl("get", "namespace", NAMESPACE, f"-o={enforced}") == "restricted"
    found = json.loads(await pools.kubectl("get", "pods", "-n", NAMESPACE, "-o=json"))
    assert len(found["items"]) == 2
    for pod in found["items"]:
        (status,) = pod["status"]["containerStatuses"]
        assert status["ready"]
    assert len({pod["spec"]["nodeName"] for pod in found["items"]}) == 2


async def test_when_the_one_that_leads_ends_the_other_goes_on(pools: Pools) -> None:
    await pools.own_etcd()
    await pools.create("before")
    await pools.ready("before")
    lease = await pools.client.get(LEASES, RELEASE, NAMESPACE)
    leader = lease["spec"]["holderIdentity"]
    pod = leader.partition("_")[0]
    await pools.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")
    await pools.wait(
        LEASES,
        RELEASE,
        lambda lease: lease["spec"].get("holderIdentity", leader) != leader,
        "to be taken over",
        NAMESPACE,
    )
    await pools.kubectl("scale", "kvcp/before", "--replicas=2")
    await pools.ready("before")
    await pools.kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE)
