"""A local cluster's life: up, down, and its nodes in between.

Each function is for one command, and blocks until what it says is true. A cluster is known by
its name; everything of it is below `state_root()/clusters/<name>`, and nothing is elsewhere.
"""

import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kvhelm.errors import LocalError
from kvhelm.local import nodes as fake
from kvhelm.local import record as records
from kvhelm.local.api import Api
from kvhelm.local.boot import boot, halt, wait_until
from kvhelm.local.lock import locked
from kvhelm.local.nodes import DEFAULT_NODES, Node
from kvhelm.local.parts import PARTS, Paths, Ports, server_url
from kvhelm.local.places import state_root
from kvhelm.local.processes import Process, alive
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode.nodes import KEEPER, count_for, ensure_real_nodes, nodes_of
from kvhelm.local.realnode.plan import Place, RealNode
from kvhelm.local.realnode.preflight import check_machine
from kvhelm.local.realnode.traces import ensure_gone
from kvhelm.local.record import Record
from kvhelm.local.tools import Tools, ensure_tools

DEFAULT_NAME = "default"
# Seconds for nodes to become Ready and for the namespace `default` to get its ServiceAccount.
_SETTLE = 120.0


@dataclass(frozen=True)
class Cluster:
    """A local cluster that runs."""

    name: str
    paths: Paths
    ports: Ports
    processes: Mapping[str, Process]  # by part: etcd, kube-apiserver, ...

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.paths.kubeconfig

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return server_url(self.ports)

    @property
    def kubectl(self) -> Path:
        """The kubectl of this cluster's version."""
        return self.paths.bin / "kubectl"

    @property
    def helm(self) -> Path:
        """The helm that kvhelm pins."""
        return self.paths.bin / "helm"

    @cached_property
    def api(self) -> Api:
        """The API server, as its administrator."""
        return Api(self.paths.certificates, self.ports.api_server)

    @property
    def place(self) -> Place:
        """Where the real nodes are."""
        return Place(self.paths.nodes)

    @property
    def real_nodes(self) -> tuple[RealNode, ...]:
        """The real nodes that it was made with."""
        record = records.read(self.paths.record)
        return nodes_of(record.real_nodes if record else 0)

    def real_node(self, name: str) -> RealNode:
        """Return the real node of that name. Raises LocalError if there is none."""
        for node in self.real_nodes:
            if node.name == name:
                return node
        raise LocalError(f"the local cluster {self.name} has no real node {name}")


def up(
    name: str = DEFAULT_NAME,
    *,
    nodes: Sequence[Node] | None = None,
    real_nodes: int | None = None,
    api_server_args: Sequence[str] | None = None,
    state: Path | None = None,
    tools: Tools | None = None,
    progress: Progress = SILENT,
) -> Cluster:
    """Start the cluster, or what is left of it, and wait until pods can run; return it.

    `nodes`: fake nodes to make if they are missing; None means DEFAULT_NODES, the first time, in
    a cluster without real nodes. `real_nodes`: how many nodes run containers (Linux, root); what a
    cluster is made with it keeps, None is what it has.
    `api_server_args`: further flags of kube-apiserver; None keeps those of the last time, others
    than those restart the cluster. A cluster that runs already is left as it is.
    Raises LocalError with the log's tail when a part does not start; nothing is left running then.
    """
    paths = paths_of(name, state)
    record = records.read(paths.record)
    count = count_for(name, record.real_nodes if record else None, real_nodes)
    if count:
        check_machine(paths.directory)
    tools = tools or ensure_tools(progress)
    real = ensure_real_nodes(Place(paths.nodes), count, progress) if count else None
    with locked(lock_of(paths), progress):
        record = records.read(paths.record)
        if record is not None and _runs(paths, record, api_server_args):
            progress.say(f"the local cluster {name} runs already")
            return _populate(name, paths, record, nodes)
        with progress.during(f"starting the local cluster {name}"):
            record = boot(name, paths, tools, record, api_server_args, real)
            try:
                return _populate(name, paths, record, nodes)
            except BaseException:
                halt(paths, record)
                raise


def down(
    name: str = DEFAULT_NAME,
    *,
    keep_data: bool = False,
    state: Path | None = None,
    progress: Progress = SILENT,
) -> bool:
    """Stop the cluster and wait until its processes have gone; tell whether there was one.

    Everything of it is removed, unless `keep_data`: then the next up finds the same objects,
    certificates and, where they are still free, ports. Raises LocalError with a list if anything
    of real nodes is left, and keeps their disks then.
    """
    paths = paths_of(name, state)
    if not paths.directory.exists():
        return False
    with locked(lock_of(paths), progress):
        record = records.read(paths.record)
        if record is not None:
            with progress.during(f"stopping the local cluster {name}"):
                halt(paths, record)
                if record.real_nodes:
                    ensure_gone(Place(paths.nodes))
        if not keep_data:
            shutil.rmtree(paths.directory)
    # The folders above, if nothing else is in them.
    for folder in (paths.directory.parent, paths.directory.parent.parent):
        with suppress(OSError):
            folder.rmdir()
    return True


