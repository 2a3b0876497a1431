"""The pools that are measured: the seed's sample, as many times as wanted."""

import json
from collections.abc import Iterable
from math import ceil
from typing import Any

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import Object
from kvhelm.local.nodes import Node

GPU = "NVIDIA-A10"
IMAGES = ("vineyardd:20241120", "vineyardd:20241121")
"""What pools run at first, and after their update."""

_PODS_A_NODE = 100
"""A node takes 110; a daemon's default requests (100m, 1.25 GiB) fit that often as well."""


def spec_for(etcd: str | None) -> dict[str, Any]:
    """Return the sample's spec with the user's etcd at that URL; None: the release brings one."""
    spec: dict[str, Any] = {
        "replicas": 1,
        "service": {"type": "ClusterIP", "port": 9600},
        "cache": {"image": IMAGES[0], "imagePullPolicy": "IfNotPresent"},
        "scheduler": {"gpuType": GPU, "affinityWorkload": "deepseek-coder-33b-instruct"},
    }
    if etcd:
        spec["metadata"] = {"etcd": {"endpoints": [etcd]}}
    return spec


def pool_for(name: str, namespace: str, spec: dict[str, Any]) -> Object:
    """Return a KVCachePool."""
    return {
        "apiVersion": POOLS.api_version,
        "kind": POOLS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def manifest_for(pools: Iterable[Object]) -> str:
    """Return one manifest of all, as kubectl reads it."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(pools)})


def names_for(count: int) -> list[str]:
    """Return as many pool names."""
    return [f"pool-{number:04}" for number in range(count)]


def daemons_of(pool: str) -> str:
    """Return the name of the pool's StatefulSet."""
    return f"{pool}-daemon"


def nodes_for(pools: int, *, managed_etcd: bool) -> list[Node]:
    """Return GPU nodes on which all pods fit."""
    pods = pools * (2 if managed_etcd else 1)
    return [Node(f"gpu-a10-{number}", GPU) for number in range(ceil(pods / _PODS_A_NODE) + 1)]


def is_ready(pool: Object | None, generation: int = 1) -> bool:
    """Tell whether the pool is Ready at that generation, or a later one."""
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition["observedGeneration"] >= generation
        for condition in (pool or {}).get("status", {}).get("conditions", ())
    )
