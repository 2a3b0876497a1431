"""Who used how much: read before and after, and subtracted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from bench.figures import Cost
from bench.operators import Operator, requests_in
from bench.scrape import Scrape, difference
from kvhelm.local.cluster import Cluster


@dataclass(frozen=True)
class Reading:
    """Everybody's counters at one moment."""

    at: float
    control_plane_cpu: Mapping[str, float]
    operator: Scrape


def cpu_of(cluster: Cluster) -> dict[str, float]:
    """Return the CPU seconds of each part of the control plane since it started."""
    times = {part: psutil.Process(it.pid).cpu_times() for part, it in cluster.processes.items()}
    return {part: time.user + time.system for part, time in times.items()}


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds of each part in between."""
    return {part: round(after[part] - before[part], 3) for part in after}


def reading(cluster: Cluster, scrape: Scrape | None = None) -> Reading:
    """Read everybody's counters now; without a scrape, of an operator that is yet to start."""
    now = asyncio.get_running_loop().time()
    return Reading(now, cpu_of(cluster), scrape or Scrape())


async def cost_since(before: Reading, cluster: Cluster, operator: Operator) -> Cost:
    """Return what was used since, up to when nothing more is going on."""
    scrape = await operator.until_quiet()
    return cost_between(before, reading(cluster, scrape))


def cost_between(before: Reading, after: Reading) -> Cost:
    """Return what was used in between."""

    def grown(metric: str) -> float:
        return round(after.operator.value(metric) - before.operator.value(metric), 3)

    helm = "kvhelm_helm_duration_seconds_count"
    return Cost(
        seconds=round(after.at - before.at, 3),
        controller_cpu=grown("process_cpu_seconds_total"),
        helm_cpu=grown("kvhelm_helm_cpu_seconds_total"),
        control_plane_cpu=cpu_between(before.control_plane_cpu, after.control_plane_cpu),
        helm=difference(
            before.operator.counts(helm, "verb", "outcome"),
            after.operator.counts(helm, "verb", "outcome"),
        ),
        requests=difference(requests_in(before.operator), requests_in(after.operator)),
    )
