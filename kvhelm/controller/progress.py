"""How far the daemons of a new revision are, and by when they must be further; pure."""

from datetime import datetime

from kvhelm.api.conditions import ConditionType
from kvhelm.controller.last_words import first_cause
from kvhelm.controller.policy import Policy
from kvhelm.controller.snapshot import Snapshot


def progress_deadline_in(snapshot: Snapshot, policy: Policy) -> float | None:
    """Return the seconds until the current revision must show progress; None if it need not.

    It need not once it was healthy, nor at 0 daemons, nor while the user's metadata service is
    away, which is no fault of an upgrade.
    """
    current, daemons, spec = snapshot.current, snapshot.daemons, snapshot.pool.spec
    if (
        current is None
        or current.stamp is None
        or current.stamp.digests != (snapshot.spec_digest, policy.chart_digest)
        or current.status != "deployed"
        or current.healthy
        or daemons is None
        or daemons.replicas == 0
        or all(workload.rolled_out for workload in snapshot.workloads)
        or spec is None
        or spec.suspend
        or (snapshot.service and snapshot.service.healthy is False)
    ):
        return None
    due = spec.upgrade.progress_deadline_seconds
    return due - (snapshot.now - _progress_since(snapshot, current.created)).total_seconds()


def _progress_since(snapshot: Snapshot, created: datetime) -> datetime:
    """Return when the current revision last came a step further, from what a restart knows too.

    That is when it was made; when a pod of its template was made, since an ordered StatefulSet
    makes the next one when the last is ready; when the pool last ceased to be Ready (scaled up
    from 0, say, or resumed); and when a metadata service of the user's came back.
    """
    conditions = {each.type: each for each in snapshot.pool.status.conditions}
    since = [created]
    if (ready := conditions.get(ConditionType.READY)) and ready.status != "True":
        since.append(ready.last_transition_time)
    metadata = conditions.get(ConditionType.METADATA_READY)
    if snapshot.service and metadata and metadata.status == "True":
        since.append(metadata.last_transition_time)
    templates = {workload.update_revision for workload in snapshot.workloads}
    since += [pod.created for pod in snapshot.pods if pod.revision in templates]
    return max(since)


def reaches_pods(snapshot: Snapshot, created: datetime) -> bool:
    """Tell whether a revision made at `created` changed what pods run, as far as they tell.

    If not, then what they lack is nothing that another revision would mend.
    """
    templates = {workload.update_revision for workload in snapshot.workloads}
    return any(each.existing < each.replicas for each in snapshot.workloads) or any(
        pod.revision not in templates or pod.created >= created for pod in snapshot.pods
    )


def not_ready(snapshot: Snapshot) -> str:
    """Return a sentence on what the current revision lacks, with the cause if it is known."""
    spec, current = snapshot.pool.spec, snapshot.current
    daemons = [pod for pod in snapshot.pods if pod.component == "daemon"]
    cause = first_cause((pod.name, pod.last_words) for pod in daemons)
    said = next(
        (f"{pod.name}: {pod.unschedulable}" for pod in daemons if pod.unschedulable),
        cause.message if cause else snapshot.refused.message if snapshot.refused else "",
    )
    seconds = spec.upgrade.progress_deadline_seconds if spec else 0
    return (
        f"Revision {current.number if current else 0} made no progress for {seconds} s"
        f"{f': {said}' if said else '.'}"
    )
