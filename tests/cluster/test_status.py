"""What people, kstatus and engines read of a pool."""

import json

from kvhelm.kube.resource import CONFIG_MAPS, SERVICES
from tests.cluster.stories import Stories, condition


async def test_kubectl_waits_and_describes(stories: Stories) -> None:
    await stories.create("p")
    # kstatus' contract: Ready of this generation, nothing under way, nothing stalled.
    await stories.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "kvcp/p")
    pool = await stories.ready("p")
    assert pool["status"]["observedGeneration"] == pool["metadata"]["generation"]
    assert condition(pool, "Reconciling")["status"] == "False"
    assert condition(pool, "Stalled")["status"] == "False"

    await stories.change("p", cache={"image": "vineyard:2"})
    await stories.event("p", "Upgraded")
    await stories.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "kvcp/p")
    await stories.event("p", "PoolReady")
    told = await stories.kubectl("describe", "kvcp/p")
    assert "Release p revision 1 of kvcachepool-" in told
    assert "Release p revision 2 of kvcachepool-" in told
    assert "1 of 1 daemon ready" in told


async def test_the_endpoint_is_the_service(stories: Stories) -> None:
    await stories.create("p", service={"port": 9700}, replicas=2)
    pool = await stories.ready("p")
    host, _, port = pool["status"]["endpoint"].partition(":")
    name, namespace, _ = host.split(".")
    service = await stories.client.get(SERVICES, name, namespace)
    assert [it["port"] for it in service["spec"]["ports"]] == [int(port)]
    selector = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
    assert set(selector.split(",")) == set(pool["status"]["selector"].split(","))
    connection = await stories.client.get(CONFIG_MAPS, "p-connection", namespace)
    assert connection["data"]["VINEYARD_RPC_ENDPOINT"] == pool["status"]["endpoint"]


async def test_times_of_conditions_are_those_of_their_turns(stories: Stories) -> None:
    await stories.create("p")
    before = await stories.ready("p")
    await stories.change("p", service={"annotations": {"example.com/a": "b"}})
    after = await stories.ready("p")
    for kind in ("Available", "Scheduled", "Stalled"):
        assert (
            condition(after, kind)["lastTransitionTime"]
            == (condition(before, kind)["lastTransitionTime"])
        )
    assert condition(after, "Ready")["observedGeneration"] == 2


async def test_an_etcd_of_the_pools_own_is_named(stories: Stories) -> None:
    await stories.create("p", metadata={"managed": {}})
    pool = await stories.ready("p")
    values = json.loads(await stories.helm("get", "values", "p", "--all", "--output", "json"))
    assert values["pool"]["uid"] == pool["metadata"]["uid"]
    (endpoint,) = pool["status"]["metadata"]["endpoints"]
    container = (await stories.daemons("p"))["spec"]["template"]["spec"]["containers"][0]
    assert f"--etcd_endpoint={endpoint}" in container["args"]
