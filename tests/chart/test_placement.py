"""On which nodes the daemons run."""

from typing import Any

import pytest

from tests.chart.rendering import Object, render

GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists"}


def affinity(scheduler: dict[str, Any], kind: str) -> Object:
    found = render({"scheduler": scheduler}).pod.get("affinity", {}).get(kind, {})
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("scheduler", "label"),
    [
        ({}, "nvidia.com/gpu.product"),
        ({"gpuTypeLabel": "gpu.example.com/model"}, "gpu.example.com/model"),
    ],
)
def test_a_gpu_type_picks_the_nodes(scheduler: dict[str, str], label: str) -> None:
    assert affinity({"gpuType": "NVIDIA-A10", **scheduler}, "nodeAffinity") == {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": label, "operator": "In", "values": ["NVIDIA-A10"]}]}
            ]
        }
    }


def test_a_gpu_type_that_looks_like_a_number_stays_a_string() -> None:
    chosen = affinity({"gpuType": "4090"}, "nodeAffinity")
    (term,) = chosen["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["4090"]


def test_the_taint_of_gpu_nodes_is_borne_when_a_gpu_type_is_asked_for() -> None:
    mine = {"key": "team", "operator": "Equal", "value": "a", "tolerationSeconds": 10**9}
    assert render({"scheduler": {"gpuType": "A10"}}).pod["tolerations"] == [GPU_TAINT]
    assert render({"scheduler": {"tolerations": [mine]}}).pod["tolerations"] == [mine]
    both = render({"scheduler": {"gpuType": "A10", "tolerations": [mine]}}).pod["tolerations"]
    assert both == [mine, GPU_TAINT]
    assert "tolerations" not in render().pod


@pytest.mark.parametrize("label", ["model.aibrix.ai/name", "example.com/workload"])
def test_daemons_go_to_the_nodes_of_their_workload(label: str) -> None:
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {label: "coder"}},
    }
    scheduler = {"affinityWorkload": "coder", "affinityWorkloadLabel": label}
    assert affinity(scheduler, "podAffinity") == {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "podAffinityTerm": term}
        ]
    }
    assert affinity({**scheduler, "affinity": "Required"}, "podAffinity") == {
        "requiredDuringSchedulingIgnoredDuringExecution": [term]
    }


def test_daemons_of_a_pool_never_share_a_node() -> None:
    # Two would fight over the socket's path.
    selector = render().daemons["selector"]
    for policy in ("Node", "Zone"):
        (term,) = affinity({"spreadPolicy": policy}, "podAntiAffinity")[
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term == {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}


def test_spreading_over_zones_is_tried_not_forced() -> None:
    pod = render({"scheduler": {"spreadPolicy": "Zone"}}).pod
    assert pod["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": render().daemons["selector"],
        }
    ]
    assert "topologySpreadConstraints" not in render().pod


def test_without_a_shared_socket_daemons_may_share_a_node() -> None:
    pod = render({"cache": {"socket": "EmptyDir"}, "scheduler": {"spreadPolicy": "None"}}).pod
    assert "affinity" not in pod


def test_what_else_a_pod_says_of_its_place_is_handed_on() -> None:
    pod = render(
        {
            "scheduler": {
                "nodeSelector": {"disk": "true"},
                "priorityClassName": "high",
                "schedulerName": "volcano",
            }
        }
    ).pod
    assert pod["nodeSelector"] == {"disk": "true"}
    assert pod["priorityClassName"] == "high"
    assert pod["schedulerName"] == "volcano"
