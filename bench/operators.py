"""The operator that is measured: `kvhelm run` as a process, under the RBAC of deploy/."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from bench.scrape import Scrape, difference
from kvhelm.errors import KvhelmError
from kvhelm.local.cluster import Cluster
from kvhelm.local.operator import operator_command
from kvhelm.local.processes import Process, alive, spawn, stop

_START = 60.0
"""Seconds until an operator must have begun to listen."""
_GRACE = 150.0
"""Seconds for its helm processes to end."""
_POLL = 0.02
_QUIET = 1.0
"""Seconds without work after which nothing more is going on."""
_BUSY = 300.0
"""Seconds after which work without end is a fault."""


@dataclass(frozen=True)
class Operator:
    """A running `kvhelm run`."""

    process: Process
    url: str
    log: Path
    spawned: float
    """When, on the event loop's clock."""

    async def scrape(self) -> Scrape:
        """Return its metrics. Raises KvhelmError when it has died."""
        if not alive(self.process):
            raise KvhelmError(f"the operator died (log: {self.log})")
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            return Scrape(await answer.text())

    async def until_settled(self) -> tuple[float, float]:
        """Return when it led with its caches filled, and when its queue was empty after that.

        Both on the event loop's clock.
        """
        loop = asyncio.get_running_loop()
        leading = 0.0
        while loop.time() < self.spawned + _BUSY:
            scrape = await self.scrape()
            if not leading and scrape.value("kvhelm_leader") == 1:
                leading = loop.time()
            if leading and not _busy(scrape):
                return leading, loop.time()
            await asyncio.sleep(_POLL)
        raise KvhelmError(f"the operator does not settle (log: {self.log})")

    async def until_quiet(self) -> Scrape:
        """Return its metrics once it has had nothing to do for a while."""
        before = await self.scrape()
        for _ in range(int(_BUSY / _QUIET)):
            await asyncio.sleep(_QUIET)
            after = await self.scrape()
            if not _busy(after) and not _worked(before, after):
                return after
            before = after
        raise KvhelmError(f"the operator does not come to rest (log: {self.log})")

    @property
    def peak_memory(self) -> int:
        """The most that was resident at a time, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024

    @property
    def memory(self) -> int:
        """What is resident now, in bytes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    async def stop(self) -> None:
        """Send TERM and wait for its end."""
        await asyncio.to_thread(stop, [self.process], _GRACE)


async def start_operator(cluster: Cluster, kubeconfig: Path) -> Operator:
    """Start an operator for all namespaces; return it when it listens, before it is ready."""
    log = cluster.paths.logs / f"operator-{os.urandom(3).hex()}.log"
    options = (
        *("--all-namespaces", "--listen", "127.0.0.1:0"),
        # The pools' etcd is there.
        *("--allow-endpoint", "127.0.0.0/8"),
    )
    loop = asyncio.get_running_loop()
    spawned = loop.time()
    process = spawn(
        operator_command(kubeconfig, cluster, *options),
        log,
        {"PATH": os.environ["PATH"], "HOME": str(cluster.paths.directory)},
    )
    try:
        while alive(process) and loop.time() < spawned + _START:
            # Port 0 lets the system choose; the log says which.
            port = log.read_text().partition("HTTP on port ")[2].split("\n")[0]
            if port.isdigit():
                return Operator(process, f"http://127.0.0.1:{port}", log, spawned)
            await asyncio.sleep(_POLL)
    except BaseException:
        stop([process], grace=1)
        raise
    stop([process], grace=1)
    raise KvhelmError(f"the operator did not start:\n{log.read_text()}")


def _busy(scrape: Scrape) -> bool:
    return any(scrape.value("kvhelm_queue", state=state) for state in ("waiting", "in_flight"))


def _worked(before: Scrape, after: Scrape) -> bool:
    requests = difference(requests_in(before), requests_in(after))
    return any(not what.endswith(" leases") for what in requests)


def requests_in(scrape: Scrape) -> dict[str, int]:
    """Return the controller's requests to the API so far, by verb and resource."""
    return scrape.counts("kvhelm_api_requests_total", "verb", "resource")