def find(name: str = DEFAULT_NAME, *, state: Path | None = None) -> Cluster:
    """Return the cluster. Raises LocalError if it does not run."""
    paths = paths_of(name, state)
    record = records.read(paths.record)
    if record is None or not record.processes:
        raise LocalError(f"the local cluster {name} is not running: kvhelm local up --name {name}")
    dead = [part for part, process in record.processes.items() if not alive(process)]
    if dead:
        raise LocalError(
            f"the local cluster {name} is not running: {', '.join(dead)} died "
            f"(logs: {paths.logs}). "
            f"kvhelm local up --name {name} starts it again with its data."
        )
    return Cluster(name, paths, record.ports, record.processes)


def names(state: Path | None = None) -> list[str]:
    """Return the names of all clusters, running or kept."""
    clusters = (state or state_root()) / "clusters"
    if not clusters.is_dir():
        return []
    return sorted(folder.name for folder in clusters.iterdir() if folder.is_dir())


def add_nodes(cluster: Cluster, nodes: Sequence[Node]) -> None:
    """Make fake nodes and wait until they are Ready.

    Raises LocalError in the API server's words, or when a node of that name exists.
    """
    for node in nodes:
        if not cluster.api.create("/api/v1/nodes", fake.manifest_for(node)):
            raise LocalError(f"there is a node {node.name} already")
    _settle(cluster)


def node_names(cluster: Cluster) -> set[str]:
    """Return the names of all nodes."""
    return {node["metadata"]["name"] for node in _nodes(cluster)}


def environment(cluster: Cluster, path: str) -> dict[str, str]:
    """Return the variables that point kubectl and helm at the cluster; `path` is PATH so far."""
    return {
        "KUBECONFIG": str(cluster.kubeconfig),
        # kubectl remembers an API by host and port, and would take this cluster for a former one.
        "KUBECACHEDIR": str(cluster.paths.client_cache),
        "PATH": f"{cluster.paths.bin}:{path}" if path else str(cluster.paths.bin),
    }


def paths_of(name: str, state: Path | None) -> Paths:
    """Return where a cluster of that name is, or would be. Raises LocalError for no name."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise LocalError(
            f"{name!r} can't be the name of a local cluster: "
            "up to 40 of a-z, 0-9 and -, a letter or digit first and last"
        )
    return Paths((state or state_root()).absolute() / "clusters" / name)


def lock_of(paths: Paths) -> Path:
    """Return the lock file that whoever changes the cluster holds."""
    return paths.directory.with_suffix(".lock")


def _runs(paths: Paths, record: Record, api_server_args: Sequence[str] | None) -> bool:
    """Tell whether the cluster runs, all of it, in the way that is asked for."""
    if api_server_args is not None and tuple(api_server_args) != record.api_server_args:
        return False
    parts = (*PARTS, KEEPER) if record.real_nodes else PARTS
    if not all(part in record.processes and alive(record.processes[part]) for part in parts):
        return False
    return Api(paths.certificates, record.ports.api_server).healthy("/readyz")


def _populate(name: str, paths: Paths, record: Record, nodes: Sequence[Node] | None) -> Cluster:
    """Make the nodes that are missing and wait until pods can run."""
    cluster = Cluster(name, paths, record.ports, record.processes)
    if nodes is None:
        nodes = () if record.populated or record.real_nodes else DEFAULT_NODES
    for node in nodes:
        cluster.api.create("/api/v1/nodes", fake.manifest_for(node))
    _settle(cluster, real=[node.name for node in nodes_of(record.real_nodes)])
    if not record.populated:
        records.write(paths.record, replace(record, populated=True))
    return cluster


def _settle(cluster: Cluster, real: Collection[str] = ()) -> None:
    """Wait until pods can be created and scheduled on every fake node, and on `real` ones."""
    account = "/api/v1/namespaces/default/serviceaccounts/default"

    def settled() -> bool:
        nodes = _nodes(cluster)
        ready = {node["metadata"]["name"] for node in nodes if fake.is_ready(node)}
        awaited = {node["metadata"]["name"] for node in nodes if _is_fake(node)} | set(real)
        return awaited <= ready and cluster.api.get(account) is not None

    wait_until(
        settled,
        _SETTLE,
        cluster.paths,
        cluster.processes,
        "the nodes did not become Ready",
    )


def _nodes(cluster: Cluster) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = cluster.api.get("/api/v1/nodes")["items"]
    return nodes


def _is_fake(node: Mapping[str, Any]) -> bool:
    annotations: Mapping[str, str] = node["metadata"].get("annotations", {})
    return annotations.get("kwok.x-k8s.io/node") == "fake"
