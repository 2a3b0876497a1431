"""What real nodes could leave on this machine, looked for rather than believed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.realnode.cgroups import Cgroups
from kvhelm.local.realnode.plan import Place

_PROC = Path("/proc")
# Seconds that the kernel may take to end what was killed.
_PATIENCE = 15.0
_POLL = 0.05


def ensure_gone(place: Place) -> None:
    """Remove the cgroups of nodes that have ended, and wait until no trace of them is left.

    Raises LocalError that lists what stays: it is not safe to delete the nodes' disks then.
    """
    deadline = time.monotonic() + _PATIENCE
    Cgroups(place.cgroup).remove()
    while found := list(traces(place)):
        if time.monotonic() > deadline:
            lines = "\n".join(f"  {each}" for each in found)
            raise LocalError(f"real nodes have ended, and this is left of them:\n{lines}")
        time.sleep(_POLL)


def traces(place: Place) -> Iterator[str]:
    """Tell what there is of a cluster's real nodes beside their files."""
    for folder in Cgroups(place.cgroup).left():
        yield f"cgroup {folder}"
    for line in (_PROC / "self/mounts").read_text().splitlines():
        if str(place.directory) in line:
            yield f"mount {line}"
    for process in _PROC.iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                groups = (process / "cgroup").read_text()
            except OSError:
                continue  # it ended meanwhile
            # The command line of one that has ended is empty; somebody has yet to reap it.
            if place.cgroup in groups or f"{place.directory}" in command.split():
                yield f"process {process.name} {command[:200]}"
