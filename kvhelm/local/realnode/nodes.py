"""The real nodes of a cluster as its start sees them: identities, flags, files, objects."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kvhelm.errors import LocalError
from kvhelm.local.api import Api
from kvhelm.local.certificates import Identity
from kvhelm.local.parts import HOST
from kvhelm.local.progress import Progress
from kvhelm.local.realnode import volumes
from kvhelm.local.realnode.images import ensure_node_images
from kvhelm.local.realnode.plan import (
    API_PORT,
    GATEWAY,
    MOST,
    Place,
    Plan,
    RealNode,
    corefile_for,
    kubeconfig_for,
)
from kvhelm.local.realnode.programs import Programs, ensure_node_programs

KEEPER = "nodes"
"""The name of the process that keeps them, among a cluster's parts."""

_RBAC = "rbac.authorization.k8s.io/v1"
# A Unix socket's path holds no more bytes.
_LONGEST_PATH = 107

# What the cluster's own parts may do, by user.
_RULES: dict[str, list[dict[str, list[str]]]] = {
    "kvhelm:coredns": [
        {
            "apiGroups": [""],
            "resources": ["services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ],
    volumes.USER: volumes.RULES,
}
# Where pods find the API server: the hub leads them to this machine's 127.0.0.1.
API_ENDPOINT = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
    "addressType": "IPv4",
    "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP"}],
    "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
}


@dataclass(frozen=True)
class RealNodes:
    """The real nodes that a cluster shall have."""

    place: Place
    count: int
    programs: Programs
    images: tuple[Path, ...]

    @property
    def all(self) -> tuple[RealNode, ...]:
        """The nodes."""
        return nodes_of(self.count)

    @property
    def api_server_flags(self) -> list[str]:
        """How the API server reaches kubelets, and who it is to them."""
        certificates = self.place.directory.parent / "certificates"
        return [
            f"--egress-selector-config-file={self.place.directory / 'egress.json'}",
            f"--kubelet-client-certificate={certificates / 'kubelet-client.crt'}",
            f"--kubelet-client-key={certificates / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    @property
    def controller_manager_flags(self) -> list[str]:
        """Who cuts a node's power here doesn't want to wait 40 s until it is missed."""
        return ["--node-monitor-grace-period=20s"]

    @property
    def keeper(self) -> list[str | Path]:
        """The command line of the process that keeps them."""
        return [sys.executable, "-m", "kvhelm.local.realnode.keeper", self.place.directory]

    def write(self, api_server: int) -> None:
        """Write what the keeper and the API server read; `api_server` is its port."""
        if len(bytes(self.place.egress)) > _LONGEST_PATH:
            raise LocalError(
                f"{self.place.egress} is too long for a socket: choose a shorter $KVHELM_STATE"
            )
        directory = self.place.directory
        certificates = directory.parent / "certificates"
        directory.mkdir(mode=0o700, exist_ok=True)
        coredns = directory / "coredns.kubeconfig"
        corefile = directory / "Corefile"
        kubeconfig = directory / "volumes.kubeconfig"
        coredns.write_text(json.dumps(kubeconfig_for("coredns", certificates)))
        kubeconfig.write_text(json.dumps(kubeconfig_for("volumes", certificates, HOST, api_server)))
        corefile.write_text(corefile_for(coredns))
        (directory / "egress.json").write_text(json.dumps(_egress_for(self.place.egress)))
        programs = self.programs
        plan = Plan(
            nodes=self.all,
            api_server=api_server,
            kubelet=programs.kubelet,
            kube_proxy=programs.kube_proxy,
            containerd=programs.containerd,
            ctr=programs.ctr,
            runc=programs.runc,
            cni=programs.cni,
            coredns=programs.coredns,
            corefile=corefile,
            kubeconfig=kubeconfig,
            environment=programs.environment(),
            images=self.images,
        )
        self.place.plan.write_bytes(TypeAdapter(Plan).dump_json(plan, indent=2))


def ensure_real_nodes(place: Place, count: int, progress: Progress) -> RealNodes:
    """Return what a cluster with so many real nodes starts them with. Raises LocalError."""
    return RealNodes(place, count, ensure_node_programs(progress), ensure_node_images(progress))


def count_for(name: str, has: int | None, asked: int | None) -> int:
    """Return how many real nodes the cluster is to have; `has` is None for a new one.

    Raises LocalError if it has others.
    """
    if asked is not None and not 0 <= asked <= MOST:
        raise LocalError(f"{asked} real nodes: a local cluster has {MOST} at most")
    if has is None or asked in (None, has):
        return (asked if has is None else has) or 0
    raise LocalError(
        f"the local cluster {name} has {has} real nodes, and keeps what it was made with: "
        f"kvhelm local down --name {name} first"
    )


def nodes_of(count: int) -> tuple[RealNode, ...]:
    """Return the real nodes of a cluster that has that many."""
    return tuple(RealNode(number) for number in range(1, count + 1))


def identities_for(nodes: Sequence[RealNode]) -> dict[str, Identity]:
    """Return who the nodes' programs are to the API server, and who that is to kubelets."""
    if not nodes:
        return {}
    return {
        **{n.name: Identity(f"system:node:{n.name}", ("system:nodes",)) for n in nodes},
        "kube-proxy": Identity("system:kube-proxy"),
        "coredns": Identity("kvhelm:coredns"),
        "volumes": Identity(volumes.USER),
        "kubelet-client": Identity("kvhelm:kubelet-client", ("system:masters",)),
    }


def ensure_objects(api: Api) -> None:
    """Make what real nodes need in the API: names for pods, volumes, the way to the API server."""
    rbac = f"/apis/{_RBAC}"
    for user, rules in _RULES.items():
        role = {"kind": "ClusterRole", "metadata": {"name": user}, "rules": rules}
        api.create(f"{rbac}/clusterroles", {"apiVersion": _RBAC, **role})
        api.create(f"{rbac}/clusterrolebindings", _binding_for(user))
    api.create("/apis/storage.k8s.io/v1/storageclasses", volumes.STORAGE_CLASS)
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    api.create(slices, API_ENDPOINT)


def _binding_for(user: str) -> dict[str, Any]:
    """Return what binds a user to the ClusterRole of its name."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": _RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def _egress_for(socket: Path) -> dict[str, Any]:
    connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(socket)}}}
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }
