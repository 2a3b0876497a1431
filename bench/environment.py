"""Where and of what is measured."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import kvhelm
from bench.figures import Environment
from bench.setting import Setting


def environment_of(setting: Setting) -> Environment:
    """Return what the figures of this run depend on."""
    cluster = setting.cluster
    return Environment(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        cores=len(os.sched_getaffinity(0)),
        processor=_processor(),
        kubernetes=str(cluster.api.get("/version")["gitVersion"]),
        helm=_output([str(cluster.helm), "version", "--template", "{{.Version}}"]),
        python=platform.python_version(),
        kvhelm=_version(),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version() -> str:
    """Return kvhelm's version, and the commit where it runs from a checkout."""
    root = Path(__file__).parents[1]
    commit = _output(["git", "-C", str(root), "describe", "--always", "--dirty"])
    return f"{kvhelm.__version__} ({commit})" if commit else kvhelm.__version__


def _output(command: Sequence[str]) -> str:
    """Return what a program prints; nothing if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
