"""The watch caches and the snapshot that is taken of them: no I/O when nothing changed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kvhelm.api.status import FailedAttempt
from kvhelm.api.v1alpha1 import GROUP, KIND, PLURAL, VERSION
from kvhelm.controller.leftovers import leftovers_of
from kvhelm.controller.objects import (
    METADATA_KINDS,
    ReleaseObject,
    fields_digest,
    release_object_from,
)
from kvhelm.controller.registered import Register, register_for
from kvhelm.controller.services import Services
from kvhelm.controller.snapshot import (
    About,
    Failure,
    Pod,
    Pool,
    PoolKey,
    RefusedPod,
    Snapshot,
    Workload,
    claims,
    pod_from,
    pool_from,
    refused_pod_from,
    workload_from,
)
from kvhelm.helm.origin import Origin
from kvhelm.helm.releases import SECRET_TYPE, Revision, revision_from
from kvhelm.kube.cache import Index, key_of
from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import EVENTS, PODS, SECRETS, STATEFUL_SETS, Object, Resource
from kvhelm.metadata.loss import LossWatch
from kvhelm.values import Defaults, Place, digest, place_for, values_for

POOLS = Resource(GROUP, VERSION, PLURAL, KIND)

_REPAIRS, _REPAIRS_WITHIN = 30, 60.0
"""A pool gets so many repairs in so many seconds: who fights us is not fought without end."""

_USUAL_END = 4.0
"""Seconds after which what is left of a deleted pool is told, and what holds it."""

_OURS = "app.kubernetes.io/name=kvcachepool,app.kubernetes.io/instance"


@dataclass(frozen=True)
class KnownPool:
    """A pool in the cache, with the values that its spec asks for."""

    pool: Pool
    values: dict[str, Any] | None
    spec_digest: str
    place: Place | None = None
    """Where its metadata lies, if in a service that the user runs."""


@dataclass
class Memory:
    """What the controller knows of a pool that the cluster does not tell (yet)."""

    uid: str
    expected_revision: int = 0
    origin: Origin | None = None
    had_release: bool = False
    """Whether a release was there once, by what we saw or the status told when we started."""
    helm_ended: int = 0
    uninstalled: bool = False
    expected_until: float = 0
    """Until when, on the event loop's clock, the watches are waited for to show these two."""
    failure: Failure | None = None
    failures: int = 0
    retry_at: float = 0
    failed: FailedAttempt | None = None
    failed_known: bool = False
    """Whether `failed` holds what is known; until then the status tells."""
    leftovers: tuple[str, ...] = ()
    recheck_at: float = 0
    namespace_ends: bool = False
    strays_at: float = 0
    """When what an uninstall should have deleted is deleted one by one."""
    deleting_since: float | None = None
    verified: bool = False
    purged: bool = False
    left_purged: frozenset[Place] = frozenset()
    left_failures: int = 0
    left_at: float = 0
    """When, on the event loop's clock, a left place may be purged."""
    mended_at: datetime | None = None
    fields_verified: str | None = None
    """Digest of the release's objects (objects.fields_digest) when they were as released; until
    that is known the status tells."""
    fields_seen: str = ""
    """The digest when they were last compared, whatever came of it."""
    repairs: deque[float] = field(default_factory=lambda: deque(maxlen=_REPAIRS))
    """When the last repairs were."""
    report_at: float | None = None
    """When a status that shows only progress is to be written."""


def _register_for(pool: Pool, place: Place, now: float) -> Register:
    """Return the register that a pool's status tells to begin with."""
    if not claims(pool.status, place):
        return Register(LossWatch(pool.uid))
    known = pool.status.metadata
    mended = known.mended_at if known else None
    return register_for(
        pool.uid,
        now,
        cluster_id=known.cluster_id if known else None,
        instances=tuple(
            each.instance
            for each in pool.status.members
            if each.pod is not None and each.instance is not None
        ),
        mended_ago=(datetime.now(UTC) - mended).total_seconds() if mended else None,
    )


Made = Revision | Workload | Pod | ReleaseObject
"""What a release is made of."""


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
            return KnownPool(pool, values, digest(values), place)

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
        self.objects: dict[str, Reflector[ReleaseObject]] = {
            resource.kind: Reflector(
                client,
                resource,
                partial(release_object_from, resource.kind),
                namespace=namespace,
                label_selector=_OURS,
                metadata_only=True,
            )
            for resource in METADATA_KINDS
        }
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

        made: list[Reflector[Any]] = [self.revisions, self.workloads, self.pods]
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
            self.refused,
            *self.objects.values(),
        )

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


Changed = Callable[[Iterable[PoolKey]], None]


