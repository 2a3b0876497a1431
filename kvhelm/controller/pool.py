"""A KVCachePool as the API server has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import ValidationError

from kvhelm.api.status import PoolStatus
from kvhelm.api.v1alpha1 import PoolSpec, parse_spec
from kvhelm.values import release_name

FINALIZER = "kvcache.aibrix.ai/uninstall"
"""Keeps a deleted pool until its release is uninstalled."""

ABANDON = "kvcache.aibrix.ai/abandon-metadata"
"""Annotation that lets a deleted pool go without purging its metadata, if "true"."""


class PoolKey(NamedTuple):
    """A pool's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Pool:
    """A KVCachePool as the API server has it."""

    raw: Mapping[str, Any]
    spec: PoolSpec | None
    """The spec; None if it does not fit this version of kvhelm."""
    spec_error: str = ""
    """What is wrong with the spec, if it could not be read."""

    @cached_property
    def key(self) -> PoolKey:
        """Namespace and name."""
        metadata = self.raw["metadata"]
        return PoolKey(metadata["namespace"], metadata["name"])

    @property
    def uid(self) -> str:
        """The uid: another one when the pool is made again."""
        return str(self.raw["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """Counts the changes of the spec."""
        return int(self.raw["metadata"]["generation"])

    def same_spec(self, raw: Mapping[str, Any]) -> bool:
        """Tell whether the object is this pool with this spec, whatever else changed."""
        metadata = raw["metadata"]
        return bool(metadata["uid"] == self.uid and metadata["generation"] == self.generation)

    @property
    def deleting(self) -> bool:
        """Whether someone asked to delete it."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def finalizers(self) -> list[str]:
        """The finalizers on it, ours and others'."""
        return list(self.raw["metadata"].get("finalizers") or [])

    @property
    def rollback_to(self) -> int | None:
        """The revision that the spec goes back to, if any."""
        return self.spec.rollback_to.revision if self.spec and self.spec.rollback_to else None

    @property
    def abandons_metadata(self) -> bool:
        """Whether its keys may stay where they can't be deleted."""
        annotations = self.raw["metadata"].get("annotations") or {}
        return annotations.get(ABANDON) == "true"

    @cached_property
    def release(self) -> str:
        """Name of its Helm release."""
        return release_name(self.key.name)

    @cached_property
    def status(self) -> PoolStatus:
        """The status as last written; an empty one if nothing (or nothing legible) was."""
        try:
            return PoolStatus.model_validate(self.raw.get("status") or {})
        except ValidationError:
            return PoolStatus()

    def reference(self) -> dict[str, str]:
        """Return the object reference for events."""
        return {
            "apiVersion": str(self.raw["apiVersion"]),
            "kind": str(self.raw["kind"]),
            "namespace": self.key.namespace,
            "name": self.key.name,
            "uid": self.uid,
            "resourceVersion": str(self.raw["metadata"]["resourceVersion"]),
        }


def pool_from(raw: Mapping[str, Any]) -> Pool:
    """Return the pool that an object is, its spec read or with what is wrong with it."""
    try:
        return Pool(raw, parse_spec(raw.get("spec")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return Pool(raw, None, f"{where}: {first['msg']}")
