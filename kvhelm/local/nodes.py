"""Fake GPU nodes: manifests with the labels that real ones carry. kwok keeps them Ready."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from kvhelm.errors import LocalError

REGION = "local"


@dataclass(frozen=True)
class Machine:
    """What a node with a certain GPU is usually like."""

    short: str
    gpu_memory: int | None  # MiB a GPU, as the NVIDIA feature discovery labels it
    gpus: int
    instance_type: str
    cpu: str
    memory: str


_MACHINES = {
    "NVIDIA-A10": Machine("a10", 23028, 1, "ecs.gn7i-c32g1.8xlarge", "32", "188Gi"),
    "NVIDIA-A100-SXM4-80GB": Machine("a100", 81920, 8, "p4de.24xlarge", "96", "1152Gi"),
    "NVIDIA-H100-80GB-HBM3": Machine("h100", 81559, 8, "p5.48xlarge", "192", "2048Gi"),
    "NVIDIA-L40S": Machine("l40s", 46068, 4, "g6e.24xlarge", "96", "768Gi"),
    "Tesla-T4": Machine("t4", 15360, 1, "g4dn.4xlarge", "16", "64Gi"),
}
_CPU_MACHINE = Machine("cpu", None, 0, "m6i.8xlarge", "32", "128Gi")


@dataclass(frozen=True)
class Taint:
    """A taint, as in `kubectl taint`: key=value:Effect."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Node:
    """A fake node; `gpu` is its nvidia.com/gpu.product, None for a node without GPUs."""

    name: str
    gpu: str | None = None
    gpus: int | None = None
    zone: str = "local-a"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


DEFAULT_NODES = (
    Node("gpu-a10-0", "NVIDIA-A10", zone="local-a"),
    Node("gpu-a10-1", "NVIDIA-A10", zone="local-b"),
    Node("gpu-h100-0", "NVIDIA-H100-80GB-HBM3", zone="local-a"),
    Node("cpu-0", zone="local-a"),
)

# What kwok may do, and no more: what its Stages write, and the leases of its nodes.
KWOK_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "kvhelm:kwok"},
    "rules": [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": [""],
            "resources": ["nodes/status", "pods/status"],
            "verbs": ["patch", "update"],
        },
        {
            "apiGroups": [""],
            "resources": ["pods"],
            "verbs": ["get", "list", "watch", "patch", "update", "delete"],
        },
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "list", "watch", "create", "patch", "update"],
        },
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
        },
        {
            "apiGroups": [""],
            "resources": ["persistentvolumeclaims"],
            "verbs": ["get", "list", "watch", "patch"],
        },
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes/status", "persistentvolumeclaims/status"],
            "verbs": ["patch", "update"],
        },
    ],
}
KWOK_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "kvhelm:kwok"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "kvhelm:kwok",
    },
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kvhelm:kwok"}],
}
# Its name is part of kwok's volume Stages, which bind every claim of this class without a disk.
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "kwok-volume",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kwok.x-k8s.io/volume",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


def manifest_for(node: Node) -> dict[str, Any]:
    """Return the Node object."""
    machine = _machine(node.gpu)
    gpus = machine.gpus if node.gpus is None else node.gpus
    resources = {
        "cpu": machine.cpu,
        "memory": machine.memory,
        "ephemeral-storage": "200Gi",
        "pods": "110",
    }
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": REGION,
        "topology.kubernetes.io/zone": node.zone,
        "node.kubernetes.io/instance-type": machine.instance_type,
    }
    if node.gpu is not None:
        resources["nvidia.com/gpu"] = str(gpus)
        labels["nvidia.com/gpu.present"] = "true"
        labels["nvidia.com/gpu.product"] = node.gpu
        labels["nvidia.com/gpu.count"] = str(gpus)
        if machine.gpu_memory is not None:
            labels["nvidia.com/gpu.memory"] = str(machine.gpu_memory)
    taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in node.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {**labels, **node.labels},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": taints} if taints else {},
        "status": {"capacity": resources, "allocatable": resources},
    }


def fake_nodes(count: int) -> tuple[Node, ...]:
    """Return that many nodes with an A10, in two zones."""
    zones = ("local-a", "local-b")
    return tuple(
        Node(f"gpu-a10-{n}", "NVIDIA-A10", zone=zones[n % len(zones)]) for n in range(count)
    )


def names_for(gpu: str | None, count: int, taken: Collection[str]) -> list[str]:
    """Return `count` free node names that tell the GPU: gpu-a10-2, gpu-a10-3."""
    base = "cpu" if gpu is None else f"gpu-{_machine(gpu).short}"
    names: list[str] = []
    number = 0
    while len(names) < count:
        if (name := f"{base}-{number}") not in taken:
            names.append(name)
        number += 1
    return names


def taint_in(text: str) -> Taint:
    """Read key=value:Effect or key:Effect. Raises LocalError."""
    found = re.fullmatch(
        r"([^=:]+)(?:=([^=:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)", text.strip()
    )
    if found is None:
        raise LocalError(
            f"{text!r} is no taint: write key=value:Effect, "
            "the effect being NoSchedule, PreferNoSchedule or NoExecute"
        )
    return Taint(found[1], found[2] or "", found[3])


def label_in(text: str) -> tuple[str, str]:
    """Read key=value. Raises LocalError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise LocalError(f"{text!r} is no label: write key=value")
    return key, value


def is_ready(node: Mapping[str, Any]) -> bool:
    """Tell whether a Node object is Ready and pods may come: its not-ready taint has gone."""
    conditions = node.get("status", {}).get("conditions", [])
    taints = node.get("spec", {}).get("taints", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) and not any(
        t["key"] == "node.kubernetes.io/not-ready" for t in taints
    )


def _machine(gpu: str | None) -> Machine:
    """Return what is known of the product; of an unknown one only its name is."""
    if gpu is None:
        return _CPU_MACHINE
    short = re.sub(r"[^a-z0-9]+", "-", gpu.lower().removeprefix("nvidia-")).strip("-")
    unknown = Machine(short, None, 1, "kvhelm.local.gpu", "64", "512Gi")
    return _MACHINES.get(gpu, unknown)
