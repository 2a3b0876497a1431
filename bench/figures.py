"""Everything that one run of the benchmark found; its JSON is what bench/results/ holds.

Times and CPU times are in seconds, memory in bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Spread:
    """Several measurements of the same thing, in the order in which they were made."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return median(self.seconds)


NOT_MEASURED = Spread(())
"""What runs of an older benchmark have no figures for."""


@dataclass(frozen=True)
class Cost:
    """What a stretch of time took, of everyone who worked in it."""

    seconds: float
    controller_cpu: float
    helm_cpu: float
    control_plane_cpu: Mapping[str, float]
    """By part: etcd, kube-apiserver, ..."""
    helm: Mapping[str, int]
    """Helm processes, by `verb outcome`."""
    requests: Mapping[str, int]
    """The controller's own requests to the API, by `verb resource`; helm's are not among them."""

    @property
    def requests_but_lease(self) -> int:
        """Requests, but not those that keep the Lease."""
        return sum(count for what, count in self.requests.items() if not what.endswith(" leases"))

    @property
    def writes_but_lease(self) -> int:
        """Requests that change something, but not the Lease."""
        return sum(
            count
            for what, count in self.requests.items()
            if what.split()[0] not in ("get", "list", "watch") and not what.endswith(" leases")
        )

    @property
    def cpu(self) -> float:
        """CPU of the controller and its helm processes together."""
        return self.controller_cpu + self.helm_cpu

    @property
    def control_plane(self) -> float:
        """CPU of the whole control plane."""
        return sum(self.control_plane_cpu.values())


@dataclass(frozen=True)
class Single:
    """One pool at a time, nothing else going on."""

    kubectl_to_ready: Spread
    """From the start of the `kubectl apply` process."""
    accepted_to_ready: Spread
    """From the watch event that tells of the new pool."""
    image_to_statefulset: Spread
    """From the request that changes the pool's image to the StatefulSet that has it."""
    scale_to_statefulset: Spread
    """From the request to the scale subresource to the StatefulSet's spec.replicas."""
    delete_to_gone: Spread
    """From the request that deletes the pool to its end: release uninstalled, pods gone."""
    field_to_repaired: Spread = NOT_MEASURED
    """From a write of someone else to a field of the ConfigMap until it is right again."""
    port_to_repaired: Spread = NOT_MEASURED
    """From one that gives the port of the Service another number (three requests)."""
    deleted_to_again: Spread = NOT_MEASURED
    """From the deletion of the Service by someone else until there is another one."""
    deadline_to_rollback: Spread = NOT_MEASURED
    """From the progress deadline of an upgrade until helm has begun to roll it back. What the
    deadline counts from is known to the second."""


@dataclass(frozen=True)
class Fleet:
    """Something that is done to all pools at once."""

    ready: float
    """Seconds until the last pool was Ready."""
    cost: Cost
    """Up to when nothing more was going on."""


@dataclass(frozen=True)
class Memory:
    """Of the controller, unless it says helm."""

    controller_peak: int
    controller_idle: int
    helm_peak: int


@dataclass(frozen=True)
class Restart:
    """The controller stopped and started again beside all pools."""

    ended: float
    """Seconds from TERM to the end of the process."""
    leading: float
    """Seconds from the start of the process until it leads, with its caches filled."""
    settled: float
    """Seconds from the start of the process until its queue is empty."""
    cost: Cost
    """From the start of the process until nothing more was going on."""


@dataclass(frozen=True)
class Bare:
    """The same releases by helm alone: processes side by side, and nobody who looks after them."""

    releases: int
    processes: int
    installed: float
    """Seconds until the last helm process ended."""
    ready: float
    """Seconds until the last StatefulSet had its pods ready."""
    helm_cpu: float
    control_plane_cpu: Mapping[str, float]


@dataclass(frozen=True)
class Environment:
    """Where and of what it was measured."""

    date: str
    cores: int
    processor: str
    kubernetes: str
    helm: str
    python: str
    kvhelm: str


@dataclass(frozen=True)
class Figures:
    """One run."""

    environment: Environment
    pools: int
    managed_etcd: bool
    single: Single
    create: Fleet
    memory: Memory
    idle: Cost
    restart: Restart
    update: Fleet
    bare: Bare


@dataclass(frozen=True)
class MetadataFigures:
    """One run of `bench.metadata`: many pools, whose daemons are registered in one etcd."""

    environment: Environment
    pools: int
    all_serving: float
    """From the first registration until the status of every pool has its daemon."""
    joins: Spread
    """From one daemon's registration until the status has it, while all others write."""
    silent: Cost
    """While no daemon writes."""
    busy: Cost
    """While all do."""
    revisions: int
    """That the daemons wrote meanwhile."""
    etcd_requests: Mapping[str, int]
    """Requests of kvhelm that the etcd began to serve meanwhile, by method."""
    etcd_cpu: float
    """Of the pools' etcd, meanwhile."""
    controller_memory: int


ANY_FIGURES: TypeAdapter[Figures | MetadataFigures] = TypeAdapter(Figures | MetadataFigures)
"""Reads either as JSON."""


def write(figures: Figures | MetadataFigures, file: Path) -> None:
    """Write figures as JSON, as committed results are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(ANY_FIGURES.dump_json(figures, indent=2) + b"\n")
