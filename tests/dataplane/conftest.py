"""What a test of the data plane asks for; all of it is stopped at its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kvhelm.metadata.kinds import service_for
from kvhelm.metadata.service import MetadataService
from tests.chart.rendering import render
from tests.dataplane.parts import (
    LOOPBACK,
    Etcd,
    Part,
    Redis,
    Vineyardd,
    etcd_members,
    redis_server,
    vineyardd,
)

StartEtcd = Callable[..., Awaitable[list[Etcd]]]
StartRedis = Callable[..., Awaitable[Redis]]
StartPool = Callable[..., Awaitable[list[Vineyardd]]]
Service = Callable[..., MetadataService]

MEMORY = "16Mi"


@pytest.fixture
def start_etcd(parts: list[Part], tmp_path: Path) -> StartEtcd:
    async def start(members: int = 1, **how: Any) -> list[Etcd]:
        cluster = etcd_members(tmp_path / f"etcd-{len(parts)}", members, **how)
        parts.extend(cluster)
        await asyncio.gather(*(member.serve() for member in cluster))
        return cluster

    return start


@pytest.fixture
def start_redis(parts: list[Part], tmp_path: Path) -> StartRedis:
    async def start(*more: str) -> Redis:
        server = redis_server(tmp_path / f"redis-{len(parts)}", *more)
        parts.append(server)
        await server.serve()
        return server

    return start


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Make services that are closed at the test's end."""
    made: list[MetadataService] = []

    def make(kind: str, *endpoints: str) -> MetadataService:
        made.append(service_for(kind, endpoints, LOOPBACK))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def start_pool(parts: list[Part], tmp_path: Path) -> StartPool:
    """Start the daemons of a pool in order, as its StatefulSet would."""

    async def start(etcd: Sequence[Etcd], prefix: str, daemons: int = 1) -> list[Vineyardd]:
        endpoints = [member.url for member in etcd]
        values = {
            "cache": {"memory": MEMORY},
            "metadata": {"etcd": {"endpoints": endpoints, "prefix": prefix}},
        }
        rendered = render(values)
        home = tmp_path / f"pool-{len(parts)}"
        pool = [vineyardd(home, rendered, f"pool-{n}") for n in range(daemons)]
        parts.extend(pool)
        for daemon in pool:
            await daemon.serve()
        return pool

    return start
