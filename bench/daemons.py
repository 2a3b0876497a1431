"""Daemons that exist in the etcd alone: they write there what a vineyardd writes, as often.

A vineyardd also watches all keys of the etcd, which costs the etcd more than all else (each of
1,000 would be sent what 1,000 write); that is vineyardd's own, and left out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from aetcd import rpc

from kvhelm.metadata.dial import endpoint_in
from kvhelm.metadata.etcd.client import EtcdEndpoint
from kvhelm.metadata.policy import DialPolicy

EVERY = 10.0
"""Seconds between the writes of a daemon: a lock, its timestamp, the lock again (measured)."""

_SESSION = "S0000000000000000"
_CONNECTIONS = 4


@dataclass
class Daemon:
    """One daemon of a pool."""

    prefix: str
    """Of the pool's keys."""
    address: str
    """Of its pod."""
    number: int = 0
    """Its instance number: another one whenever it starts."""


class Daemons:
    """Writes to one etcd."""

    def __init__(self, url: str) -> None:
        policy = DialPolicy.of(allow=["127.0.0.0/8"])
        self._etcds = [
            EtcdEndpoint(endpoint_in(url), policy, timeout=30.0) for _ in range(_CONNECTIONS)
        ]
        self._moments = count(1)
        self.revisions = 0
        """How many were written."""

    async def close(self) -> None:
        """Close the connections."""
        for etcd in self._etcds:
            await etcd.close()

    async def register(self, daemon: Daemon) -> None:
        """Join: everything in one transaction, as a vineyardd does."""
        host, number = daemon.address, daemon.number
        entries = {
            "hostid": str(number + 1),
            "hostname": f'"{host}"',
            "ipc_socket": '"/var/run/vineyard.sock"',
            "member_id": '"1"',
            "nodename": '"node"',
            "rpc_endpoint": f'"{host}:9600"',
            "timestamp": str(next(self._moments)),
        }
        puts = [(f"instances/i{number}/{key}", value) for key, value in entries.items()]
        await self._write(daemon, *puts, ("next_instance_id", str(number + 1)))

    @asynccontextmanager
    async def writing(self, daemons: list[Daemon]) -> AsyncIterator[None]:
        """Let all daemons write as often as living ones do, spread over time, meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            begun = [
                tasks.create_task(self._live(daemon, EVERY * n / len(daemons)))
                for n, daemon in enumerate(daemons)
            ]
            yield
            for task in begun:
                task.cancel()

    async def _live(self, daemon: Daemon, after: float) -> None:
        await asyncio.sleep(after)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            lock = "meta_sync_lock/645fa205821d4410"
            await self._write(daemon, (lock, ""))
            moment = str(next(self._moments))
            await self._write(daemon, (f"instances/i{daemon.number}/timestamp", moment))
            await self._write(daemon, (lock, None))
            due += EVERY
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _write(self, daemon: Daemon, *entries: tuple[str, str | None]) -> None:
        """Put what has a value, delete what has none: one revision."""
        etcd = self._etcds[hash(daemon.prefix) % len(self._etcds)]
        await etcd.transact([], [_operation(daemon.prefix, *entry) for entry in entries])
        self.revisions += 1


def _operation(prefix: str, key: str, value: str | None) -> rpc.RequestOp:
    path = f"{prefix}/{_SESSION}/{key}".encode()
    if value is None:
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=path))
    return rpc.RequestOp(request_put=rpc.PutRequest(key=path, value=value.encode()))
