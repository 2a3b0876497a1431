"""The network of a cluster's real nodes: a namespace that this process made and nobody else has.

One thread lives there for ever. What it runs runs there: sockets that it opens, programs that it
starts. The namespace goes when this process does, with every interface in it.
"""

import asyncio
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kvhelm.errors import LocalError
from kvhelm.local.realnode.namespaces import CLONE_NEWNET, leave
from kvhelm.local.realnode.plan import GATEWAY, RealNode

Value = TypeVar("Value")


class Hub:
    """A bridge that the nodes are plugged into, and the way to it."""

    def __init__(self) -> None:
        """Make the namespace. Raises OSError where that is not allowed."""
        # That thread alone: the rest of the process stays where it is.
        self._thread = ThreadPoolExecutor(1, "hub", lambda: leave(CLONE_NEWNET))
        # An initializer that fails breaks the pool; its reason would be lost.
        self.run(_up)

    def run(self, do: Callable[[], Value]) -> Value:
        """Do something in the namespace."""
        return self._thread.submit(do).result()

    def plug(self, node: RealNode, pid: int) -> None:
        """Give the network namespace of process `pid` an eth0 that leads here."""
        port = f"to-{node.name}"
        self.run(lambda: _plug(node, port, pid))

    def unplug(self, node: RealNode) -> None:
        """Take the node's port away, if the end of its namespace has not done so."""
        self.run(lambda: _ip("link", "delete", f"to-{node.name}", check=False))

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens there."""
        return self.run(lambda: socket.create_server((GATEWAY, port)))

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected to an address there. Raises OSError."""
        made = self.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (host, port))
        except BaseException:
            made.close()
            raise
        return made


def _up() -> None:
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "hub", "type", "bridge")
    _ip("address", "add", f"{GATEWAY}/24", "dev", "hub")
    _ip("link", "set", "hub", "up")


def _plug(node: RealNode, port: str, pid: int) -> None:
    _ip("link", "delete", port, check=False)
    _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _ip("link", "set", port, "master", "hub", "up")
    _ip("route", "replace", node.pod_range, "via", node.address, "dev", "hub")


def _ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LocalError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
