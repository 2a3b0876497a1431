"""A frozen picture of one pool and all that its release made: what decide and report see."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import ValidationError

from kvhelm.api.status import FailedAttempt, PoolStatus
from kvhelm.api.v1alpha1 import PoolSpec, parse_spec
from kvhelm.controller.last_words import LastWords, last_words_from
from kvhelm.controller.objects import ReleaseObject, described, release_object_from
from kvhelm.controller.registered import Registered
from kvhelm.helm.origin import Origin
from kvhelm.helm.releases import Revision
from kvhelm.values import Place, place_digest, release_name

FINALIZER = "kvcache.aibrix.ai/uninstall"
"""Keeps a deleted pool until its release is uninstalled."""

ABANDON = "kvcache.aibrix.ai/abandon-metadata"
"""Annotation that lets a deleted pool go without purging its metadata, if "true"."""

REPLICAS_MANAGER = "kvhelm"
"""Field manager that writes a StatefulSet's replicas; helm's own is `helm`."""


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


@dataclass(frozen=True)
class Workload:
    """A StatefulSet of the release: the daemons, or the pool's own etcd."""

    namespace: str
    name: str
    release: str
    component: str
    replicas: int
    """spec.replicas as it stands."""
    helm_owns_replicas: bool
    kvhelm_owns_replicas: bool
    existing: int
    ready: int
    updated: int
    observed: bool
    """Whether the StatefulSet controller has seen the current generation."""
    selector: str
    object: ReleaseObject | None = None
    """Who owns which of its fields."""
    update_revision: str = ""
    """The controller-revision-hash of pods that run the current template."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def rolled_out(self) -> bool:
        """Whether all pods run the current template and are ready."""
        return self.observed and self.updated == self.existing == self.replicas == self.ready


def workload_from(statefulset: Mapping[str, Any]) -> Workload:
    """Return the workload that a StatefulSet is."""
    metadata, spec = statefulset["metadata"], statefulset["spec"]
    status = statefulset.get("status") or {}
    labels = metadata["labels"]
    replicas = int(spec.get("replicas", 1))
    owners = {
        entry.get("manager")
        for entry in metadata.get("managedFields", ())
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    }
    # While all pods run one template the controller may leave updatedReplicas out (Kubernetes).
    same = status.get("currentRevision") == status.get("updateRevision")
    existing = int(status.get("replicas", 0))
    selector = spec["selector"]["matchLabels"]
    return Workload(
        namespace=metadata["namespace"],
        name=metadata["name"],
        release=labels["app.kubernetes.io/instance"],
        component=labels.get("app.kubernetes.io/component", ""),
        replicas=replicas,
        helm_owns_replicas="helm" in owners,
        kvhelm_owns_replicas=REPLICAS_MANAGER in owners,
        existing=existing,
        ready=int(status.get("readyReplicas", 0)),
        updated=existing if same else int(status.get("updatedReplicas", 0)),
        observed=int(status.get("observedGeneration", 0)) >= int(metadata.get("generation", 0)),
        selector=",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        object=release_object_from("StatefulSet", statefulset),
        update_revision=status.get("updateRevision", ""),
    )


@dataclass(frozen=True)
class Pod:
    """A pod of the release."""

    namespace: str
    name: str
    release: str
    component: str
    uid: str
    node: str | None
    ip: str
    """Empty before it has one. The chart makes a daemon register under it."""
    ready: bool
    ending: bool
    unschedulable: str
    """The scheduler's own words; empty if it has a node or was not tried yet."""
    revision: str
    """Which template it runs: its controller-revision-hash."""
    created: datetime
    last_words: LastWords | None = None
    """Of a container that does not run; None if all do, or have not tried yet."""
    finalizers: tuple[str, ...] = ()

    @property
    def described(self) -> str:
        """Pod/NAME, with the finalizers that hold it while it ends."""
        return described("Pod", self.name, self.finalizers if self.ending else ())


def pod_from(pod: Mapping[str, Any]) -> Pod:
    """Return what matters of a pod."""
    metadata = pod["metadata"]
    labels = metadata["labels"]
    status = pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        release=labels["app.kubernetes.io/instance"],
        component=labels.get("app.kubernetes.io/component", ""),
        uid=metadata["uid"],
        node=(pod.get("spec") or {}).get("nodeName"),
        ip=status.get("podIP", ""),
        ready=conditions.get("Ready", {}).get("status") == "True",
        ending="deletionTimestamp" in metadata,
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        last_words=last_words_from(pod),
        revision=labels.get("controller-revision-hash", ""),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


@dataclass(frozen=True)
class RefusedPod:
    """The StatefulSet controller's last word (a FailedCreate event) on a pod it could not make."""

    namespace: str
    workload: str
    pod: str
    message: str
    last_seen: str
    """RFC 3339, so that they sort as text."""


_REFUSED_POD = re.compile(r"create Pod (\S+) in StatefulSet")


