"""What `helm install` refuses, in words that name the field and the remedy."""

from typing import Any

import pytest

from kvhelm.api.v1alpha1 import CHART_ENV, CHART_FLAGS
from tests.chart.rendering import Values, refusal, render

ENDPOINTS = ["http://etcd:2379"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"service": {"nodePort": 30000}}, "service.nodePort needs service.type NodePort"),
        ({"scheduler": {"spreadPolicy": "None"}}, "spreadPolicy None needs cache.socket EmptyDir"),
        (
            {"metadata": {"etcd": {"endpoints": ENDPOINTS}, "managed": {}}},
            "metadata: give exactly one of etcd, redis and managed",
        ),
        (
            {"metadata": {"etcd": {"endpoints": ENDPOINTS, "prefix": "/kvhelm/theirs"}}},
            "metadata.etcd.prefix: /kvhelm is kept",
        ),
        (
            {"metadata": {"managed": {"replicas": 3}}},
            "metadata.managed: replicas 3 needs storage",
        ),
        (
            {"metadata": {"managed": {"storage": {"size": "1023Mi"}}}},
            "metadata.managed.storage.size must be 1Gi or more",
        ),
        ({"metadata": {"managed": {"replicas": 2}}}, "at '/metadata/managed/replicas'"),
        (
            {"cache": {"memory": "4Gi", "resources": {"limits": {"memory": "4Gi"}}}},
            "cache.resources.limits.memory must be more than cache.memory",
        ),
        (
            {"cache": {"resources": {"limits": {"memory": "1000000000000m"}}}},
            "cache.resources.limits.memory must be more than cache.memory",
        ),
        (
            {"cache": {"spill": {"sizeLimit": "1Gi", "lowerPercent": 80}}},
            "cache.spill.lowerPercent (30 if left out) must be below upperPercent",
        ),
        *(
            ({"cache": {"env": [{"name": name, "value": "x"}]}}, f"cache.env: {name} is set by")
            for name in CHART_ENV
        ),
        *(
            ({"cache": {"extraArgs": [argument]}}, f"cache.extraArgs: {argument} is set by")
            for flag in (*CHART_FLAGS, "logtostderr")
            for argument in (f"--{flag}=x", f"--no{flag}=x")
        ),
        # What the schema of the values says.
        ({"cache": {"image": "no image"}}, "'/cache/image': 'no image' does not match pattern"),
        ({"cache": {"imagepullpolicy": "Always"}}, "additional properties 'imagepullpolicy'"),
        ({"replicas": -1}, "at '/replicas': minimum"),
        ({"cache": {"memory": "-4Gi"}}, "at '/cache/memory'"),
        (
            {"metadata": {"etcd": {"endpoints": ["https://etcd:2379"]}}},
            "/metadata/etcd/endpoints/0",
        ),
        ({"metadata": {"zookeeper": {}}}, "additional properties 'zookeeper'"),
    ],
    ids=str,
)
def test_helm_refuses_what_cannot_work(values: Values, words: str) -> None:
    assert words in refusal(values)


@pytest.mark.parametrize(
    "values",
    [
        {"service": {"type": "NodePort", "nodePort": 30000}},
        {"metadata": {"etcd": {"endpoints": ENDPOINTS, "prefix": "/kvhelmet/mine"}}},
        {"cache": {"memory": "1Gi", "resources": {"limits": {"memory": "1025Mi"}}}},
        {"cache": {"extraArgs": ["--rpcx=1", "--meta_timeout=30"]}},
    ],
    ids=str,
)
def test_helm_takes_what_only_looks_alike(values: dict[str, Any]) -> None:
    assert render(values).objects
