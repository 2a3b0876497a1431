"""The cgroups of one cluster's nodes, one folder in every hierarchy; no other is touched.

Machines have either a hierarchy for each controller (cgroup v1) or one for all of them (v2). In the
second kind a cgroup has processes or passes controllers on, not both; so a node's own processes
are in a leaf beside its pods.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from kvhelm.local.realnode.namespaces import CLONE_NEWCGROUP, leave
from kvhelm.local.realnode.plan import CONTROLLERS, UNIFIED_CONTROLLERS

_MOUNTS = Path("/proc/self/mounts")
# Of a node of cgroup v2: where its own processes are.
_LEAF = "system"
# Seconds until the kernel has let the last process of a dead node go.
_PATIENCE = 10.0
_POLL = 0.05


@dataclass(frozen=True)
class Cgroups:
    """All cgroups below one name, in each hierarchy of this machine."""

    name: str

    def enter(self, node: str) -> None:
        """Make a node's cgroups and join them; to this process and its children they are the root.

        Raises OSError where that is not allowed.
        """
        unified = is_unified()
        folders = [self._make(hierarchy, node, unified) for hierarchy in hierarchies()]
        for folder in folders:
            _join(folder)
        leave(CLONE_NEWCGROUP)
        if unified:
            for folder in folders:
                (folder / _LEAF).mkdir(exist_ok=True)
                _join(folder / _LEAF)

    def _make(self, hierarchy: Path, node: str, unified: bool) -> Path:
        above = hierarchy
        for part in (self.name, node):
            folder = above / part
            if unified:
                _pass_on(above)
            folder.mkdir(exist_ok=True)
            # A new cpuset of v1 is empty, and no process may join it like that.
            for setting in () if unified else ("cpuset.cpus", "cpuset.mems"):
                if (above / setting).exists():
                    (folder / setting).write_text((above / setting).read_text())
            above = folder
        return above

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


def is_unified() -> bool:
    """Tell whether this machine's controllers are in one hierarchy (cgroup v2)."""
    return not _mounts("cgroup")


def hierarchies() -> list[Path]:
    """Return where this machine's hierarchies are mounted: those of v1, or the one of v2."""
    mounts = _mounts("cgroup")
    if mounts:
        return sorted({path for path, _ in mounts})
    return [path for path, _ in _mounts("cgroup2")[:1]]


def controllers() -> set[str]:
    """Return the controllers that this machine has, as v1 or v2 name them."""
    if not is_unified():
        return {option for _, options in _mounts("cgroup") for option in options}
    found = (hierarchy / "cgroup.controllers" for hierarchy in hierarchies())
    return {name for file in found for name in file.read_text().split()}


def wanted() -> set[str]:
    """Return the controllers that nodes need, as v1 or v2 name them."""
    return set(UNIFIED_CONTROLLERS) if is_unified() else {*CONTROLLERS, "name=systemd"}


def passes_on(folder: Path) -> bool:
    """Tell whether cgroups below can have the controllers that nodes need (v2).

    Not where processes are, as in a container that has not moved its own elsewhere; but the root
    of all, which has no events, may have both.
    """
    return (
        not _kept_back(folder)
        or not (folder / "cgroup.events").exists()
        or not (folder / "cgroup.procs").read_text()
    )


def _pass_on(folder: Path) -> None:
    if kept_back := _kept_back(folder):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in kept_back))


def _kept_back(folder: Path) -> list[str]:
    passed_on = (folder / "cgroup.subtree_control").read_text().split()
    return [name for name in UNIFIED_CONTROLLERS if name not in passed_on]


def _join(folder: Path) -> None:
    (folder / "cgroup.procs").write_text(str(os.getpid()))


def _mounts(kind: str) -> list[tuple[Path, list[str]]]:
    lines = (line.split() for line in _MOUNTS.read_text().splitlines())
    return [(Path(at), options.split(",")) for _, at, found, options, *_ in lines if found == kind]