def refused_pod_from(event: Mapping[str, Any]) -> RefusedPod:
    """Return what a FailedCreate event of a StatefulSet tells of."""
    message = event.get("message") or ""
    pod = _REFUSED_POD.search(message)
    return RefusedPod(
        namespace=event["metadata"]["namespace"],
        workload=event["involvedObject"]["name"],
        pod=pod[1] if pod else "",
        message=message,
        last_seen=event.get("lastTimestamp") or event.get("eventTime") or "",
    )


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong with a metadata service: a reason word and what to change."""

    reason: str
    message: str
    blocks: bool


@dataclass(frozen=True)
class ServiceView:
    """What is known of the metadata service that a pool brings."""

    place: Place
    healthy: bool | None = None
    """As last probed; None before that."""
    trouble: Trouble | None = None
    """Why it is not healthy."""
    version: str | None = None
    cluster_id: str | None = None
    latency: float | None = None
    """Seconds."""
    last_success: datetime | None = None
    found: tuple[Trouble, ...] | None = None
    """What the last preflight found, worst first; None if there was none."""
    outdated: bool = False
    """Whether that may have changed since."""
    claimed: bool = False
    """Whether we claimed the place since we started."""
    observable: bool = False
    """Whether it can tell which daemons registered there."""
    registered: Registered | None = None
    """Which did; None if not known (yet)."""

    @property
    def blocker(self) -> Trouble | None:
        """The worst finding, if it makes the service useless to a pool."""
        return self.found[0] if self.found and self.found[0].blocks else None


def claims(status: PoolStatus, place: Place) -> bool:
    """Tell whether a status says that the pool holds this place."""
    known = status.metadata
    return (
        known is not None
        and known.prefix == place.prefix
        and tuple(known.endpoints) == place.endpoints
    )


@dataclass(frozen=True)
class Failure:
    """A step that failed and is tried again by itself."""

    reason: str
    """A word of the conditions, or of the findings of metadata services."""
    message: str
    about: "About"
    """When this changes it is no reason to wait any longer."""


class About(NamedTuple):
    """What a step that failed was about."""

    spec_digest: str
    deleting: bool
    rollback_to: int | None = None
    """Revision that spec.rollbackTo named."""


@dataclass(frozen=True)
class Snapshot:
    """One pool at one moment, from the watch caches alone."""

    pool: Pool
    spec_digest: str
    """Digest of the values that the spec asks for; empty if the spec can't be read."""
    revisions: tuple[Revision, ...]
    """The revisions of the release by number, the highest last."""
    workloads: tuple[Workload, ...]
    pods: tuple[Pod, ...]
    now: datetime
    """The moment of the picture, UTC."""
    refused: RefusedPod | None = None
    objects: tuple[ReleaseObject, ...] = ()
    """Every object of the release that is kept true."""
    fields_verified: str | None = None
    """Digest of who owned which of their fields when all was last seen to be as released."""
    fields_changed: bool = False
    """Whether that changed since the objects were last compared with the release."""
    repair_in: float = 0
    """Seconds until the next repair, if others undo ours without end."""
    namespace_ends: bool = False
    """Whether the namespace was seen to be deleted, when it refused us something."""
    service: ServiceView | None = None
    """The metadata service that the pool brings; None for an etcd of the pool's own."""
    verified: bool = False
    """Whether the uninstall was seen to have left nothing."""
    purged: bool = False
    """Whether the pool's keys are gone from its metadata service, or none of ours."""
    expected_revision: int = 0
    """The revision that our last helm process made: the caches may still be behind it."""
    origin: Origin | None = None
    """Where the current revision comes from, if its payload was read since we started."""
    helm_ended: int = 0
    """The revision that our last helm process was to make, once that has ended in any way."""
    uninstalled: bool = False
    """Whether our last helm process uninstalled the release: the caches may still be behind it."""
    failed: FailedAttempt | None = None
    """The last attempt that failed for good, as remembered or as the status tells."""
    failure: Failure | None = None
    """The last step's failure, if it will be tried again."""
    retry_in: float = 0
    """Seconds until then."""
    recheck_in: float = 0
    """Seconds until the object in the way is looked for again."""
    left_purged: frozenset[Place] = frozenset()
    """Places that the pool has left, and of which no key of its own is left."""
    left_in: float = 0
    """Seconds until the next try to purge one."""
    mended_at: datetime | None = None
    """When the daemons were last restarted because their metadata was lost."""
    leftovers: tuple[str, ...] = ()
    """KIND/NAME of what is left of a deleted pool, once it takes longer than usual."""
    strays_in: float = 0
    """Seconds until what an uninstall should have deleted is deleted one by one."""

    @cached_property
    def current(self) -> Revision | None:
        """The current revision: the highest, not the one labelled deployed."""
        return self.revisions[-1] if self.revisions else None

    @property
    def claimed(self) -> bool:
        """Whether the pool's place in its metadata service is known to be its own."""
        if self.service is None:
            return False
        return self.service.claimed or claims(self.pool.status, self.service.place)

    @property
    def own_objects(self) -> tuple[ReleaseObject, ...]:
        """The objects that were made for this pool, whoever else's have the labels."""
        return tuple(it for it in self.objects if it.pool_uid == self.pool.uid)

    @property
    def elsewhere(self) -> bool:
        """Whether the release that runs has its metadata elsewhere than the spec says now."""
        stamp = self.current.stamp if self.current else None
        here = place_digest(self.service.place if self.service else None)
        return bool(stamp and stamp.place and stamp.place != here)

    @property
    def foreign(self) -> bool:
        """Whether the release of our name was made for something else."""
        return self.current is not None and self.current.pool_uid != self.pool.uid

    @cached_property
    def daemons(self) -> Workload | None:
        """The StatefulSet of the cache daemons."""
        return next((each for each in self.workloads if each.component == "daemon"), None)

    @cached_property
    def etcd(self) -> Workload | None:
        """The StatefulSet of the pool's own etcd."""
        return next((each for each in self.workloads if each.component == "etcd"), None)
