"""The daemons: what runs, with what it may use, and how its health is told."""

from typing import Any

import pytest

from kvhelm.api.v1alpha1 import Cache, Spill
from tests.chart.rendering import IMAGE, render

MI = 2**20


def test_a_pool_of_an_etcd_of_mine_runs_vineyardd_with_safe_arguments() -> None:
    endpoints = ["http://etcd-0.etcd:2379", "http://etcd-1.etcd:2379"]
    pool = render({"metadata": {"etcd": {"endpoints": endpoints, "prefix": "/team/pool"}}})
    assert pool.vineyardd["command"] == ["vineyardd"]
    assert pool.flags == {
        "meta": "etcd",
        "etcd_endpoint": ",".join(endpoints),
        "etcd_prefix": "/team/pool",
        "etcd_cmd": "/nonexistent",
        "skip_launch_etcd": "true",
        "socket": "/var/run/vineyard.sock",
        "rpc_socket_port": "9600",
        "sync_crds": "false",
        "reserve_memory": "true",
        "logtostderr": "true",
        "size": str(1024 * MI),
    }


def test_a_daemon_registers_its_pods_address_and_node() -> None:
    sources = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in render().vineyardd["env"]
    }
    assert sources == {
        "MY_HOST_NAME": "status.podIP",
        "MY_NODE_NAME": "spec.nodeName",
        "USER": "metadata.name",
    }


def test_a_container_that_ends_leaves_its_last_words_in_the_pods_status() -> None:
    pool = render()
    for container in (*pool.pod["initContainers"], pool.vineyardd, pool.etcd):
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_my_own_variables_and_flags_come_last() -> None:
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    pool = render(
        {
            "cache": {
                "env": [{"name": "GLOG_v", "value": "1"}, secret],
                "extraArgs": ["--stream_threshold=60", "--label=a: b # c"],
            }
        }
    )
    assert pool.vineyardd["env"][3:] == [{"name": "GLOG_v", "value": "1"}, secret]
    assert pool.vineyardd["args"][-2:] == ["--stream_threshold=60", "--label=a: b # c"]


@pytest.mark.parametrize(
    ("identity", "prefix"),
    [
        ({}, "/kvhelm/models/my-pool"),
        ({"prefix": "/kvhelm/models/my-pool/0f1d2c3b"}, "/kvhelm/models/my-pool/0f1d2c3b"),
    ],
)
def test_a_pool_has_a_prefix_of_its_own(identity: dict[str, str], prefix: str) -> None:
    assert render({"pool": identity}).flags["etcd_prefix"] == prefix


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        ("4Gi", 4 * 2**30),
        ("4G", 4 * 10**9),
        ("1.5Gi", 3 * 2**29),
        ("1.1Gi", 1181116007),
        ("512Mi", 512 * MI),
        ("300k", 300_000),
        ("64Ki", 2**16),
        ("2Ti", 2**41),
        ("1.5T", 1_500_000_000_000),
        ("1073741824", 2**30),
        (1_000_000_000, 10**9),
        (8_796_093_022_208, 2**43),
        (1e9, 10**9),
    ],
)
def test_memory_is_read_as_kubernetes_reads_it(memory: str | float, size: int) -> None:
    assert render({"cache": {"memory": memory}}).flags["size"] == str(size)


@pytest.mark.parametrize(
    ("memory", "limit"),
    [
        ("1Gi", 1280 * MI),
        ("2560Mi", 2816 * MI),
        ("70Gi", 77 * 2**30),
        ("10000000001", 11_000_000_002),
    ],
)
def test_the_daemon_itself_gets_a_tenth_more_at_least_256_mi(memory: str, limit: int) -> None:
    resources = render({"cache": {"memory": memory}}).vineyardd["resources"]
    assert resources["limits"] == {"memory": str(limit)}
    assert resources["requests"] == {"cpu": "100m", "memory": str(limit)}


@pytest.mark.parametrize(
    ("given", "limits", "requests"),
    [
        (
            {"requests": {"cpu": 2}},
            {"memory": str(1280 * MI)},
            {"cpu": 2, "memory": str(1280 * MI)},
        ),
        (
            {"limits": {"memory": "2Gi", "cpu": "50m"}},
            {"memory": "2Gi", "cpu": "50m"},
            {"memory": "2Gi", "cpu": "50m"},
        ),
        (
            {"limits": {"hugepages-2Mi": "1Gi", "memory": 3_000_000_000}, "requests": {"cpu": 0}},
            {"hugepages-2Mi": "1Gi", "memory": 3_000_000_000},
            {"hugepages-2Mi": "1Gi", "memory": 3_000_000_000, "cpu": 0},
        ),
    ],
)
def test_resources_that_i_give_count_key_by_key(
    given: dict[str, Any], limits: dict[str, Any], requests: dict[str, Any]
) -> None:
    resources = render({"cache": {"resources": given}}).vineyardd["resources"]
    assert resources == {"limits": limits, "requests": requests}


