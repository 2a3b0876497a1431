"""The one process that keeps a cluster's real nodes: they live as long as it does, and no longer.

It makes their network, leads the API server's connections in and out, runs CoreDNS, makes volumes
on the nodes' disks, starts the nodes, and removes their cgroups at the end. SIGHUP has it look
again which nodes shall run.
"""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kvhelm.kube.client import Client
from kvhelm.local.processes import Process, process_of
from kvhelm.local.realnode import box
from kvhelm.local.realnode.cgroups import Cgroups
from kvhelm.local.realnode.forward import serve_api_server, serve_nodes, serve_pulls
from kvhelm.local.realnode.hub import Hub
from kvhelm.local.realnode.plan import API_PORT, PROXY_PORT, Place, Plan, RealNode
from kvhelm.local.realnode.volumes import keep_volumes

# Seconds until a node must have namespaces of its own.
_PATIENCE = 60.0


class NodeFailed(Exception):
    """A node ended before its programs ran; its log says why."""


class Keeper:
    """The nodes of one cluster, and the network between them."""

    def __init__(self, place: Place, plan: Plan) -> None:
        """Keep what the plan says; nothing is started yet."""
        self._place = place
        self._plan = plan
        self._hub = Hub()
        self._nodes: dict[RealNode, asyncio.subprocess.Process] = {}
        self._again = asyncio.Event()

    async def keep(self) -> None:
        """Start everything and keep it until cancelled. Raises NodeFailed, OSError."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._again.set)
        nodes = await serve_nodes(self._hub.listen(API_PORT), self._plan.api_server)
        egress = await serve_api_server(self._place.egress, self._hub)
        addresses = {node.address for node in self._plan.nodes}
        pulls = await serve_pulls(self._hub.listen(PROXY_PORT), addresses)
        async with nodes, egress, pulls, await Client.connect(self._plan.kubeconfig) as client:
            volumes = asyncio.create_task(keep_volumes(client, self._volumes_of))
            dns = self._serve_names()
            try:
                while True:
                    self._again.clear()
                    await self._set_right()
                    await self._again.wait()
            finally:
                volumes.cancel()
                dns.kill()
                dns.wait()

    async def _set_right(self) -> None:
        """Stop the nodes that shall not run, as a power cut does, and start those that shall."""
        for node in self._plan.nodes:
            process = self._nodes.get(node)
            if self._place.stopped(node).exists():
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
                    self._forget(node)
            elif process is None:
                await self._start(node)

    async def _start(self, node: RealNode) -> None:
        folder = self._place.of(node)
        folder.mkdir(exist_ok=True)
        with (folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *box.command(self._place, node),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        if not (process.stdin and process.stdout):
            raise RuntimeError("asyncio opened no pipe")
        try:
            begun = await asyncio.wait_for(process.stdout.readline(), _PATIENCE)
        except TimeoutError:
            raise NodeFailed(f"{node.name} was not there within {_PATIENCE:.0f} s") from None
        if not begun:
            await process.wait()
            raise NodeFailed(f"{node.name} did not start: {_tail(folder / 'log')}")
        self._hub.plug(node, process.pid)
        process.stdin.write(b"plugged\n")
        await process.stdin.drain()
        self._nodes[node] = process
        self._write()
        asyncio.create_task(self._watch(node, process))  # noqa: RUF006 - ends with its process

    async def _watch(self, node: RealNode, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if self._nodes.get(node) is process:
            _say(f"{node.name} ended: {_tail(self._place.of(node) / 'log')}")
            self._forget(node)

    def _forget(self, node: RealNode) -> None:
        if self._nodes.pop(node, None) is not None:
            self._hub.unplug(node)
            Cgroups(self._place.cgroup).remove(node.name)
            self._write()

    def _volumes_of(self, name: str) -> Path | None:
        found = (self._place.volumes_of(node) for node in self._plan.nodes if node.name == name)
        return next(found, None)

    def _write(self) -> None:
        """Say which nodes run."""
        running = {n.name: asdict(process_of(each.pid)) for n, each in self._nodes.items()}
        part = self._place.state.with_suffix(".part")
        part.write_text(json.dumps(running))
        part.replace(self._place.state)

    def _serve_names(self) -> "subprocess.Popen[bytes]":
        log = self._place.directory / "coredns.log"
        with log.open("ab") as output:
            return self._hub.run(
                lambda: subprocess.Popen(
                    [
                        *("setpriv", "--pdeathsig", "KILL", "--"),
                        *(str(self._plan.coredns), "-conf", str(self._plan.corefile)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )


def running_nodes(place: Place) -> dict[str, Process]:
    """Return the processes that keep the nodes which run, by node."""
    try:
        state = json.loads(place.state.read_bytes())
    except FileNotFoundError:
        return {}
    return {name: Process(**process) for name, process in state.items()}


def _sweep_after_death(place: Place) -> None:
    """Leave a small process that removes the cgroups once this one has ended, however it ends."""
    keeper = os.pidfd_open(os.getpid())
    if os.fork():
        os.close(keeper)
        return
    os.setsid()
    # A pidfd can be read once its process has ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    select.select([keeper], [], [])
    Cgroups(place.cgroup).remove()
    os._exit(0)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return "\n".join(lines[-5:]) if lines else "it said nothing"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Keep the nodes of the folder that the only argument names, until a signal ends this.

    No signal needs an answer but SIGHUP: what the nodes are goes with this process, and another
    one, which waits for that, removes their cgroups.
    """
    place = Place(Path(sys.argv[1]))
    _sweep_after_death(place)
    plan = box.read_plan(place)
    place.egress.unlink(missing_ok=True)
    try:
        asyncio.run(Keeper(place, plan).keep())
    except (NodeFailed, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
