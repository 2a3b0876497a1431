"""The metadata service: an etcd of the pool's own, or one that the user runs."""

import pytest

from kvhelm.api.v1alpha1 import CHART_FLAGS
from tests.chart.rendering import Rendered, render

THREE = {"metadata": {"managed": {"replicas": 3, "storage": {"size": "4Gi"}}}}
MINE = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}


def test_without_metadata_the_pool_brings_an_etcd_where_daemons_find_it() -> None:
    pool = render()
    stateful_set = pool.get("StatefulSet", "etcd")["spec"]
    assert stateful_set["replicas"] == 1
    assert stateful_set["podManagementPolicy"] == "Parallel"
    service = pool.get("Service", "etcd")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert {each["port"] for each in service["ports"]} == {2380}

    assert "--auto-compaction-mode=periodic" in pool.etcd["args"]
    assert pool.find("PodDisruptionBudget", "etcd") is None


def argument(pool: Rendered, name: str, pod: str) -> str:
    (found,) = (each for each in pool.etcd["args"] if each.startswith(f"--{name}="))
    return str(found.partition("=")[2].replace("$(POD_NAME)", pod))


@pytest.mark.parametrize("values", [{}, THREE], ids=["one", "three"])
def test_daemons_know_what_the_members_advertise(values: dict[str, object]) -> None:
    """vineyardd reconnects to that: the two must be the same, and names of Services that exist.

    It looks a name up once: an address that changed with its pod would be lost to it for ever.
    """
    pool = render(values)
    spec = pool.get("StatefulSet", "etcd")["spec"]
    pods = [f"my-pool-etcd-{n}" for n in range(spec["replicas"])]
    advertised = [argument(pool, "advertise-client-urls", pod) for pod in pods]
    assert advertised == [f"http://{pod}.models.svc:2379" for pod in pods]
    assert pool.flags["etcd_endpoint"] == ",".join(advertised)
    for number, pod in enumerate(pods):
        service = pool.get("Service", f"etcd-{number}")["spec"]
        assert service.get("clusterIP") != "None"
        assert service["publishNotReadyAddresses"] is True
        assert service["selector"]["statefulset.kubernetes.io/pod-name"] == pod
        assert spec["selector"]["matchLabels"].items() >= {
            *(set(service["selector"].items()) - {("statefulset.kubernetes.io/pod-name", pod)})
        }
    hosts = [f"{pod}.{spec['serviceName']}.models.svc" for pod in pods]
    assert argument(pool, "initial-cluster", "") == ",".join(
        f"{pod}=http://{host}:2380" for pod, host in zip(pods, hosts, strict=True)
    )
    assert [argument(pool, "initial-advertise-peer-urls", pod) for pod in pods] == [
        f"http://{host}:2380" for host in hosts
    ]


def test_three_members_are_one_cluster_that_loses_one_without_harm() -> None:
    pool = render(THREE)
    spec = pool.get("StatefulSet", "etcd")["spec"]
    assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
    # The pod's uid would make three clusters.
    assert argument(pool, "initial-cluster-token", "") == "models/my-pool"
    assert pool.get("PodDisruptionBudget", "etcd")["spec"]["maxUnavailable"] == 1
    (apart,) = pool.etcd_pod["affinity"]["podAntiAffinity"].values()
    assert apart[0]["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert pool.get("Service", "etcd")["spec"]["publishNotReadyAddresses"] is True


def test_one_member_never_grows_to_three() -> None:
    # They would be two etcds. A selector is what Kubernetes never changes.
    disk = {"storage": {"size": "4Gi"}}
    one, three = render({"metadata": {"managed": disk}}), render(THREE)
    selectors = [each.get("StatefulSet", "etcd")["spec"]["selector"] for each in (one, three)]
    assert selectors[0] != selectors[1]
    for pool, selector in zip((one, three), selectors, strict=True):
        template = pool.get("StatefulSet", "etcd")["spec"]["template"]
        assert template["metadata"]["labels"] == selector["matchLabels"]


def test_a_volume_goes_with_the_release_and_is_never_filled() -> None:
    managed = {"storage": {"size": "2Gi", "storageClassName": "fast"}}
    pool = render({"metadata": {"managed": managed}})
    spec = pool.get("StatefulSet", "etcd")["spec"]
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == pool.etcd["volumeMounts"][0]["name"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "2Gi"}},
    }
    assert "volumes" not in pool.etcd_pod
    # A volume belongs to root, and the etcd is not root.
    assert pool.etcd_pod["securityContext"]["fsGroup"] == 65532
    assert argument(pool, "quota-backend-bytes", "") == str(2**30)
    large = render({"metadata": {"managed": {"storage": {"size": "100Gi"}}}})
    assert argument(large, "quota-backend-bytes", "") == str(2 * 2**30)


def test_without_storage_the_data_is_the_pods() -> None:
    pool = render()
    assert pool.etcd_pod["volumes"] == [{"name": "data", "emptyDir": {}}]
    assert "volumeClaimTemplates" not in pool.get("StatefulSet", "etcd")["spec"]


def test_asking_for_a_managed_etcd_is_the_same_as_leaving_metadata_out() -> None:
    assert render({"metadata": {"managed": {}}}) == render()


def test_daemons_wait_for_their_etcd_instead_of_crashing() -> None:
    (waits,) = render().pod["initContainers"]
    assert waits["image"] == render().etcd["image"]
    assert waits["command"][0] == "etcdctl"
    assert waits["command"][-2:] == ["get", "health"]
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
    for probe, path in [("startup", "/livez"), ("readiness", "/readyz"), ("liveness", "/livez")]:
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
