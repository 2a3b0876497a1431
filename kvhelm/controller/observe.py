"""The watch caches and the snapshot that is taken of them: no I/O when nothing changed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kvhelm.controller.leftovers import leftovers_of
from kvhelm.controller.memory import Memory
from kvhelm.controller.objects import (
    fields_digest,
)
from kvhelm.controller.pool import Pool, PoolKey
from kvhelm.controller.registered import Register, register_for
from kvhelm.controller.service_view import claims
from kvhelm.controller.services import Services
from kvhelm.controller.snapshot import About, Snapshot
from kvhelm.controller.watches import Changed, KnownPool, Watches
from kvhelm.controller.workloads import (
    Pod,
    RefusedPod,
    Workload,
)
from kvhelm.kube.client import Client
from kvhelm.kube.reflector import Reflector
from kvhelm.metadata.loss import LossWatch
from kvhelm.values import Defaults, Place


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

    def count(self) -> int:
        """Return how many pools are known."""
        return sum(len(watches.pools) for watches in self._watches.values())

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
            asked=known.asked,
            refused=self._refused(watches, workloads, pods),
            objects=objects,
            fields_verified=memory.fields_verified,
            fields_changed=fields not in (memory.fields_verified, memory.fields_seen),
            repair_in=memory.repair_in(now),
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
            volumes=watches.volumes_of(release),
            leftovers=memory.overdue(now, leftovers_of(pool, objects, pods))
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
