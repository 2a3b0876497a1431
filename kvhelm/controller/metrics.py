"""What the controller tells Prometheus."""

import resource
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from kvhelm.api.conditions import ConditionType
from kvhelm.controller.observe import Observer
from kvhelm.controller.rollout import Rollout
from kvhelm.controller.watches import KnownPool
from kvhelm.controller.waves import Standing, State
from kvhelm.kube.client import Client
from kvhelm.kube.queue import WorkQueue

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120)


class Metrics:
    """The registry and the metrics that are written to; the rest is read when scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.helm_seconds = Histogram(
            "kvhelm_helm_duration_seconds",
            "Seconds that helm processes took, by verb and outcome",
            ["verb", "outcome"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "kvhelm_reconcile_duration_seconds",
            "Seconds that one look at a pool took, by the step that it led to",
            ["step"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.leader = Gauge("kvhelm_leader", "1 while this process leads", registry=self.registry)

    def helm_ended(self, verb: str, outcome: str, seconds: float) -> None:
        """Count one helm process."""
        self.helm_seconds.labels(verb, outcome).observe(seconds)

    def watch(
        self, client: Client, observer: Observer, queue: WorkQueue[Any], rollout: Rollout
    ) -> None:
        """Read further metrics from these whenever someone scrapes."""
        self.registry.register(_Live(client, observer, queue, rollout))


class _Live(Collector):
    def __init__(
        self, client: Client, observer: Observer, queue: WorkQueue[Any], rollout: Rollout
    ) -> None:
        self._rollout = rollout
        self._client = client
        self._observer = observer
        self._queue = queue

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        requests = CounterMetricFamily(
            "kvhelm_api_requests",
            "Requests to the Kubernetes API by the controller (helm's own are not among them)",
            labels=["verb", "resource"],
        )
        for (verb, what), count in self._client.requests.items():
            requests.add_metric([verb, what], count)
        yield requests

        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = CounterMetricFamily(
            "kvhelm_helm_cpu_seconds", "CPU seconds of all helm processes that ended"
        )
        cpu.add_metric([], children.ru_utime + children.ru_stime)
        yield cpu
        yield GaugeMetricFamily(
            "kvhelm_helm_peak_memory_bytes",
            "Peak resident memory of the largest helm process",
            value=children.ru_maxrss * 1024,
        )

        pools = GaugeMetricFamily(
            "kvhelm_pools", "Pools by the status and reason of Ready", labels=["ready", "reason"]
        )
        for (status, reason), count in _by_ready(self._observer.pools()).items():
            pools.add_metric([status, reason], count)
        yield pools

        members = GaugeMetricFamily(
            "kvhelm_members",
            "Daemons of all pools by their state in status.members",
            labels=["state"],
        )
        states = Counter(
            member.state for known in self._observer.pools() for member in known.pool.status.members
        )
        for state, count in states.items():
            members.add_metric([state], count)
        yield members

        plan = self._rollout.plan
        chart = GaugeMetricFamily(
            "kvhelm_chart_rollout_pools",
            "Pools by where they stand with the operator's chart",
            labels=["standing"],
        )
        for standing in Standing:
            chart.add_metric([standing.value], plan.counts.get(standing, 0))
        yield chart
        yield GaugeMetricFamily(
            "kvhelm_chart_rollout_halted",
            "1 while pools wait because the operator's chart failed at another one",
            value=int(plan.state is State.HALTED),
        )

        healthy = GaugeMetricFamily(
            "kvhelm_metadata_healthy",
            "Whether a metadata service does what daemons need (no sample before its first probe)",
            labels=["kind", "endpoints"],
        )
        latency = GaugeMetricFamily(
            "kvhelm_metadata_latency_seconds",
            "Seconds that a read of a metadata service took",
            labels=["kind", "endpoints"],
        )
        for kind, endpoints, well, seconds in self._observer.services.known():
            if well is not None:
                healthy.add_metric([kind, endpoints], int(well))
            if seconds is not None:
                latency.add_metric([kind, endpoints], seconds)
        yield healthy
        yield latency

        queued = GaugeMetricFamily("kvhelm_queue", "Pools in the work queue", labels=["state"])
        queued.add_metric(["waiting"], len(self._queue))
        queued.add_metric(["in_flight"], self._queue.in_flight)
        queued.add_metric(["put_off"], self._queue.put_off)
        yield queued

        connected = GaugeMetricFamily(
            "kvhelm_watch_connected",
            "Whether the watch of a resource is open",
            labels=["resource", "namespace"],
        )
        for reflector in self._observer.reflectors:
            connected.add_metric(
                [reflector.resource.plural, reflector.namespace or ""], int(reflector.connected)
            )
        yield connected


def _by_ready(pools: Iterable[KnownPool]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for known in pools:
        ready = next(
            (each for each in known.pool.status.conditions if each.type == ConditionType.READY),
            None,
        )
        counts[(ready.status, ready.reason) if ready else ("Unknown", "")] += 1
    return counts
