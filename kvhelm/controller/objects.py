"""The objects that a release made, as far as drift is concerned: pure.

The truth is the manifest of the current revision, applied server-side by helm. What the watches
tell of an object is who owns which of its fields (kvhelm.kube.ownership), metadata alone.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from kvhelm.helm.releases import POOL_UID
from kvhelm.kube.ownership import (
    Ownership,
    Path,
    foreign_items,
    lost_fields,
    owner_of,
    ownership_for,
    spelled,
)
from kvhelm.kube.resource import (
    CONFIG_MAPS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Object,
)
from kvhelm.values import digest

HELM = "helm"
"""Field manager by which helm applies."""

MENDER = "kvhelm-repair"
"""Field manager that puts lists right, until helm has applied them again."""

METADATA_KINDS = (SERVICES, CONFIG_MAPS, SERVICE_ACCOUNTS, POD_DISRUPTION_BUDGETS, NETWORK_POLICIES)
"""Kinds of a release of which the metadata is all that is watched."""

DRIFT_KINDS = {kind.kind: kind for kind in (*METADATA_KINDS, STATEFUL_SETS)}
"""The kinds of a release that are kept true, by their names."""


@dataclass(frozen=True, slots=True)
class ReleaseObject:
    """An object with the labels of a release."""

    kind: str
    namespace: str
    name: str
    release: str
    ownership: Ownership
    ending: bool
    """Whether it is being deleted."""
    uid: str = ""
    pool_uid: str = ""
    """Uid of the pool that it was made for."""
    finalizers: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """KIND/NAME, with the finalizers that hold it while it ends."""
        return described(self.kind, self.name, self.finalizers if self.ending else ())


@dataclass(frozen=True)
class Deviation:
    """How an object differs from what its release applied."""

    missing: bool = False
    lost: tuple[Path, ...] = ()
    """Fields that others changed or removed."""
    foreign: tuple[Path, ...] = ()
    """List items that others added."""
    leftover: bool = False
    """Whether an earlier repair was cut off."""

    @property
    def blocks_helm(self) -> bool:
        """Whether an upgrade would fail by it, or do harm: it starts a StatefulSet at 1 daemon."""
        return bool(self.missing or self.foreign or self.leftover)

    def __bool__(self) -> bool:
        return bool(self.blocks_helm or self.lost)


def release_object_from(kind: str, obj: Mapping[str, Any]) -> ReleaseObject:
    """Return what matters of an object of a release."""
    metadata = obj["metadata"]
    return ReleaseObject(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        release=(metadata.get("labels") or {}).get("app.kubernetes.io/instance", ""),
        ownership=ownership_for(metadata, HELM, MENDER),
        ending="deletionTimestamp" in metadata,
        uid=metadata["uid"],
        pool_uid=(metadata.get("annotations") or {}).get(POOL_UID, ""),
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


def described(kind: str, name: str, finalizers: Iterable[str]) -> str:
    """Return KIND/NAME, with the finalizers that hold the object."""
    held = ", ".join(finalizers)
    return f"{kind}/{name} (held by the finalizer {held})" if held else f"{kind}/{name}"


def fields_digest(revision: int, objects: Iterable[ReleaseObject]) -> str:
    """Return a digest that changes with everything that could be drift from a revision."""
    return digest(
        [
            revision,
            sorted(
                [it.kind, it.name, it.ending, it.ownership.applied, it.ownership.items]
                + ([MENDER] if it.ownership.leftover else [])
                for it in objects
            ),
        ]
    )


def applied_for(manifest: Object, release: str, namespace: str) -> Object:
    """Return an object as helm applies it, from the manifest that it stored.

    Helm adds the marks of its ownership only when it applies. The replicas of daemons are the
    controller's, also where a manifest has some.
    """
    applied = deepcopy(manifest)
    metadata = applied["metadata"]
    metadata.setdefault("namespace", namespace)
    metadata["labels"] = {
        **(metadata.get("labels") or {}),
        "app.kubernetes.io/managed-by": "Helm",
    }
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": release,
        "meta.helm.sh/release-namespace": namespace,
    }
    if is_daemons(applied):
        applied["spec"].pop("replicas", None)
    return applied


def is_daemons(obj: Object) -> bool:
    """Tell whether an object is the StatefulSet of the daemons."""
    labels = obj["metadata"].get("labels") or {}
    return obj["kind"] == STATEFUL_SETS.kind and labels.get("app.kubernetes.io/component") == (
        "daemon"
    )


def deviation_for(applied: Object, known: ReleaseObject | None) -> Deviation:
    """Return how an object differs from what was applied."""
    if known is None:
        return Deviation(missing=True)
    return Deviation(
        lost=tuple(lost_fields(applied, known.ownership)),
        foreign=tuple(foreign_items(applied, known.ownership)),
        leftover=known.ownership.leftover,
    )


def sentence_for(applied: Object, deviation: Deviation, live: Object | None) -> str:
    """Return what happened to an object, for people: object, fields and managers."""
    name = f"{applied['kind']} {applied['metadata']['name']}"
    if live is None:
        return f"{name} was deleted: made again"
    managed_fields = live["metadata"].get("managedFields") or ()
    by: dict[str, list[str]] = {}
    for path in (*deviation.foreign, *deviation.lost):
        by.setdefault(owner_of(managed_fields, path, HELM), []).append(spelled(path))
    told = [
        f"{', '.join(dict.fromkeys(paths))} {f'written by {manager}' if manager else 'removed'}"
        for manager, paths in by.items()
    ]
    return f"{name}: {'; '.join(told) or 'a repair was cut off'}: put right"