def test_spilling_goes_to_a_bounded_disk_at_the_shares_of_the_api() -> None:
    pool = render({"cache": {"spill": {"sizeLimit": "20Gi", "upperPercent": 100}}})
    assert pool.flags["spill_path"] == "/spill"
    assert pool.flags["spill_lower_rate"] == f"{Spill(size_limit='1Gi').lower_percent / 100:.2f}"
    assert pool.flags["spill_upper_rate"] == "1.00"
    assert {"name": "spill", "emptyDir": {"sizeLimit": "20Gi"}} in pool.pod["volumes"]
    assert {"name": "spill", "mountPath": "/spill"} in pool.vineyardd["volumeMounts"]
    assert "spill_path" not in render().flags

    default = render({"cache": {"spill": {"sizeLimit": 10**9}}})
    assert default.flags["spill_upper_rate"] == f"{Spill(size_limit='1Gi').upper_percent / 100:.2f}"
    assert {"name": "spill", "emptyDir": {"sizeLimit": 10**9}} in default.pod["volumes"]


def test_metrics_are_printed_only_when_asked_for() -> None:
    assert "metrics" not in render().flags
    assert render({"cache": {"metrics": True}}).flags["metrics"] == "true"


def test_health_is_the_rpc_port_never_the_socket_file() -> None:
    vineyardd = render().vineyardd
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert vineyardd[probe]["tcpSocket"] == {"port": "rpc"}
    assert vineyardd["ports"] == [{"name": "rpc", "containerPort": 9600}]
    startup, liveness = vineyardd["startupProbe"], vineyardd["livenessProbe"]
    # Reserving the memory of a large cache takes minutes; an overload is no reason to lose it.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 120


def test_by_default_engines_on_the_node_share_the_socket_as_they_did_with_aibrix() -> None:
    pool = render(release="my-pool", namespace="models")
    (socket,) = (each for each in pool.pod["volumes"] if each["name"] == "socket")
    assert socket["hostPath"] == {
        "path": "/var/run/vineyard-kubernetes/models/my-pool",
        "type": "DirectoryOrCreate",
    }
    assert {"name": "socket", "mountPath": "/var/run"} in pool.vineyardd["volumeMounts"]
    assert pool.connection["VINEYARD_IPC_SOCKET"] == pool.flags["socket"]
    # A socket's path ends at 107 characters, and so must the one where engines see it.
    assert len(pool.flags["socket"]) < 108


def test_the_daemon_of_a_shared_socket_is_root_without_a_capability() -> None:
    pool = render()
    assert pool.vineyardd["securityContext"] == {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pool.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_pool_without_a_shared_socket_fits_the_restricted_profile() -> None:
    pool = render({"cache": {"socket": "EmptyDir"}})
    assert {"name": "socket", "emptyDir": {}} in pool.pod["volumes"]
    for pod in (pool.pod, pool.etcd_pod):
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert all("emptyDir" in volume for volume in pod["volumes"])
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    assert not {"VINEYARD_IPC_SOCKET", "VINEYARD_HOST_PATH"} & set(pool.connection)


def test_no_pod_gets_a_token_or_the_addresses_of_its_neighbours() -> None:
    pool = render()
    for pod in (pool.pod, pool.etcd_pod):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
    account = pool.get("ServiceAccount", "daemon")
    assert account["automountServiceAccountToken"] is False
    assert pool.pod["serviceAccountName"] == account["metadata"]["name"]
    # The etcd has no part in what is granted to the daemons' account, such as an OpenShift SCC.
    assert "serviceAccountName" not in pool.etcd_pod


def test_daemons_start_one_after_the_other() -> None:
    # Two that join an empty prefix at the same moment fail.
    daemons = render().daemons
    assert daemons["podManagementPolicy"] == "OrderedReady"
    assert daemons["updateStrategy"] == {"type": "RollingUpdate"}


def test_the_image_is_pulled_as_i_say() -> None:
    pool = render({"cache": {"imagePullPolicy": "Always", "imagePullSecrets": [{"name": "login"}]}})
    assert pool.vineyardd["image"] == IMAGE
    assert pool.vineyardd["imagePullPolicy"] == "Always"
    assert pool.pod["imagePullSecrets"] == pool.etcd_pod["imagePullSecrets"] == [{"name": "login"}]
    default = render().vineyardd["imagePullPolicy"]
    assert default == Cache.model_fields["image_pull_policy"].default
