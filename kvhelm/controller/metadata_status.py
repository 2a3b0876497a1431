"""What a status says of the metadata service: pure."""

from kvhelm.api.conditions import ConditionType
from kvhelm.api.status import MetadataStatus
from kvhelm.controller.own_etcd import data_to_remember
from kvhelm.controller.service_view import ServiceView
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.verdicts import Verdict, known_conditions


def metadata_status_for(snapshot: Snapshot, ready: Verdict) -> MetadataStatus | None:
    """Return status.metadata; `ready` is the condition MetadataReady beside it."""
    service = snapshot.service
    if service is None:
        return _managed_status(snapshot)
    before = snapshot.pool.status.metadata
    if before and (before.kind, tuple(before.endpoints)) != service.place[:2]:
        before = None  # of another service
    turned = known_conditions(snapshot).get(ConditionType.METADATA_READY)
    now = MetadataStatus(
        kind=service.place.kind,
        endpoints=list(service.place.endpoints),
        prefix=service.place.prefix if snapshot.claimed else None,
        version=service.version or (before.version if before else None),
        cluster_id=_data_set(service) or (before.cluster_id if before else None),
        mended_at=snapshot.mended_at or (before.mended_at if before else None),
        latency_milliseconds=round(service.latency * 1000) if service.latency else None,
        last_success=service.last_success or (before.last_success if before else None),
    )
    if before is None or turned is None:
        return now
    # Numbers that always move are no reason to write.
    moving = {
        "latency_milliseconds": before.latency_milliseconds,
        "last_success": before.last_success,
    }
    still = now.model_copy(update=moving)
    same = still == before and (turned.status, turned.reason) == (ready.status, ready.reason)
    return before if same else now


def _data_set(service: ServiceView) -> str | None:
    """Return which data set the pool's is: not another one's id before the daemons are on it."""
    registered = service.registered
    return registered.cluster_id if registered else service.cluster_id


def _managed_status(snapshot: Snapshot) -> MetadataStatus | None:
    before, etcd = snapshot.pool.status.metadata, snapshot.etcd
    if before and before.kind != "managed":
        before = None
    if etcd is None:
        # Deleted, it comes back empty: the daemons are then known by what held their data.
        return before
    return MetadataStatus(
        kind="managed",
        endpoints=[
            f"http://{etcd.name}-{member}.{etcd.namespace}.svc:2379"
            for member in range(etcd.replicas)
        ],
        held_by=sorted(data_to_remember(snapshot)) or None,
        mended_at=snapshot.mended_at or (before.mended_at if before else None),
    )
