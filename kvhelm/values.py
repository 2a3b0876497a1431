"""Pool -> chart values, names and digests: pure.

The values are the pool's spec, word for word, plus `pool`, which says whose release it is.
"""

import hashlib
import json
import re
from typing import Annotated, Any, NamedTuple

from pydantic import Field, StringConstraints

from kvhelm.api.fields import EtcdEndpoint, LabelKey, Part
from kvhelm.api.metadata import Etcd, Metadata
from kvhelm.api.v1alpha1 import CONTROLLER_FIELDS, PoolSpec

RELEASE_NAME_LIMIT = 53
"""Helm's own limit of a release name."""

_HASH_LENGTH = 8
_UNCHANGED = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class PoolIdentity(Part):
    """Whose release it is: set by the controller, left out by helm CLI users.

    Apart from the prefix nothing of it reaches the pod template or a selector.
    """

    name: Annotated[str, StringConstraints(max_length=253)] | None = None
    """Name of the KVCachePool."""
    namespace: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Its namespace."""
    uid: Annotated[str, StringConstraints(max_length=36)] | None = None
    """Its uid; with it the chart leaves `replicas` to the controller."""
    prefix: Annotated[str, StringConstraints(max_length=330)] | None = None
    """Prefix of its metadata keys."""
    parked: bool | None = None
    """Create the StatefulSet at 0 daemons (it would start at 1)."""


class Defaults(Part):
    """Settings of the operator that take the place of a chart default, for the whole cluster."""

    gpu_type_label: LabelKey | None = None
    """Node label that holds the GPU's type."""
    affinity_workload_label: LabelKey | None = None
    """Pod label that holds the workload's name."""
    etcd_endpoints: Annotated[tuple[EtcdEndpoint, ...], Field(max_length=9)] = ()
    """The etcd of pools that say nothing of metadata; each gets one of its own if empty."""


class Digests(NamedTuple):
    """What a release is made from: digests of the values and of the chart."""

    spec: str
    chart: str


class Place(NamedTuple):
    """Where a pool's metadata lies in a service that the user runs."""

    kind: str
    """etcd or redis."""
    endpoints: tuple[str, ...]
    prefix: str


def digest(data: Any) -> str:
    """Return 32 hex digits of the sha256 of the data's canonical JSON (a label holds 63)."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def place_digest(place: Place | None) -> str:
    """Return what tells places apart, the pool's own etcd among them."""
    return digest([place.kind, place.endpoints, place.prefix] if place else None)


def release_name(pool_name: str) -> str:
    """Return the name of a pool's Helm release, 53 characters at most.

    It is the pool's name wherever that can be a Service's name (RFC 1035) and fits. Otherwise the
    name is changed and gets a hash of the full name, so that `a.b` and `a-b` never meet.
    """
    if len(pool_name) <= RELEASE_NAME_LIMIT and _UNCHANGED.fullmatch(pool_name):
        return pool_name
    hashed = hashlib.sha256(pool_name.encode()).hexdigest()[:_HASH_LENGTH]
    readable = pool_name.replace(".", "-")
    if not readable[0].isalpha():
        readable = f"p-{readable}"
    kept = readable[: RELEASE_NAME_LIMIT - _HASH_LENGTH - 1].rstrip("-")
    return f"{kept}-{hashed}"


def metadata_prefix(namespace: str, name: str, uid: str) -> str:
    """Return the key prefix of a pool that sets none: a pool made again gets another one."""
    return f"/kvhelm/{namespace}/{name}/{uid[:8]}"


def metadata_for(spec: PoolSpec, defaults: Defaults) -> Metadata | None:
    """Return the metadata service of a pool: its own word, or the cluster-wide default."""
    if spec.metadata is None and defaults.etcd_endpoints:
        return Metadata(etcd=Etcd(endpoints=list(defaults.etcd_endpoints)))
    return spec.metadata


def place_for(
    spec: PoolSpec, *, name: str, namespace: str, uid: str, defaults: Defaults
) -> Place | None:
    """Return where the pool's metadata lies; None for an etcd of the pool's own."""
    metadata = metadata_for(spec, defaults)
    if metadata is None or metadata.external is None:
        return None
    kind, endpoints = metadata.external
    own = metadata.etcd.prefix if metadata.etcd else None
    return Place(kind, endpoints, own or metadata_prefix(namespace, name, uid))


def asked_for(spec: PoolSpec) -> dict[str, Any]:
    """Return what a spec itself says of its release: its fields but those of the controller.

    `replicas` is no part of a release: the controller writes it to the StatefulSet.
    """
    return spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_unset=True,
        exclude_none=True,
        exclude=CONTROLLER_FIELDS | {"replicas": True},
    )


def values_for(
    spec: PoolSpec, *, name: str, namespace: str, uid: str, defaults: Defaults
) -> dict[str, Any]:
    """Return the chart's values of a pool: what its spec says, the rest is the chart's default."""
    values = asked_for(spec)
    scheduler = dict(values.get("scheduler", {}))
    if defaults.gpu_type_label and "gpuType" in scheduler:
        scheduler.setdefault("gpuTypeLabel", defaults.gpu_type_label)
    if defaults.affinity_workload_label and "affinityWorkload" in scheduler:
        scheduler.setdefault("affinityWorkloadLabel", defaults.affinity_workload_label)
    if scheduler:
        values["scheduler"] = scheduler
    metadata = metadata_for(spec, defaults)
    if metadata is not None and metadata is not spec.metadata:
        values["metadata"] = metadata.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
    values["pool"] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "prefix": metadata_prefix(namespace, name, uid),
    }
    return values
