"""How engines reach a pool, and who else does."""

from typing import Any

import pytest

from tests.chart.rendering import render

OWN_DAEMONS = {
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "kvcachepool",
            "app.kubernetes.io/instance": "my-pool",
            "app.kubernetes.io/component": "daemon",
        }
    }
}
ENGINES = {"podSelector": {"matchLabels": {"app": "vllm"}}}
OTHER_TEAM = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "chat"}},
    "podSelector": {"matchLabels": {"app": "vllm"}},
}
OFFICE = {"ipBlock": {"cidr": "10.1.0.0/16"}}


def test_engines_find_the_daemons_behind_one_service() -> None:
    service = render().get("Service", "rpc")["spec"]
    assert service["type"] == "ClusterIP"
    assert service["ports"] == [{"name": "rpc", "port": 9600, "targetPort": "rpc"}]


def test_a_service_for_engines_outside_the_cluster() -> None:
    annotations = {"example.com/internal": "true", "example.com/subnet": "a: b"}
    service = render(
        {
            "service": {
                "type": "LoadBalancer",
                "port": 19600,
                "nodePort": 30960,
                "annotations": annotations,
            }
        }
    ).get("Service", "rpc")
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["ports"] == [
        {"name": "rpc", "port": 19600, "targetPort": "rpc", "nodePort": 30960}
    ]
    assert annotations.items() <= service["metadata"]["annotations"].items()
    assert "kvcache.aibrix.ai/pool" in service["metadata"]["annotations"]


def test_each_daemon_has_a_dns_name_by_the_headless_service() -> None:
    service = render().get("Service", "daemon")["spec"]
    assert service["clusterIP"] == "None"
    assert service["ports"] == [{"name": "rpc", "port": 9600, "targetPort": "rpc"}]


@pytest.mark.parametrize(
    ("service", "peers"),
    [
        ({}, [OWN_DAEMONS, {"podSelector": {}}]),
        ({"allowFrom": []}, [OWN_DAEMONS]),
        ({"allowFrom": [ENGINES, OTHER_TEAM, OFFICE]}, [OWN_DAEMONS, ENGINES, OTHER_TEAM, OFFICE]),
    ],
    ids=["the namespace by default", "nobody", "whom I name"],
)
def test_the_pool_itself_and_whom_i_allow_may_connect(
    service: dict[str, Any], peers: list[Any]
) -> None:
    policy = render({"service": service}).get("NetworkPolicy", "daemon")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["podSelector"] == OWN_DAEMONS["podSelector"]
    assert policy["ingress"] == [{"ports": [{"port": 9600}], "from": peers}]


def test_an_engine_takes_all_it_needs_from_one_config_map() -> None:
    endpoint = "my-pool-rpc.models.svc:19600"
    assert render({"service": {"port": 19600}}).connection == {
        "VINEYARD_RPC_ENDPOINT": endpoint,
        "VINEYARD_RPC_PORT": "19600",
        "VINEYARD_IPC_SOCKET": "/var/run/vineyard.sock",
        "VINEYARD_HOST_PATH": "/var/run/vineyard-kubernetes/models/my-pool",
        "AIBRIX_LLM_KV_CACHE_RPC_ENDPOINT": endpoint,
        "AIBRIX_LLM_KV_CACHE_SOCKET": "/var/run/vineyard.sock",
    }
