"""Every Kubernetes that the chart supports knows every field that it renders."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from kvhelm import assets
from tests.chart.rendering import Refused, Values, helm, render, sample_spec

EVERYTHING: Values = {
    "service": {
        "type": "LoadBalancer",
        "nodePort": 30960,
        "annotations": {"example.com/internal": "true"},
        "allowFrom": [
            {"podSelector": {"matchLabels": {"app": "vllm"}}},
            {"ipBlock": {"cidr": "10.0.0.0/8"}},
        ],
    },
    "cache": {
        "imagePullSecrets": [{"name": "login"}],
        "memory": 70_000_000_000,
        "resources": {"limits": {"cpu": 2, "memory": 80_000_000_000}},
        "env": [
            {"name": "A", "value": "b"},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        ],
        "spill": {"sizeLimit": "100Gi"},
        "metrics": True,
        "extraArgs": ["--stream_threshold=60"],
    },
    "scheduler": {
        "gpuType": "NVIDIA-A10",
        "affinityWorkload": "coder",
        "affinity": "Required",
        "nodeSelector": {"a": "b"},
        "tolerations": [
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10**9}
        ],
        "spreadPolicy": "Zone",
        "priorityClassName": "high",
        "schedulerName": "volcano",
    },
}


def oldest() -> str:
    """Return the oldest Kubernetes minor of the chart's kubeVersion."""
    chart = YAML(typ="safe").load(assets.chart_dir() / "Chart.yaml")
    return str(chart["kubeVersion"]).removeprefix(">=").rsplit(".", 1)[0]


MINORS = [f"1.{minor}" for minor in range(int(oldest().split(".")[1]), 38)]
SHAPES: dict[str, Values] = {
    "sample": {k: v for k, v in sample_spec().items() if k != "suspend"},
    "everything": EVERYTHING,
    "least": {"cache": {"socket": "EmptyDir"}, "scheduler": {"spreadPolicy": "None"}},
    "my etcd": {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("minor", MINORS)
def test_every_object_fits_the_schemas_of_this_kubernetes(minor: str, shape: str) -> None:
    for each in render(SHAPES[shape]).objects:
        assert kubernetes_validate.validate(each, minor, strict=True) == minor


@pytest.mark.parametrize("shape", SHAPES)
def test_helm_lint_finds_nothing(shape: str) -> None:
    values: dict[str, Any] = {**SHAPES[shape]}
    values["cache"] = {"image": "vineyardd:1", **values.get("cache", {})}
    assert "0 chart(s) failed" in helm("lint", "--strict", values=values)


def test_a_kubernetes_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="kubeVersion"):
        helm(
            "template",
            "my-pool",
            "--kube-version",
            "1.28.9",
            values={"cache": {"image": "vineyardd:1"}},
        )
