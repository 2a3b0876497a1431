"""The cgroups of one cluster's nodes, one folder in every hierarchy; no other is touched."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
# Seconds until the kernel has let the last process of a dead node go.
_PATIENCE = 10.0
_POLL = 0.05


@dataclass(frozen=True)
class Cgroups:
    """All cgroups below one name, in each hierarchy of this machine (cgroup v1)."""

    name: str

    def make(self, node: str) -> list[Path]:
        """Make a node's cgroups; return the files that a process joins them through."""
        joins = []
        for hierarchy in hierarchies():
            above = hierarchy
            for part in (self.name, node):
                folder = above / part
                folder.mkdir(exist_ok=True)
                # A new cpuset is empty, and no process may join it like that.
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    if (above / setting).exists():
                        (folder / setting).write_text((above / setting).read_text())
                above = folder
            joins.append(above / "cgroup.procs")
        return joins

    def remove(self, node: str = "") -> list[Path]:
        """Remove the cgroups of a node, or all, once they are empty; return those that stay."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            for top in self._tops(node):
                for folder, _, _ in os.walk(top, topdown=False):
                    try:
                        Path(folder).rmdir()
                    except OSError:
                        break  # busy: so is all above it
            left = self._tops(node)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(_POLL)

    def left(self) -> list[Path]:
        """Return the cgroups that there are, by hierarchy."""
        return self._tops("")

    def _tops(self, node: str) -> list[Path]:
        found = [hierarchy / self.name / node for hierarchy in hierarchies()]
        return [folder for folder in found if folder.is_dir()]


def hierarchies() -> list[Path]:
    """Return where this machine's cgroup v1 hierarchies are mounted."""
    lines = (line.split() for line in _MOUNTS.read_text().splitlines())
    return sorted({Path(fields[1]) for fields in lines if fields[2] == "cgroup"})


def controllers() -> set[str]:
    """Return the controllers that this machine has mounted as cgroup v1."""
    lines = (line.split() for line in _MOUNTS.read_text().splitlines())
    return {option for line in lines if line[2] == "cgroup" for option in line[3].split(",")}
