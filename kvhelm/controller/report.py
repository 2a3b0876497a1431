"""What a pool's status says: built whole from a snapshot and the step taken, pure.

Status is never ahead of the truth: Ready means that the release of this generation is deployed,
its pods are ready and its metadata service is not known to be down.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kvhelm.api.conditions import ConditionType
from kvhelm.api.status import Condition, PoolStatus, ReleaseStatus, RolloutStatus
from kvhelm.controller.history import history_for
from kvhelm.controller.left_places import left_for
from kvhelm.controller.membership import members_for
from kvhelm.controller.metadata_status import metadata_status_for
from kvhelm.controller.policy import Policy
from kvhelm.controller.rollback import Goal, goal_for
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import Step
from kvhelm.controller.verdicts import Verdict, known_conditions, verdicts_for
from kvhelm.controller.waves import Standing, standing_for

_MESSAGE_LIMIT = 2000


def status_for(
    snapshot: Snapshot, step: Step, policy: Policy, chart: str, now: datetime
) -> PoolStatus:
    """Return the whole status. Transition times are kept where a condition's status stays."""
    pool = snapshot.pool
    before = pool.status
    daemons = snapshot.daemons
    verdicts = verdicts_for(snapshot, step, policy)
    known = known_conditions(snapshot)
    conditions = [
        _condition(kind, verdict, known.get(kind), pool.generation, now)
        for kind, verdict in verdicts.items()
    ]
    goal = goal_for(snapshot, policy)
    failed = snapshot.failed
    if failed and failed.digests != goal.digests:
        failed = None
    current = None if snapshot.foreign else snapshot.current
    standing = standing_for(snapshot, policy)
    # Until its turn comes, the pool's metadata is where it was.
    stays = goal.waits and snapshot.elsewhere
    return PoolStatus(
        observed_generation=pool.generation,
        replicas=daemons.existing if daemons else 0,
        ready_replicas=daemons.ready if daemons else 0,
        selector=daemons.selector if daemons else before.selector,
        endpoint=_endpoint(snapshot, goal),
        release=ReleaseStatus(
            name=pool.release,
            revision=current.number if current else None,
            chart=current.chart if current else None,
            fields_digest=None if snapshot.foreign else snapshot.fields_verified,
            pinned=goal.pinned,
            rejected=goal.rejected,
            held=goal.held,
            failed=failed,
        ),
        rollout=_rollout(standing, chart),
        members=before.members if stays else members_for(snapshot),
        left=before.left if stays else left_for(snapshot),
        history=before.history if pool.deleting or snapshot.foreign else history_for(snapshot),
        metadata=before.metadata
        if stays
        else metadata_status_for(snapshot, verdicts[ConditionType.METADATA_READY]),
        conditions=conditions,
    )


def _rollout(standing: Standing, chart: str) -> RolloutStatus | None:
    if standing is Standing.OTHER:
        return None
    told = Standing.CURRENT if standing is Standing.NEW else standing
    return RolloutStatus(chart=chart, standing=told.value)


def _endpoint(snapshot: Snapshot, goal: Goal) -> str | None:
    """Return where the daemons are to be reached, by the release that runs, not by the spec."""
    current = snapshot.current
    if snapshot.daemons is None or current is None:
        return None
    stamp = current.stamp
    if goal.held and current.carried and current.carried[0] == goal.held.to:
        stamp = current.carried[1]
    if stamp is None or stamp.port is None or current.status != "deployed":
        return snapshot.pool.status.endpoint
    return f"{snapshot.pool.release}-rpc.{snapshot.daemons.namespace}.svc:{stamp.port}"


def _condition(
    kind: ConditionType,
    verdict: Verdict,
    before: Condition | None,
    generation: int,
    now: datetime,
) -> Condition:
    unchanged = before is not None and before.status == verdict.status
    return Condition(
        type=kind,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:_MESSAGE_LIMIT],
        last_transition_time=before.last_transition_time if before and unchanged else now,
        observed_generation=generation,
    )


def is_progress(before: PoolStatus, after: PoolStatus) -> bool:
    """Tell whether a new status shows only how far things are: neither Ready nor Stalled turned.

    Such a status may wait a moment for the next one: a write of the pool is the dearest request
    there is to the API server (measured: 9 CPU ms with its etcd, thrice a ConfigMap's).
    """

    def turns(status: PoolStatus) -> list[tuple[str, str]]:
        telling = (ConditionType.READY, ConditionType.STALLED)
        return [(each.type, each.status) for each in status.conditions if each.type in telling]

    return before.observed_generation == after.observed_generation and turns(before) == turns(after)


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that makes `after` of `before`; empty if equal."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif old != value:
            patch[key] = value
    return patch
