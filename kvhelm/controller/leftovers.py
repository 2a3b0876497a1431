"""What is left of a deleted pool: found by label and by the mark of the pool, deleted or named."""

from dataclasses import dataclass

from kvhelm.controller.objects import DRIFT_KINDS, ReleaseObject, release_object_from
from kvhelm.controller.pool import Pool
from kvhelm.controller.workloads import Pod
from kvhelm.kube.client import Client
from kvhelm.kube.errors import Conflict, NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.resource import PERSISTENT_VOLUME_CLAIMS, PODS

_BY_KUBERNETES = (PODS, PERSISTENT_VOLUME_CLAIMS)
"""What StatefulSets make: it has their labels, and no mark of the pool."""


@dataclass(frozen=True)
class Leftovers:
    """Looks for what an uninstall left, and deletes what no release knows any more."""

    client: Client
    events: EventRecorder

    async def delete(self, pool: Pool, strays: tuple[ReleaseObject, ...]) -> None:
        """Delete objects of the pool; whoever else's took their name stays."""
        for stray in strays:
            try:
                await self.client.delete(
                    DRIFT_KINDS[stray.kind],
                    stray.name,
                    stray.namespace,
                    uid=stray.uid,
                    propagation="Background",
                )
            except (NotFound, Conflict):
                continue
        names = ", ".join(stray.described for stray in strays)
        self.events.record(
            pool.reference(),
            "Warning",
            "StraysDeleted",
            f"Deleted one by one, since no release {pool.release} knows them any more: {names}",
        )

    async def find(self, pool: Pool) -> tuple[str, ...]:
        """Return KIND/NAME of what the API server still has of the pool."""
        left = []
        for kind in (*DRIFT_KINDS.values(), *_BY_KUBERNETES):
            page = await self.client.list(
                kind,
                pool.key.namespace,
                metadata_only=True,
                labelSelector="app.kubernetes.io/name=kvcachepool,"
                f"app.kubernetes.io/instance={pool.release}",
            )
            found = [release_object_from(kind.kind, item) for item in page.items]
            left += [
                it.described for it in found if kind in _BY_KUBERNETES or it.pool_uid == pool.uid
            ]
        return tuple(left)


def leftovers_of(
    pool: Pool, objects: tuple[ReleaseObject, ...], pods: tuple[Pod, ...]
) -> tuple[str, ...]:
    """Return KIND/NAME of what the watches still show of a pool, and what holds it."""
    return (
        *(it.described for it in objects if it.pool_uid == pool.uid),
        *(pod.described for pod in pods),
    )
