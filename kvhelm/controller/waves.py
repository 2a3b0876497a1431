"""How a new chart comes to the pools: a few at first, then a share at a time; pure.

A pool takes part if it is behind for no fault of its own: its spec is the one that its revision was
made for, and the operator brings another chart, or other defaults. Whoever changes a pool's spec
gets the new chart with the change, since an operator has but one.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count, takewhile

from kvhelm.controller.policy import Policy
from kvhelm.controller.pool import PoolKey
from kvhelm.controller.progress import progress_deadline_in
from kvhelm.controller.rollback import goal_for, is_behind
from kvhelm.controller.snapshot import Snapshot
from kvhelm.values import digest

CANARY = "kvcache.aibrix.ai/canary"
"""Label of pools that get a new chart before others do, if "true"."""


class Standing(StrEnum):
    """Where a pool stands with the chart that the operator brings."""

    CURRENT = "Current"
    NEW = "New"
    """Made with it: that proves nothing of how it comes to the others."""
    MOVING = "Moving"
    WAITING = "Waiting"
    UNREADY = "Unready"
    FAILED = "Failed"
    PINNED = "Pinned"
    HELD = "Held"
    SUSPENDED = "Suspended"
    OTHER = "Other"
    """Not healthy yet with what its user asked for last, or being deleted: no part of the waves."""


class State(StrEnum):
    """Where the whole stands."""

    COMPLETE = "Complete"
    PROGRESSING = "Progressing"
    HALTED = "Halted"


def standing_for(snapshot: Snapshot, policy: Policy) -> Standing:
    """Return where a pool stands."""
    current, spec = snapshot.current, snapshot.pool.spec
    if current is None or spec is None or snapshot.pool.deleting or snapshot.foreign:
        return Standing.OTHER
    goal = goal_for(snapshot, policy)
    if goal.pinned or goal.pin_gone:
        return Standing.PINNED
    if goal.held:
        return Standing.HELD
    if spec.suspend:
        return Standing.SUSPENDED
    if goal.waits:
        ready = all(workload.rolled_out for workload in snapshot.workloads)
        return Standing.WAITING if ready else Standing.UNREADY
    asked = (snapshot.spec_digest, policy.chart_digest)
    if current.stamp and current.stamp.digests == asked and current.status == "deployed":
        proved = current.healthy or (snapshot.daemons and snapshot.daemons.replicas == 0)
        if proved and not goal.rejected:
            return Standing.CURRENT if current.number > 1 else Standing.NEW
    was_well = any(
        each.healthy
        and each.stamp
        and each.stamp.asked == snapshot.asked
        and each.stamp.digests != asked
        for each in snapshot.revisions
    )
    if not was_well:
        return Standing.MOVING if is_behind(snapshot, policy) else Standing.OTHER
    left = progress_deadline_in(snapshot, policy)
    failed = snapshot.failed and snapshot.failed.digests == asked
    if goal.rejected or failed or (left is not None and left <= 0):
        return Standing.FAILED
    return Standing.MOVING


@dataclass(frozen=True)
class Place:
    """A pool among the others."""

    standing: Standing
    canary: bool = False
    """Whether its labels ask for the new chart first."""


def place_for(snapshot: Snapshot, policy: Policy) -> Place:
    """Return a pool's place."""
    labels = snapshot.pool.raw["metadata"].get("labels") or {}
    return Place(standing_for(snapshot, policy), labels.get(CANARY) == "true")


@dataclass(frozen=True)
class Waves:
    """How many pools a new chart comes to at a time."""

    canary: int = 1
    """Pools of the first wave."""
    share: int = 25
    """Percent of all pools in each later wave; with 0 the canaries alone get a new chart."""

    def ends(self, total: int) -> list[int]:
        """Return how many of `total` pools have the new chart after each wave."""
        first = [min(self.canary, total)] if self.canary and total else []
        size = math.ceil(total * self.share / 100)
        if size == 0:
            return first
        start = first[0] if first else 0
        later = takewhile(lambda end: end < total + size, count(start + size, size))
        return first + [min(end, total) for end in later]


@dataclass(frozen=True)
class Plan:
    """Which pools may move now, and how far the whole is."""

    state: State = State.COMPLETE
    admitted: frozenset[PoolKey] = frozenset()
    """Those that wait and may move."""
    wave: int = 0
    """The wave that is under way, from 1 on; 0 if there is none."""
    waves: int = 0
    counts: Mapping[Standing, int] = field(default_factory=dict)
    failed: tuple[PoolKey, ...] = ()


def plan_for(
    places: Mapping[PoolKey, Place], waves: Waves, before: frozenset[PoolKey], chart_digest: str
) -> Plan:
    """Return who may move, `before` being who was admitted already.

    A wave ends when each of its pools is healthy; a pool that fails admits nobody any more. What
    was not ready before comes last and all at once: its fate says nothing of the chart.
    """
    by: dict[Standing, list[PoolKey]] = {standing: [] for standing in Standing}
    for key, place in places.items():
        by[place.standing].append(key)
    counts = Counter({standing: len(keys) for standing, keys in by.items() if keys})
    waiting, unready, failed = by[Standing.WAITING], by[Standing.UNREADY], by[Standing.FAILED]
    if not waiting and not unready:
        state = State.PROGRESSING if by[Standing.MOVING] else State.COMPLETE
        return Plan(state, counts=counts, failed=tuple(sorted(failed)))
    if failed:
        return Plan(State.HALTED, counts=counts, failed=tuple(sorted(failed)))

    begun = [key for key in waiting if key in before]
    fresh = [key for key in waiting if key not in before]
    moved = len(by[Standing.CURRENT]) + len(by[Standing.MOVING]) + len(begun)
    ends = waves.ends(moved + len(fresh))
    busy = bool(by[Standing.MOVING] or begun)
    end = next((end for end in ends if end > moved or (busy and end == moved)), moved)
    if end > moved:
        # Spread over namespaces, and other pools first with each chart; the same after a restart.
        fresh.sort(key=lambda key: (not places[key].canary, digest([chart_digest, *key])))
    last = [] if waiting or by[Standing.MOVING] or not (waves.canary or waves.share) else unready
    return Plan(
        State.PROGRESSING,
        frozenset([*begun, *fresh[: end - moved], *last]),
        wave=ends.index(end) + 1 if end in ends else 0,
        waves=len(ends),
        counts=counts,
    )
