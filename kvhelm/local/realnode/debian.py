"""Programs out of Debian packages, unpacked into kvhelm's cache: nothing is installed."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.lock import locked
from kvhelm.local.places import cache_root
from kvhelm.local.progress import Progress

_TIMEOUT = 600.0
"""Seconds for apt-get to find and download a few small packages."""


@dataclass(frozen=True)
class System:
    """Programs, and the shared libraries that they need where this machine lacks them."""

    paths: tuple[Path, ...]
    libraries: tuple[Path, ...]

    def which(self, name: str) -> Path:
        """Return the program of that name, from PATH before any other. Raises LocalError."""
        own = ":".join(map(str, self.paths))
        found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{own}")
        if found is None:
            raise LocalError(f"no Debian package brought {name}: install it")
        return Path(found)


def ensure_programs(packages: dict[str, str], progress: Progress) -> System:
    """Return a system that has every program of `packages` ({program: Debian package}).

    What is on PATH is taken from there; the packages of the rest are downloaded with apt-get,
    with what they depend on as far as this machine lacks it. Needs root only as apt-get does.
    Raises LocalError naming the packages to install, where apt-get can't be asked.
    """
    missing = sorted({package for name, package in packages.items() if not shutil.which(name)})
    if not missing:
        return System((), ())
    root = cache_root() / "tools" / "debian" / "+".join(missing)
    if not root.exists():
        with locked(root.with_suffix(".lock"), progress):
            if not root.exists():
                with progress.during(f"unpacking {', '.join(missing)} from Debian packages"):
                    _unpack(missing, root)
    return System(
        tuple(folder for part in ("usr/sbin", "usr/bin") if (folder := root / part).is_dir()),
        tuple({file.parent for file in sorted(root.rglob("*.so.*"))}),
    )


def _unpack(packages: list[str], root: Path) -> None:
    remedy = f"install {' and '.join(packages)} (apt-get install {' '.join(packages)})"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise LocalError(f"this machine has no apt-get that could fetch programs: {remedy}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".part-") as folder:
        work = Path(folder)
        archives = work / "archives"
        (archives / "partial").mkdir(parents=True)
        (work / "lists" / "partial").mkdir(parents=True)
        download = (
            *("-y", "install", "--download-only", "--no-install-recommends"),
            *("-o", f"Dir::Cache::archives={archives}", *packages),
        )
        done = _apt(*download)
        if done.returncode:
            # The machine's own package lists are left as they are, however old.
            lists = ("-o", f"Dir::State::lists={work / 'lists'}")
            if (updated := _apt("update", *lists)).returncode:
                raise LocalError(f"apt-get update failed: {_last(updated)}; {remedy}")
            done = _apt(*download, *lists)
        if done.returncode:
            raise LocalError(f"apt-get can't fetch {' '.join(packages)}: {_last(done)}; {remedy}")
        unpacked = work / "root"
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", archive, unpacked], check=True)
        unpacked.rename(root)


def _apt(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # Downloading alone changes nothing that another apt-get could disturb.
    command = ["apt-get", "-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def _last(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