@dataclass
class Observer:
    """Takes snapshots. `changed` is told the keys of pools of which anything changed."""

    client: Client
    namespaces: tuple[str, ...]
    defaults: Defaults
    changed: Changed
    services: Services
    memory: dict[PoolKey, Memory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare the watches; nothing is sent yet."""
        self._watches = {
            namespace: Watches(self.client, namespace, self.defaults, self.changed)
            for namespace in self.namespaces or (None,)
        }

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep the caches true."""
        async with AsyncExitStack() as stack:
            for reflector in self.reflectors:
                await stack.enter_async_context(reflector)
            yield

    @property
    def reflectors(self) -> list[Reflector[Any]]:
        """The reflectors of all namespaces."""
        return [each for watches in self._watches.values() for each in watches.reflectors]

    async def synced(self) -> None:
        """Return when every object has been seen once."""
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))

    def watches(self, namespace: str) -> Watches:
        """Return the caches that hold a namespace."""
        return self._watches.get(namespace) or self._watches[None]

    def pools(self) -> Iterable[KnownPool]:
        """Yield every pool that is known."""
        for watches in self._watches.values():
            yield from watches.pools.values()

    def known(self, key: PoolKey) -> KnownPool | None:
        """Return a pool and its values; None if there is no such pool."""
        return self.watches(key.namespace).pools.get(key)

    def observe(self, key: PoolKey) -> Snapshot | None:
        """Return the picture of a pool now; None (and nothing remembered) if it is gone."""
        known = self.known(key)
        if known is None:
            self.memory.pop(key, None)
            self.services.follow(key, None)
            return None
        self.services.follow(key, known.place)
        now = asyncio.get_running_loop().time()
        self._register(known)
        watches = self.watches(key.namespace)
        pool = known.pool
        memory = self.memory.get(key)
        if memory is None or memory.uid != pool.uid:
            memory = self.memory[key] = Memory(pool.uid)
            memory.had_release = bool(pool.status.release and pool.status.release.revision)
        release = (key.namespace, pool.release)
        revisions = sorted(
            (
                revision
                for name in watches.revisions_by_release[release]
                if (revision := watches.revisions[name])
            ),
            key=lambda revision: revision.number,
        )
        workloads = tuple(watches.workloads[name] for name in watches.workloads_by_release[release])
        pods = tuple(watches.pods[name] for name in sorted(watches.pods_by_release[release]))
        if revisions and revisions[-1].number >= memory.expected_revision:
            memory.expected_revision = 0
        if revisions:
            memory.had_release = True
        else:
            memory.uninstalled = False
        if now > memory.expected_until:
            # A person was quicker than the watch: what it shows now is what there is.
            memory.expected_revision, memory.uninstalled = 0, False
        if not memory.failed_known:
            memory.failed = pool.status.release.failed if pool.status.release else None
            memory.failed_known = True
        if memory.failure and memory.failure.about != About(
            known.spec_digest, pool.deleting, pool.rollback_to
        ):
            memory.failure, memory.failures = None, 0
        failure, origin = memory.failure, memory.origin
        if origin and not (revisions and revisions[-1].uid == origin.uid):
            origin = memory.origin = None
        objects = watches.objects_of(release)
        fields = fields_digest(revisions[-1].number, objects) if revisions else ""
        if memory.fields_verified is None and pool.status.release:
            memory.fields_verified = pool.status.release.fields_digest
        return Snapshot(
            pool=pool,
            spec_digest=known.spec_digest,
            revisions=tuple(revisions),
            workloads=workloads,
            pods=pods,
            now=datetime.now(UTC),
            refused=self._refused(watches, workloads, pods),
            objects=objects,
            fields_verified=memory.fields_verified,
            fields_changed=fields not in (memory.fields_verified, memory.fields_seen),
            repair_in=_repair_in(memory, now),
            namespace_ends=memory.namespace_ends,
            service=self.services.view(key, known.place) if known.place else None,
            verified=memory.verified,
            purged=memory.purged,
            expected_revision=memory.expected_revision,
            origin=origin,
            helm_ended=memory.helm_ended,
            uninstalled=memory.uninstalled,
            failed=memory.failed,
            failure=failure,
            retry_in=max(0.0, memory.retry_at - now) if failure else 0.0,
            recheck_in=max(0.0, memory.recheck_at - now),
            left_purged=memory.left_purged,
            left_in=max(0.0, memory.left_at - now),
            mended_at=memory.mended_at,
            leftovers=_overdue(memory, now, leftovers_of(pool, objects, pods))
            if pool.deleting
            else (),
            strays_in=max(0.0, memory.strays_at - now),
        )

    def _register(self, known: KnownPool) -> None:
        """Have those who are registered in a place kept, once it is the pool's own."""
        place, pool = known.place, known.pool
        if place is None or not (
            claims(pool.status, place) or self.services.view(pool.key, place).claimed
        ):
            return
        self.services.register(pool.key, lambda now: _register_for(pool, place, now))

    def _refused(
        self, watches: Watches, workloads: tuple[Workload, ...], pods: tuple[Pod, ...]
    ) -> RefusedPod | None:
        """Return the newest refusal of a pod that is still missing."""
        existing = {pod.name for pod in pods}
        return max(
            (
                event
                for workload in workloads
                for name in watches.refused_by_workload[workload.namespace, workload.name]
                if (event := watches.refused[name]).pod not in existing
            ),
            key=lambda event: event.last_seen,
            default=None,
        )


def _repair_in(memory: Memory, now: float) -> float:
    if len(memory.repairs) < _REPAIRS:
        return 0
    return max(0.0, memory.repairs[0] + _REPAIRS_WITHIN - now)


def _overdue(memory: Memory, now: float, watched: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is left of a deleted pool, once that has taken longer than it should."""
    if memory.deleting_since is None:
        memory.deleting_since = now
    if now - memory.deleting_since < _USUAL_END:
        return ()
    return watched or memory.leftovers
