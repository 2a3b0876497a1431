"""The StatefulSets of a release and their pods: what matters of each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kvhelm.controller.last_words import LastWords, last_words_from
from kvhelm.controller.objects import ReleaseObject, described, release_object_from

REPLICAS_MANAGER = "kvhelm"
"""Field manager that writes a StatefulSet's replicas; helm's own is `helm`."""


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
    volumes: tuple[str, ...] = ()
    """The names of its volumeClaimTemplates."""
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
        volumes=tuple(each["metadata"]["name"] for each in spec.get("volumeClaimTemplates") or ()),
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
