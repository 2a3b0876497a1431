"""The operator on a local cluster: its own chart for CRD and RBAC, its process on this machine.

A local cluster's nodes run no containers, so the Deployment is installed with no replicas, and
`kvhelm run` is started here, as the ServiceAccount that the chart made and with nothing more.
The cluster's record knows the process, so that whoever stops the cluster stops it first.
"""

import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvhelm import assets
from kvhelm.errors import LocalError
from kvhelm.local import record as records
from kvhelm.local.cluster import Cluster, environment, lock_of
from kvhelm.local.lock import locked
from kvhelm.local.parts import HOST
from kvhelm.local.processes import alive, spawn, stop
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.record import OperatorProcess

NAMESPACE = "kvhelm-system"
RELEASE = "kvhelm"

# Seconds: a local cluster that someone plays with for longer needs a new `up`.
_TOKEN_LIFE = 30 * 24 * 3600
# Seconds until the operator must be ready, and that it gets to finish what it does.
_READY = 60.0
_GRACE = 15.0
_POLL = 0.05
_TAIL = 20


def ensure_operator(cluster: Cluster, progress: Progress = SILENT) -> OperatorProcess:
    """Return the operator that watches all of the cluster; install and start it unless it runs.

    It outlives this process. One that died, or runs another kvhelm than this one, is replaced.
    Raises LocalError with helm's words, or with the end of the operator's log.
    """
    with locked(lock_of(cluster.paths), progress):
        record = records.read(cluster.paths.record)
        if record is None:
            raise LocalError(f"the local cluster {cluster.name} is not running")
        build = _build()
        found = record.operators.get(RELEASE)
        if found is not None:
            if found.build == build and _is_ready(found):
                progress.say("the operator runs already")
                return found
            stop([found.process], _GRACE)
        with progress.during("installing the operator's chart"):
            kubeconfig = install_operator(cluster)
        log = cluster.paths.log_of("operator")
        offset = log.stat().st_size if log.exists() else 0
        with progress.during("starting the operator"):
            command = operator_command(
                kubeconfig, cluster, "--all-namespaces", "--listen", f"{HOST}:0"
            )
            process = spawn(command, log, _environment(cluster))
            operator = OperatorProcess(process, build)
            records.write(cluster.paths.record, replace(record, operators={RELEASE: operator}))
            operator = _wait_until_ready(operator, log, offset)
            records.write(cluster.paths.record, replace(record, operators={RELEASE: operator}))
        return operator


def install_operator(
    cluster: Cluster, *, release: str = RELEASE, namespaces: Sequence[str] = ()
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
        "crd": release == RELEASE,
    }
    done = subprocess.run(
        [
            *(str(cluster.helm), "upgrade", "--install", release, str(assets.deploy_dir())),
            *("--namespace", NAMESPACE, "--create-namespace", "--values", "-"),
        ],
        input=json.dumps(settings),
        env={**os.environ, **environment(cluster, os.environ.get("PATH", ""))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"the operator's chart can't be installed: {done.stderr.strip()}")
    return operator_kubeconfig(cluster, release)


def operator_kubeconfig(cluster: Cluster, release: str = RELEASE) -> Path:
    """Write and return a kubeconfig (mode 0600) that is the ServiceAccount of that release.

    It holds for 30 days. Raises LocalError when there is no such ServiceAccount.
    """
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


def operator_command(kubeconfig: Path, cluster: Cluster, *options: str) -> list[str]:
    """Return the command line of `kvhelm run` for a local cluster."""
    return [
        *(sys.executable, "-m", "kvhelm", "run"),
        *("--kubeconfig", str(kubeconfig), "--helm", str(cluster.helm)),
        *("--lease-namespace", NAMESPACE, *options),
    ]


def _wait_until_ready(operator: OperatorProcess, log: Path, offset: int) -> OperatorProcess:
    deadline = time.monotonic() + _READY
    while True:
        said = log.read_bytes()[offset:].decode(errors="replace")
        # Port 0 let the system choose: the operator says which it got.
        words = said.partition("HTTP on port ")[2].split(maxsplit=1)
        if words:
            operator = replace(operator, port=int(words[0]))
            if _is_ready(operator):
                return operator
        ended = not alive(operator.process)
        if ended or time.monotonic() > deadline:
            stop([operator.process], _GRACE)
            complaint = "ended" if ended else f"was not ready within {_READY:.0f} s"
            tail = "\n".join(f"  {line}" for line in said.splitlines()[-_TAIL:])
            raise LocalError(f"the operator {complaint}; {log} ends with:\n{tail}")
        time.sleep(_POLL)


def _is_ready(operator: OperatorProcess) -> bool:
    """Tell whether the process is there and its caches are filled."""
    if operator.port is None or not alive(operator.process):
        return False
    connection = http.client.HTTPConnection(HOST, operator.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _build() -> str:
    """Return a digest of the program and its charts: a process of other files is another one."""
    package = Path(__file__).resolve().parents[1]
    folders = {
        package: "*.py",
        assets.chart_dir(): "*",
        assets.deploy_dir(): "*",
    }
    digest = hashlib.sha256()
    for folder, pattern in folders.items():
        for file in sorted(file for file in folder.rglob(pattern) if file.is_file()):
            digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _environment(cluster: Cluster) -> dict[str, str]:
    """Give the operator a home of the cluster's: its helm must leave nothing in the user's."""
    home = cluster.paths.directory / "operator-home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home)}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
