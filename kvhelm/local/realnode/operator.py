"""The operator in pods of real nodes, installed with its own chart as users install it."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from kvhelm import assets
from kvhelm.errors import LocalError
from kvhelm.local.cluster import Cluster, environment
from kvhelm.local.operator import NAMESPACE, RELEASE
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode.images import ensure_operator_image
from kvhelm.local.realnode.power import load_image

# Seconds for all replicas to be ready.
_READY = 120


def deploy_operator(
    cluster: Cluster, settings: Mapping[str, Any], progress: Progress = SILENT
) -> None:
    """Install the operator's chart with `settings` (its values), and wait until it is ready.

    Its image is this kvhelm's, loaded into every node. Raises LocalError in helm's words, or
    kubectl's.
    """
    image = ensure_operator_image(progress)
    with progress.during("loading the operator's image into the nodes"):
        load_image(cluster.place, image)
    with progress.during("starting the operator in pods"):
        _run(
            cluster,
            *(str(cluster.helm), "upgrade", "--install", RELEASE, str(assets.deploy_dir())),
            *("--namespace", NAMESPACE, "--create-namespace", "--values", "-"),
            stdin=json.dumps(settings),
        )
        _run(
            cluster,
            *(str(cluster.kubectl), "rollout", "status", f"deployment/{RELEASE}"),
            *("--namespace", NAMESPACE, f"--timeout={_READY}s"),
        )


def _run(cluster: Cluster, *command: str, stdin: str = "") -> None:
    done = subprocess.run(
        command,
        input=stdin,
        env={**os.environ, **environment(cluster, os.environ.get("PATH", ""))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"the operator can't be installed: {done.stderr.strip()}")
