"""The metadata service: an etcd of the pool's own, or one that the user runs."""

from kvhelm.api.v1alpha1 import CHART_FLAGS
from tests.chart.rendering import render

MINE = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}


def test_without_metadata_the_pool_brings_an_etcd_where_daemons_find_it() -> None:
    pool = render()
    stateful_set = pool.get("StatefulSet", "etcd")["spec"]
    assert stateful_set["replicas"] == 1
    assert stateful_set["podManagementPolicy"] == "Parallel"
    service = pool.get("Service", "etcd")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert {each["port"] for each in service["ports"]} == {2379, 2380}

    # vineyardd reconnects to what the member advertises: the two must be the same.
    pod_name = f"{pool.get('StatefulSet', 'etcd')['metadata']['name']}-0"
    advertised = [
        argument.split("=", 1)[1].replace("$(POD_NAME)", pod_name)
        for argument in pool.etcd["args"]
        if argument.startswith("--advertise-client-urls=")
    ]
    assert (
        advertised
        == [pool.flags["etcd_endpoint"]]
        == ["http://my-pool-etcd-0.my-pool-etcd.models.svc:2379"]
    )
    assert "--auto-compaction-mode=periodic" in pool.etcd["args"]


def test_asking_for_a_managed_etcd_is_the_same_as_leaving_metadata_out() -> None:
    assert render({"metadata": {"managed": {}}}) == render()


def test_daemons_wait_for_their_etcd_instead_of_crashing() -> None:
    (waits,) = render().pod["initContainers"]
    assert waits["image"] == render().etcd["image"]
    assert waits["command"][0] == "etcdctl"
    assert waits["command"][-2:] == ["endpoint", "health"]
    assert f"--endpoints={render().flags['etcd_endpoint']}" in waits["command"]


def test_an_image_of_etcd_that_i_choose_is_used_for_both() -> None:
    image = "registry.example.com/etcd:v3.6.1"
    pool = render({"metadata": {"managed": {"image": image}}})
    assert pool.etcd["image"] == pool.pod["initContainers"][0]["image"] == image


def test_a_new_pod_of_the_etcd_is_a_new_cluster() -> None:
    # Its data is gone: the same cluster id would hide that.
    etcd = render().etcd
    assert "--initial-cluster-token=$(POD_UID)" in etcd["args"]
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in etcd["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid"}


def test_the_etcd_tells_its_health_on_a_port_of_its_own() -> None:
    etcd = render().etcd
    assert "--listen-metrics-urls=http://0.0.0.0:2381" in etcd["args"]
    assert {"name": "health", "containerPort": 2381} in etcd["ports"]
    for probe, path in [("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/livez")]:
        assert etcd[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "health"}


def test_only_the_pools_daemons_reach_its_etcd() -> None:
    def peers(component: str) -> list[object]:
        return [
            {
                "podSelector": {
                    "matchLabels": {
                        "app.kubernetes.io/name": "kvcachepool",
                        "app.kubernetes.io/instance": "my-pool",
                        "app.kubernetes.io/component": component,
                    }
                }
            }
        ]

    assert render().get("NetworkPolicy", "etcd")["spec"]["ingress"] == [
        {"ports": [{"port": 2379}], "from": peers("daemon")},
        {"ports": [{"port": 2380}], "from": peers("etcd")},
    ]


def test_with_an_etcd_of_mine_the_pool_brings_none() -> None:
    pool = render(MINE)
    assert not [each for each in pool.objects if each["metadata"]["name"].endswith("-etcd")]
    assert "initContainers" not in pool.pod
    assert pool.flags["etcd_endpoint"] == "http://etcd:2379"
    assert pool.flags["etcd_prefix"] == "/kvhelm/models/my-pool"


def test_the_etcd_goes_where_tainted_nodes_are_all_there_is() -> None:
    pool = render(
        {
            "scheduler": {
                "gpuType": "NVIDIA-A10",
                "nodeSelector": {"pool": "gpu"},
                "tolerations": [{"key": "team", "operator": "Equal", "value": "a"}],
                "priorityClassName": "high",
                "schedulerName": "volcano",
            }
        }
    )
    for field in ("nodeSelector", "tolerations", "priorityClassName", "schedulerName"):
        assert pool.etcd_pod[field] == pool.pod[field]
    # But it needs no GPU's node.
    assert "affinity" not in pool.etcd_pod


def test_every_flag_that_the_chart_sets_is_known_to_the_api() -> None:
    everything = render({"cache": {"metrics": True, "spill": {"sizeLimit": "1Gi"}}})
    assert set(everything.flags) <= {*CHART_FLAGS, "logtostderr"}
