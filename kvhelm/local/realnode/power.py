"""What is done to single nodes: off as in a power cut, on again, a look inside, an image loaded."""

import signal
import subprocess
import time
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.processes import Process, alive, send
from kvhelm.local.realnode.box import import_command, read_plan
from kvhelm.local.realnode.keeper import running_nodes
from kvhelm.local.realnode.plan import Place, RealNode

# Seconds for a node to go, or to have its first process.
_PATIENCE = 60.0
_POLL = 0.05
_NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


def switch_off(place: Place, keeper: Process, node: RealNode) -> None:
    """End every process of the node at once, and wait until they have gone."""
    place.stopped(node).touch()
    _switch(place, keeper, node, running=False)


def switch_on(place: Place, keeper: Process, node: RealNode) -> None:
    """Start the node with the disk that it had, and wait until its first process runs."""
    place.stopped(node).unlink(missing_ok=True)
    _switch(place, keeper, node, running=True)


def inside(place: Place, node: RealNode) -> list[str]:
    """Return a command line to which a command is added that shall run on the node.

    Raises LocalError if the node is off.
    """
    found = running_nodes(place).get(node.name)
    if found is None or not alive(found):
        raise LocalError(f"{node.name} is off")
    children = [
        stat.parent.name
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _parent(stat) == str(found.pid)
    ]
    if not children:
        raise LocalError(f"{node.name} is off")
    return ["nsenter", "--target", children[0], *_NAMESPACES, "--"]


def load_image(place: Place, archive: Path) -> None:
    """Load an image into every node that is on. Raises LocalError in ctr's words."""
    plan = read_plan(place)
    running = running_nodes(place)
    command = import_command(plan, archive)
    loading = {
        node: subprocess.Popen(
            [*inside(place, node), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in plan.nodes
        if node.name in running
    }
    said = {node: process.communicate()[1] for node, process in loading.items()}
    for node, process in loading.items():
        if process.returncode:
            reason = _reason(process.returncode, said[node], place.of(node))
            raise LocalError(f"{archive} can't be loaded into {node.name}: {reason}")


def _reason(code: int, said: str, folder: Path) -> str:
    """Tell why ctr failed. One that is killed says nothing, and warnings are no reason."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"{name} ended it, as it does all on a node that goes off (log: {folder / 'log'})"
    reasons = [line for line in said.splitlines() if "level=warning" not in line]
    return "\n".join(reasons) or f"ctr ended with {code}"


def _switch(place: Place, keeper: Process, node: RealNode, *, running: bool) -> None:
    if not send(keeper, signal.SIGHUP):
        raise LocalError("nobody keeps the nodes: start the cluster again (kvhelm local up)")
    deadline = time.monotonic() + _PATIENCE
    while (node.name in running_nodes(place)) != running:
        if time.monotonic() > deadline or not alive(keeper):
            raise LocalError(f"{node.name} was not switched {'on' if running else 'off'}")
        time.sleep(_POLL)


def _parent(stat: Path) -> str:
    try:
        # proc(5): the name in brackets may hold anything; the parent is field 4.
        return stat.read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""
