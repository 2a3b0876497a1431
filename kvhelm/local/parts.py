"""What a local cluster is made of: its files, its ports, and each part's command line. Pure."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kvhelm.local.certificates import Certificates
from kvhelm.local.tools import Tools

HOST = "127.0.0.1"
# Apart from each other and from what fake pods get; nothing is routed to any of them.
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
POD_RANGE = "10.244.0.0/16"

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
KWOK = "kwok"
PARTS = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)

# By default these clients send 20 to 50 requests a second, and 200 pools at once would measure
# those limits. The API server's own priority and fairness still applies.
_UNTHROTTLED = ("--kube-api-qps=5000", "--kube-api-burst=10000")


@dataclass(frozen=True)
class Ports:
    """Where the parts of one cluster listen, on 127.0.0.1 only; kwok listens nowhere."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int

    @property
    def all(self) -> tuple[int, ...]:
        """Every port, in the order of the fields."""
        return tuple(asdict(self).values())

    def of(self, part: str) -> int | None:
        """Return the port that a part serves at, None for one that does not."""
        return {
            ETCD: self.etcd,
            API_SERVER: self.api_server,
            CONTROLLER_MANAGER: self.controller_manager,
            SCHEDULER: self.scheduler,
        }.get(part)


@dataclass(frozen=True)
class Paths:
    """The files of one cluster, all of them in one folder."""

    directory: Path

    @property
    def certificates(self) -> Certificates:
        """Authorities, certificates and keys."""
        return Certificates(self.directory / "certificates")

    @property
    def etcd_data(self) -> Path:
        """The folder of etcd's data: every object of the cluster."""
        return self.directory / "etcd"

    @property
    def logs(self) -> Path:
        """The folder of logs."""
        return self.directory / "logs"

    @property
    def bin(self) -> Path:
        """The folder of links to kubectl and helm, for PATH."""
        return self.directory / "bin"

    @property
    def nodes(self) -> Path:
        """The folder of the real nodes."""
        return self.directory / "nodes"

    @property
    def client_cache(self) -> Path:
        """What kubectl and helm remember of the API ($KUBECACHEDIR)."""
        return self.directory / "client-cache"

    @property
    def record(self) -> Path:
        """The file that says what runs where."""
        return self.directory / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    def kubeconfig_of(self, part: str) -> Path:
        """Return the kubeconfig of a part."""
        return self.directory / f"{part}.kubeconfig"

    def log_of(self, part: str) -> Path:
        """Return the log of a part."""
        return self.logs / f"{part}.log"


def server_url(ports: Ports) -> str:
    """Return the URL of the API server."""
    return f"https://{HOST}:{ports.api_server}"


def kubeconfig_for(user: str, cluster: str, ports: Ports, certificates: Certificates) -> str:
    """Return a kubeconfig for one client identity; it names files, so that it holds no key."""
    context = f"kvhelm-{cluster}"
    server = {
        "server": server_url(ports),
        "certificate-authority": str(certificates.certificate("ca")),
    }
    identity = {
        "client-certificate": str(certificates.certificate(user)),
        "client-key": str(certificates.key(user)),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": server}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "current-context": context,
    }
    return json.dumps(config, indent=2) + "\n"


def commands(
    tools: Tools, paths: Paths, ports: Ports, api_server_args: tuple[str, ...]
) -> dict[str, list[str | Path]]:
    """Return each part's command line, in the order to start them."""
    return {
        ETCD: _etcd(tools, paths, ports),
        API_SERVER: [*_api_server(tools, paths, ports), *api_server_args],
        CONTROLLER_MANAGER: _controller_manager(tools, paths, ports),
        SCHEDULER: _scheduler(tools, paths, ports),
        KWOK: _kwok(tools, paths),
    }


def _etcd(tools: Tools, paths: Paths, ports: Ports) -> list[str | Path]:
    crt, key = paths.certificates.certificate, paths.certificates.key
    clients = f"https://{HOST}:{ports.etcd}"
    peers = f"https://{HOST}:{ports.etcd_peer}"
    return [
        tools.etcd,
        "--name=kvhelm",
        f"--data-dir={paths.etcd_data}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        # The data keeps the first peer URL; a later port of this single member does not matter.
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=kvhelm={peers}",
        "--client-cert-auth",
        f"--trusted-ca-file={crt('etcd-ca')}",
        f"--cert-file={crt('etcd')}",
        f"--key-file={key('etcd')}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={crt('etcd-ca')}",
        f"--peer-cert-file={crt('etcd')}",
        f"--peer-key-file={key('etcd')}",
        # A crash of the machine may cost this cluster; waiting for the disk costs every write.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(tools: Tools, paths: Paths, ports: Ports) -> list[str | Path]:
    crt, key = paths.certificates.certificate, paths.certificates.key
    return [
        tools.kube_apiserver,
        f"--etcd-servers=https://{HOST}:{ports.etcd}",
        f"--etcd-cafile={crt('etcd-ca')}",
        f"--etcd-certfile={crt('etcd-client')}",
        f"--etcd-keyfile={key('etcd-client')}",
        f"--bind-address={HOST}",
        f"--secure-port={ports.api_server}",
        f"--advertise-address={HOST}",
        # The Service `kubernetes` can't have a loopback address as endpoint, and no pod runs.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={crt('apiserver')}",
        f"--tls-private-key-file={key('apiserver')}",
        f"--client-ca-file={crt('ca')}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={paths.certificates.service_account_public_key}",
        f"--service-account-signing-key-file={key('service-account')}",
        "--allow-privileged=true",
    ]


def _controller_manager(tools: Tools, paths: Paths, ports: Ports) -> list[str | Path]:
    return [
        tools.kube_controller_manager,
        *_serving(paths, ports.controller_manager),
        f"--kubeconfig={paths.kubeconfig_of(CONTROLLER_MANAGER)}",
        # One ServiceAccount a controller, as in real clusters: this identity alone may do little.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={paths.certificates.key('service-account')}",
        f"--root-ca-file={paths.certificates.certificate('ca')}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--controllers=*,-nodeipam",
        # Who tries an autoscaler here doesn't want to wait 15 s for its first look.
        "--horizontal-pod-autoscaler-sync-period=2s",
        "--leader-elect=false",
        *_UNTHROTTLED,
    ]


def _scheduler(tools: Tools, paths: Paths, ports: Ports) -> list[str | Path]:
    return [
        tools.kube_scheduler,
        *_serving(paths, ports.scheduler),
        f"--kubeconfig={paths.kubeconfig_of(SCHEDULER)}",
        "--leader-elect=false",
        *_UNTHROTTLED,
    ]


def _serving(paths: Paths, port: int) -> tuple[str, ...]:
    """Health and metrics: for holders of the cluster's certificates, its administrator for all."""
    return (
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={paths.certificates.certificate('apiserver')}",
        f"--tls-private-key-file={paths.certificates.key('apiserver')}",
        f"--client-ca-file={paths.certificates.certificate('ca')}",
        "--authentication-skip-lookup=true",
    )


def _kwok(tools: Tools, paths: Paths) -> list[str | Path]:
    # Without a node port or a server address it listens nowhere. It has no client-side limits.
    return [
        tools.kwok,
        f"--kubeconfig={paths.kubeconfig_of(KWOK)}",
        f"--config={tools.kwok_stages}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        f"--node-ip={HOST}",
        f"--cidr={POD_RANGE}",
    ]
