"""What a local cluster is like right now: its processes, its API server, its nodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvhelm.errors import LocalError
from kvhelm.local import nodes as fake
from kvhelm.local import record as records
from kvhelm.local.cluster import DEFAULT_NAME, Cluster, paths_of
from kvhelm.local.processes import alive, memory


@dataclass(frozen=True)
class PartStatus:
    """One process of a cluster."""

    name: str
    pid: int
    alive: bool
    port: int | None
    memory: int  # bytes, resident


@dataclass(frozen=True)
class NodeStatus:
    """One node, in short."""

    name: str
    ready: bool
    gpu: str | None
    gpus: int
    zone: str


@dataclass(frozen=True)
class Status:
    """What a cluster is like right now."""

    name: str
    parts: tuple[PartStatus, ...]
    server: str
    logs: Path
    version: str | None  # of the API server; None when it does not answer
    nodes: tuple[NodeStatus, ...]
    operators: tuple[PartStatus, ...] = ()

    @property
    def running(self) -> bool:
        """Whether every part runs and the API server answers."""
        return self.version is not None and all(part.alive for part in self.parts)


def status(name: str = DEFAULT_NAME, *, state: Path | None = None) -> Status:
    """Look at the cluster. Raises LocalError if there is none, or it was stopped."""
    paths = paths_of(name, state)
    record = records.read(paths.record)
    if record is None or not record.processes:
        raise LocalError(f"the local cluster {name} is not running")
    parts = tuple(
        PartStatus(part, process.pid, alive(process), record.ports.of(part), memory(process))
        for part, process in record.processes.items()
    )
    operators = tuple(
        PartStatus(release, each.process.pid, alive(each.process), each.port, memory(each.process))
        for release, each in record.operators.items()
    )
    cluster = Cluster(name, paths, record.ports, record.processes)
    try:
        version = cluster.api.get("/version")["gitVersion"]
        found = tuple(_node_status(node) for node in cluster.api.get("/api/v1/nodes")["items"])
    except LocalError:
        version, found = None, ()
    return Status(name, parts, cluster.server, paths.logs, version, found, operators)


def _node_status(node: Mapping[str, Any]) -> NodeStatus:
    labels = node["metadata"].get("labels", {})
    return NodeStatus(
        node["metadata"]["name"],
        fake.is_ready(node),
        labels.get("nvidia.com/gpu.product"),
        int(node["status"].get("allocatable", {}).get("nvidia.com/gpu", 0)),
        labels.get("topology.kubernetes.io/zone", ""),
    )
