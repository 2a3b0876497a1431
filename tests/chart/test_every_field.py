"""Nothing in the spec is accepted and ignored: every field changes what is rendered."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from kvhelm.api.v1alpha1 import CONTROLLER_FIELDS, PoolSpec
from kvhelm.values import PoolIdentity
from tests.chart.rendering import merged, render

Path = tuple[str, ...]

DISK = {"storage": {"size": "4Gi"}}

# One value for each leaf, other than its default, with what it needs beside it.
BESIDE: dict[Path, dict[str, Any]] = {
    ("service", "nodePort"): {"service": {"type": "NodePort"}},
    ("scheduler", "gpuTypeLabel"): {"scheduler": {"gpuType": "A10"}},
    ("scheduler", "affinityWorkloadLabel"): {"scheduler": {"affinityWorkload": "coder"}},
    ("scheduler", "affinity"): {"scheduler": {"affinityWorkload": "coder"}},
    ("cache", "spill", "lowerPercent"): {"cache": {"spill": {"sizeLimit": "1Gi"}}},
    ("cache", "spill", "upperPercent"): {"cache": {"spill": {"sizeLimit": "1Gi"}}},
    ("metadata", "managed", "replicas"): {"metadata": {"managed": DISK}},
    ("metadata", "managed", "storage", "storageClassName"): {"metadata": {"managed": DISK}},
    ("metadata", "etcd", "prefix"): {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}},
}
LABELS = {"matchLabels": {"app": "vllm"}}
CHANGED: dict[Path, Any] = {
    ("replicas",): 2,
    ("service", "type"): "NodePort",
    ("service", "port"): 80,
    ("service", "nodePort"): 30000,
    ("service", "annotations"): {"a": "b"},
    ("service", "allowFrom", "podSelector", "matchLabels"): [{"podSelector": LABELS}],
    ("service", "allowFrom", "namespaceSelector", "matchLabels"): [{"namespaceSelector": LABELS}],
    ("service", "allowFrom", "ipBlock", "cidr"): [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    ("cache", "image"): "vineyardd:other",
    ("cache", "imagePullPolicy"): "Never",
    ("cache", "imagePullSecrets", "name"): [{"name": "login"}],
    ("cache", "memory"): "3Gi",
    ("cache", "resources", "requests"): {"cpu": "2"},
    ("cache", "resources", "limits"): {"cpu": "3"},
    ("cache", "env", "name"): [{"name": "OTHER"}],
    ("cache", "env", "value"): [{"name": "A", "value": "b"}],
    ("cache", "env", "valueFrom", "secretKeyRef", "name"): [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    ],
    ("cache", "env", "valueFrom", "secretKeyRef", "key"): [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "other"}}}
    ],
    ("cache", "env", "valueFrom", "configMapKeyRef", "name"): [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
    ],
    ("cache", "env", "valueFrom", "configMapKeyRef", "key"): [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "other"}}}
    ],
    ("cache", "spill", "sizeLimit"): "5Gi",
    ("cache", "spill", "lowerPercent"): 31,
    ("cache", "spill", "upperPercent"): 81,
    ("cache", "socket"): "EmptyDir",
    ("cache", "metrics"): True,
    ("cache", "extraArgs"): ["--stream_threshold=60"],
    ("scheduler", "gpuType"): "A10",
    ("scheduler", "gpuTypeLabel"): "example.com/gpu",
    ("scheduler", "affinityWorkload"): "coder",
    ("scheduler", "affinityWorkloadLabel"): "example.com/workload",
    ("scheduler", "affinity"): "Required",
    ("scheduler", "nodeSelector"): {"a": "b"},
    ("scheduler", "tolerations", "key"): [{"key": "a", "operator": "Exists"}],
    ("scheduler", "tolerations", "operator"): [{"operator": "Exists"}],
    ("scheduler", "tolerations", "value"): [{"key": "a", "value": "b"}],
    ("scheduler", "tolerations", "effect"): [{"operator": "Exists", "effect": "NoExecute"}],
    ("scheduler", "tolerations", "tolerationSeconds"): [
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
    ],
    ("scheduler", "spreadPolicy"): "Zone",
    ("scheduler", "priorityClassName"): "high",
    ("scheduler", "schedulerName"): "volcano",
    ("metadata", "etcd", "endpoints"): ["http://etcd:2379"],
    ("metadata", "etcd", "prefix"): "/team/pool",
    ("metadata", "managed", "replicas"): 3,
    ("metadata", "managed", "storage", "size"): "1Gi",
    ("metadata", "managed", "storage", "storageClassName"): "fast",
    ("metadata", "redis", "endpoint"): "redis://redis:6379",
    ("metadata", "managed", "image"): "etcd:other",
    ("pool", "name"): "a.pool",
    ("pool", "uid"): "0f1d2c3b",
    ("pool", "prefix"): "/kvhelm/models/a.pool/0f1d2c3b",
    ("pool", "parked"): True,
}
# The release has a namespace of its own; this says only whose values they are.
IDENTITY_ONLY = {("pool", "namespace")}


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation holds, within lists and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (list, Union, UnionType, Annotated):
        for inner in get_args(annotation):
            yield from models(inner)


def leaves(model: type[BaseModel], above: Path = ()) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        inside = list(models(field.annotation))
        for each in inside:
            yield from leaves(each, path)
        if not inside:
            yield path


def steering(model: type[BaseModel], fields: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    """Yield the leaves that steer the controller and never reach the chart."""
    for name, inner in fields.items():
        field = model.model_fields[name]
        path = (*above, field.alias or name)
        inside = list(models(field.annotation))
        if not inside:
            yield path
        for each in inside:
            yield from leaves(each, path) if inner is True else steering(each, inner, path)


def nested(path: Path, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def owner(path: Path) -> Path:
    """Return where the value is set: for a field of a list's items, the list."""
    lists = {("service", "allowFrom"), ("cache", "imagePullSecrets"), ("cache", "env")}
    lists |= {("scheduler", "tolerations")}
    return path[:2] if path[:2] in lists else path


def test_every_field_of_the_spec_is_tried_here() -> None:
    fields = {*leaves(PoolSpec), *leaves(PoolIdentity, ("pool",))}
    assert fields - set(steering(PoolSpec, CONTROLLER_FIELDS)) - IDENTITY_ONLY == set(CHANGED)


@pytest.mark.parametrize("path", CHANGED, ids=".".join)
def test_every_field_of_the_spec_changes_the_release(path: Path) -> None:
    beside = BESIDE.get(path, {})
    changed = merged(beside, nested(owner(path), CHANGED[path]))
    assert render(changed) != render(beside)
