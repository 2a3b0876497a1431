"""The operator on a local cluster: its own chart for CRD and RBAC, its process on this machine.

A local cluster's nodes run no containers, so the Deployment is installed with no replicas, and
`kvhelm run` is started here, as the ServiceAccount that the chart made and with nothing more.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kvhelm import assets
from kvhelm.errors import LocalError
from kvhelm.local.cluster import Cluster, environment

NAMESPACE = "kvhelm-system"

_TOKEN_LIFE = 30 * 24 * 3600
"""Seconds: a local cluster that someone plays with for longer needs a new `up`."""


def install_operator(
    cluster: Cluster, *, release: str = "kvhelm", namespaces: Sequence[str] = ()
) -> Path:
    """Install the operator's chart; return a kubeconfig (mode 0600) that is its ServiceAccount.

    `namespaces`: those that it may watch, all if empty. Several operators with other releases may
    stand side by side. Raises LocalError with helm's words.
    """
    settings = {
        "replicas": 0,
        "allNamespaces": not namespaces,
        "namespaces": list(namespaces),
        # The first operator brings the CRD, for all.
        "crd": release == "kvhelm",
    }
    done = subprocess.run(
        [
            *(str(cluster.helm), "upgrade", "--install", release, str(assets.deploy_dir())),
            *("--namespace", NAMESPACE, "--create-namespace", "--values", "-"),
        ],
        input=json.dumps(settings),
        env=environment(cluster, os.environ.get("PATH", "")) | {"HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"the operator's chart can't be installed: {done.stderr.strip()}")
    return _write_kubeconfig(cluster, release)


def operator_command(kubeconfig: Path, cluster: Cluster, *options: str) -> list[str]:
    """Return the command line of `kvhelm run` for a local cluster."""
    return [
        *(sys.executable, "-m", "kvhelm", "run"),
        *("--kubeconfig", str(kubeconfig), "--helm", str(cluster.helm)),
        *("--lease-namespace", NAMESPACE, *options),
    ]


def _write_kubeconfig(cluster: Cluster, release: str) -> Path:
    answer_status, answer = cluster.api.request(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{release}/token",
        {"spec": {"expirationSeconds": _TOKEN_LIFE}},
    )
    if answer_status >= 400:
        raise LocalError(f"no token for the operator: {answer.decode()}")
    folder = cluster.paths.directory
    token = folder / f"operator-{release}.token"
    _write_private(token, json.loads(answer)["status"]["token"])
    admin = json.loads(cluster.kubeconfig.read_text())
    admin["users"] = [{"name": release, "user": {"tokenFile": str(token)}}]
    admin["contexts"][0]["context"]["user"] = release
    kubeconfig = folder / f"operator-{release}.kubeconfig"
    _write_private(kubeconfig, json.dumps(admin, indent=2))
    return kubeconfig


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
