"""Which data a pool's own etcd has, and what is to be done once it has lost them. Pure.

Only the pool's daemons reach that etcd, so nobody asks it. But its data live and die with what
holds them: a volume, or without storage its pod. Holders that were never seen before hold an empty
etcd, and daemons that were registered in the one before it do not register again (v6d#2034).
"""

from datetime import datetime

from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import RestartDaemons, Step, Wait
from kvhelm.controller.workloads import Pod, Workload
from kvhelm.metadata.loss import MEND_AT_MOST_EVERY

Data = frozenset[str]
"""The uids of what holds the data of an etcd."""


def decide_own_etcd(snapshot: Snapshot) -> Step | None:
    """Return what is to be done about an etcd that has lost its data; None if it has not."""
    behind = tuple(pod for pod in daemons_behind(snapshot) if not pod.ending)
    if not behind:
        return None
    if left := mend_in(snapshot):
        return Wait("the daemons were restarted a short while ago", left)
    return RestartDaemons("the pool's etcd came back empty", behind)


def daemons_behind(snapshot: Snapshot) -> tuple[Pod, ...]:
    """Return the daemons that are registered in data which are gone.

    Those that started since are not. Of three members one may have been given up and made anew:
    the etcd is the same then.
    """
    held, known = data_held(snapshot), data_known(snapshot)
    if not held or not known or held & known:
        return ()
    anew, mended = max(pod.created for pod in _members(snapshot)), mended_at(snapshot)
    # Kubernetes tells whole seconds: what was made in the one of the mend was made by it, since
    # that ends when it has deleted all others.
    restarted = mended if mended and mended >= anew else None
    return tuple(
        pod
        for pod in snapshot.pods
        if pod.component == "daemon"
        and pod.created <= anew
        and not (restarted and pod.created >= restarted)
    )


def data_held(snapshot: Snapshot) -> Data | None:
    """Return what holds the etcd's data now; None unless every member is ready, and all is seen."""
    etcd, members = snapshot.etcd, _members(snapshot)
    if etcd is None or not etcd.rolled_out or len(members) != etcd.replicas:
        return None
    if any(pod.ending or not pod.ready for pod in members):
        return None
    uids = _volumes(snapshot, etcd) if etcd.volumes else frozenset(pod.uid for pod in members)
    return uids if len(uids) == etcd.replicas else None


def data_known(snapshot: Snapshot) -> Data:
    """Return what holds the data that the daemons are registered in; empty if that is not known."""
    status = snapshot.pool.status.metadata
    return frozenset((status.held_by if status and status.kind == "managed" else None) or ())


def data_to_remember(snapshot: Snapshot) -> Data:
    """Return what the status is to tell: never an etcd that the daemons are not on yet."""
    held = data_held(snapshot)
    return data_known(snapshot) if held is None or daemons_behind(snapshot) else held


def mended_at(snapshot: Snapshot) -> datetime | None:
    """Return when daemons were last restarted because of their metadata."""
    status = snapshot.pool.status.metadata
    return snapshot.mended_at or (status.mended_at if status else None)


def mend_in(snapshot: Snapshot) -> float:
    """Return the seconds until the daemons may be restarted once more."""
    at = mended_at(snapshot)
    if at is None:
        return 0.0
    return max(0.0, MEND_AT_MOST_EVERY - (snapshot.now - at).total_seconds())


def _members(snapshot: Snapshot) -> list[Pod]:
    return [pod for pod in snapshot.pods if pod.component == "etcd"]


def _volumes(snapshot: Snapshot, etcd: Workload) -> Data:
    """Return the volumes that the members have (Kubernetes names them TEMPLATE-POD)."""
    ours = {f"{template}-{etcd.name}-" for template in etcd.volumes}
    return frozenset(
        each.uid
        for each in snapshot.volumes
        if not each.ending and each.name.rstrip("0123456789") in ours
    )
