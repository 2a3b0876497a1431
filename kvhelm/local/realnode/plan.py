"""What real nodes are made of: names, addresses, files, configuration. Pure.

Addresses are the same in every cluster: each has a network that nothing else can see.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvhelm.local.nodes import REGION

MOST = 9
"""Nodes of one cluster at most: they share one machine."""

GATEWAY = "10.77.0.1"
"""Where the hub is: the way to the API server, and the nodes' DNS."""

API_PORT = 6443
PROXY_PORT = 3128
# Apart from the services, and from what kwok gives to pods of fake nodes.
POD_RANGE = "10.245.0.0/16"
GPU = "NVIDIA-A10"
"""The product that real nodes say they have, so that the sample pool runs there."""

PAUSE_IMAGE = "kvhelm.local/pause:1"

PRIVATE = ("/run", "/var/lib", "/var/log")
"""What every node has for itself; what lies below on this machine is out of its sight."""

VOLUMES = "/var/lib/kvhelm-volumes"
"""Where persistent volumes are on a node."""

_ZONES = ("local-a", "local-b")
# cgroup v1 hierarchies that a kubelet wants; `systemd` has no controller and counts processes.
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
# And of cgroup v2, where devices and the freezer are no controllers; no more than it needs, since
# they are enabled for the whole machine where they are not yet.
UNIFIED_CONTROLLERS = ("cpu", "memory", "pids")


@dataclass(frozen=True)
class RealNode:
    """One real node; numbers begin at 1."""

    number: int

    @property
    def name(self) -> str:
        """The name of the Node object."""
        return f"node-{self.number}"

    @property
    def address(self) -> str:
        """The node's address in the cluster's own network."""
        return f"10.77.0.{10 + self.number}"

    @property
    def pod_range(self) -> str:
        """The addresses of its pods."""
        return f"10.245.{self.number}.0/24"

    @property
    def labels(self) -> dict[str, str]:
        """What the kubelet says of the node, as a GPU node's would."""
        return {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": GPU,
            "topology.kubernetes.io/region": REGION,
            "topology.kubernetes.io/zone": _ZONES[(self.number - 1) % len(_ZONES)],
        }


@dataclass(frozen=True)
class Place:
    """The folder of all real nodes of one cluster."""

    directory: Path

    @property
    def plan(self) -> Path:
        """What the keeper is to keep."""
        return self.directory / "plan.json"

    @property
    def state(self) -> Path:
        """What the keeper has: the nodes and their first processes."""
        return self.directory / "state.json"

    @property
    def egress(self) -> Path:
        """The socket through which the API server reaches kubelets and pods."""
        return self.directory / "egress.sock"

    @property
    def cgroup(self) -> str:
        """The name of the cgroup that holds all of them: no other cluster's."""
        return f"kvhelm-{hashlib.sha256(bytes(self.directory)).hexdigest()[:12]}"

    def of(self, node: RealNode) -> Path:
        """Return the folder of a node."""
        return self.directory / node.name

    def disk_of(self, node: RealNode, private: str) -> Path:
        """Return the folder of this machine that is a node's `private` one."""
        return self.of(node) / private.strip("/").replace("/", "-")

    def volumes_of(self, node: RealNode) -> Path:
        """Return the folder of this machine that is VOLUMES of a node."""
        return self.disk_of(node, "/var/lib") / Path(VOLUMES).relative_to("/var/lib")

    def stopped(self, node: RealNode) -> Path:
        """Return the file that says that the node shall not run."""
        return self.of(node) / "stopped"


@dataclass(frozen=True)
class Plan:
    """What a keeper is told: which nodes, with which programs."""

    nodes: tuple[RealNode, ...]
    api_server: int  # its port on 127.0.0.1 of this machine
    kubelet: Path
    kube_proxy: Path
    containerd: Path
    ctr: Path
    runc: Path
    cni: Path
    coredns: Path
    corefile: Path
    kubeconfig: Path  # of whoever makes volumes
    environment: dict[str, str]
    images: tuple[Path, ...] = field(default=())


def kubeconfig_for(
    user: str, certificates: Path, host: str = GATEWAY, port: int = API_PORT
) -> dict[str, Any]:
    """Return a kubeconfig; by default it works inside the cluster's network."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "local",
                "cluster": {
                    "server": f"https://{host}:{port}",
                    "tls-server-name": "kubernetes",
                    "certificate-authority": str(certificates / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate": str(certificates / f"{user}.crt"),
                    "client-key": str(certificates / f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    }


def cni_for(node: RealNode) -> dict[str, Any]:
    """Return the network of the node's pods: an address from its range, and a way to the node.

    No bridge between them: what stays on a bridge is hidden from the rules of Services, unless the
    machine has loaded br_netfilter.
    """
    return {
        "cniVersion": "1.0.0",
        "name": "kvhelm",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pod_range}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def containerd_for(runc: Path, cni: Path, configuration: Path) -> str:
    """Return containerd's configuration."""
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, and every sandbox would fail.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{cni}"]
conf_dir = "{configuration / "cni"}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
"""


def kubelet_for(node: RealNode, certificates: Path, resolv_conf: Path) -> dict[str, Any]:
    """Return the kubelet's configuration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "address": node.address,
        "healthzBindAddress": "127.0.0.1",
        "clusterDNS": [GATEWAY],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolv_conf),
        "failSwapOn": False,
        # It may look at the machine's settings, not change them (see box).
        "protectKernelDefaults": True,
        "makeIPTablesUtilChains": False,
        # The machine is not only theirs: the disk of a developer is often full by such measures.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        # It renews its lease four times in that time (seconds).
        "nodeLeaseDurationSeconds": 16,
        # Two nodes of one small machine start many pods at once.
        "registryPullQPS": 0,
        "maxPods": 110,
    }


def proxy_for(node: RealNode, kubeconfig: Path) -> dict[str, Any]:
    """Return kube-proxy's configuration; it leaves the machine's connection tracking alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": node.name,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def corefile_for(kubeconfig: Path) -> str:
    """Return CoreDNS's configuration: the cluster's names, and no others."""
    return f"""\
.:53 {{
  bind {GATEWAY}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig} local
    pods insecure
    ttl 5
  }}
  cache 5
}}
"""
