"""The watch caches of pools and of all that their releases made."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kvhelm.api.v1alpha1 import GROUP, KIND, PLURAL, VERSION
from kvhelm.controller.objects import (
    METADATA_KINDS,
    ReleaseObject,
    release_object_from,
)
from kvhelm.controller.pool import Pool, PoolKey, pool_from
from kvhelm.controller.workloads import (
    Pod,
    RefusedPod,
    Workload,
    pod_from,
    refused_pod_from,
    workload_from,
)
from kvhelm.helm.releases import SECRET_TYPE, Revision, revision_from
from kvhelm.kube.cache import Index, key_of
from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import (
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    STATEFUL_SETS,
    Object,
    Resource,
)
from kvhelm.values import Defaults, Place, asked_for, digest, place_for, values_for

POOLS = Resource(GROUP, VERSION, PLURAL, KIND)


_OURS = "app.kubernetes.io/name=kvcachepool,app.kubernetes.io/instance"


@dataclass(frozen=True)
class KnownPool:
    """A pool in the cache, with the values that its spec asks for."""

    pool: Pool
    values: dict[str, Any] | None
    spec_digest: str
    asked: str = ""
    """Digest of what the spec itself says (values.asked_for)."""
    place: Place | None = None
    """Where its metadata lies, if in a service that the user runs."""


Made = Revision | Workload | Pod | ReleaseObject
"""What a release is made of."""


Changed = Callable[[Iterable[PoolKey]], None]


class Watches:
    """The caches of one namespace, or of all."""

    def __init__(
        self, client: Client, namespace: str | None, defaults: Defaults, changed: "Changed"
    ) -> None:
        def known_pool(obj: Object) -> KnownPool:
            before = self.pools.get(key_of(obj))
            if before and before.pool.same_spec(obj):
                # Status events are most of all: the spec is read once a generation.
                return replace(before, pool=replace(before.pool, raw=obj))
            pool = pool_from(obj)
            if pool.spec is None:
                return KnownPool(pool, None, "")
            identity = {"name": pool.key.name, "namespace": pool.key.namespace, "uid": pool.uid}
            values = values_for(pool.spec, **identity, defaults=defaults)
            place = place_for(pool.spec, **identity, defaults=defaults)
            return KnownPool(pool, values, digest(values), digest(asked_for(pool.spec)), place)

        self.pools: Reflector[KnownPool] = Reflector(client, POOLS, known_pool, namespace=namespace)
        # Metadata alone: what a revision is stands in its Secret's labels.
        self.revisions: Reflector[Revision | None] = Reflector(
            client,
            SECRETS,
            revision_from,
            namespace=namespace,
            field_selector=f"type={SECRET_TYPE}",
            metadata_only=True,
        )
        self.workloads: Reflector[Workload] = Reflector(
            client, STATEFUL_SETS, workload_from, namespace=namespace, label_selector=_OURS
        )
        self.pods: Reflector[Pod] = Reflector(
            client, PODS, pod_from, namespace=namespace, label_selector=_OURS
        )

        def metadata_of(resource: Resource) -> Reflector[ReleaseObject]:
            return Reflector(
                client,
                resource,
                partial(release_object_from, resource.kind),
                namespace=namespace,
                label_selector=_OURS,
                metadata_only=True,
            )

        self.objects = {resource.kind: metadata_of(resource) for resource in METADATA_KINDS}
        self.volumes = metadata_of(PERSISTENT_VOLUME_CLAIMS)
        # A StatefulSet has no condition for pods that it may not create: only these events tell.
        self.refused: Reflector[RefusedPod] = Reflector(
            client,
            EVENTS,
            refused_pod_from,
            namespace=namespace,
            field_selector="involvedObject.kind=StatefulSet,reason=FailedCreate",
        )
        self.pools_by_release = Index(
            self.pools, lambda known: [(known.pool.key.namespace, known.pool.release)]
        )
        self.revisions_by_release = Index(
            self.revisions,
            lambda revision: [(revision.namespace, revision.release)] if revision else [],
        )
        self.workloads_by_release = Index(self.workloads, lambda it: [(it.namespace, it.release)])
        self.pods_by_release = Index(self.pods, lambda it: [(it.namespace, it.release)])
        self.volumes_by_release = Index(self.volumes, lambda it: [(it.namespace, it.release)])
        self.objects_by_release = {
            kind: Index(cache, lambda it: [(it.namespace, it.release)])
            for kind, cache in self.objects.items()
        }
        self.refused_by_workload = Index(self.refused, lambda it: [(it.namespace, it.workload)])

        def pools_of(namespace: str, release: str) -> Iterable[PoolKey]:
            return (PoolKey(*key) for key in self.pools_by_release[namespace, release])

        self.pools.add_handler(lambda old, new: changed([(new or old).pool.key]))  # type: ignore[union-attr]

        def made_changed(old: Made | None, new: Made | None) -> None:
            # A label by which we find an object may be what changed.
            for namespace, release in {(it.namespace, it.release) for it in (old, new) if it}:
                changed(pools_of(namespace, release))

        made: list[Reflector[Any]] = [self.revisions, self.workloads, self.pods, self.volumes]
        for cache in (*made, *self.objects.values()):
            cache.add_handler(made_changed)

        def refused_changed(old: RefusedPod | None, new: RefusedPod | None) -> None:
            event = new or old
            if event and (workload := self.workloads.get((event.namespace, event.workload))):
                changed(pools_of(workload.namespace, workload.release))

        self.refused.add_handler(refused_changed)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """All of them."""
        return (
            self.pools,
            self.revisions,
            self.workloads,
            self.pods,
            self.volumes,
            self.refused,
            *self.objects.values(),
        )

    def volumes_of(self, release: tuple[str, str]) -> tuple[ReleaseObject, ...]:
        """Return the volume claims of a release's etcd."""
        return tuple(self.volumes[key] for key in self.volumes_by_release[release])

    def objects_of(self, release: tuple[str, str]) -> tuple[ReleaseObject, ...]:
        """Return the objects of a release (namespace and name) that are kept true."""
        return (
            *(
                self.objects[kind][key]
                for kind, index in self.objects_by_release.items()
                for key in index[release]
            ),
            *(
                found
                for key in self.workloads_by_release[release]
                if (found := self.workloads[key].object)
            ),
        )
