"""What is wrong with a metadata service, broken by hand, shows in the conditions of a pool."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aetcd import rpc

from kvhelm.local.certificates import ensure_certificates
from kvhelm.metadata.etcd.preflight import MANY_REVISIONS
from kvhelm.metadata.findings import Reason
from tests.cluster.stories import Stories, condition
from tests.dataplane.parts import Etcd, Part, etcd_members, free_port, redis_server
from tests.dataplane.test_etcd_preflight import tls_etcd

Service = dict[str, Any]


class Broken:
    """Makes services that are broken in one way each; they end with the test."""

    def __init__(self, folder: Path, parts: list[Part]) -> None:
        self._folder, self._parts = folder, parts
        self.listeners: list[socket.socket] = []

    async def etcd(self, members: int = 1, **how: Any) -> list[Etcd]:
        cluster = etcd_members(self._folder / f"etcd-{len(self._parts)}", members, **how)
        self._parts.extend(cluster)
        await asyncio.gather(*(member.serve() for member in cluster))
        return cluster

    async def at_etcd(self, members: int = 1, **how: Any) -> Service:
        return at(*(member.url for member in await self.etcd(members, **how)))

    async def redis(self, *settings: str) -> Service:
        server = redis_server(self._folder / f"redis-{len(self._parts)}", *settings)
        self._parts.append(server)
        await server.serve()
        return {"redis": {"endpoint": server.url}}

    async def advertising(self, url: str) -> Service:
        return await self.at_etcd(advertise=[url])

    async def loopback(self) -> Service:
        (etcd,) = await self.etcd(advertise=["http://localhost:2379"])
        return at(f"http://127.0.0.2:{etcd.port}")

    async def elsewhere(self) -> Service:
        (other,) = await self.etcd()
        return await self.advertising(other.url)

    async def mute(self) -> Service:
        self.listeners.append(socket.create_server(("127.0.0.1", 0)))
        return at(f"http://127.0.0.1:{self.listeners[-1].getsockname()[1]}")

    async def secure(self) -> Service:
        files = ensure_certificates(self._folder / "tls", "10.0.0.1")
        etcd = tls_etcd(self._folder, files.certificate("etcd"), files.key("etcd"))
        self._parts.append(etcd)
        etcd.start()
        return at(etcd.url)

    async def guarded(self) -> Service:
        (etcd,) = await self.etcd()
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            auth = rpc.AuthStub(channel)
            await auth.UserAdd(rpc.AuthUserAddRequest(name="root", password="secret"))
            await auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
            await auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
            await auth.AuthEnable(rpc.AuthEnableRequest())
        return at(etcd.url)

    async def leaderless(self) -> Service:
        cluster = await self.etcd(3)
        cluster[0].kill()
        cluster[1].kill()
        return at(cluster[2].url)

    async def two_clusters(self) -> Service:
        one, other = await self.etcd(), await self.etcd()
        return at(one[0].url, other[0].url)

    async def full(self) -> Service:
        (etcd,) = await self.etcd(more=["--quota-backend-bytes=200000"])
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            with pytest.raises(rpc.AioRpcError):
                while True:
                    await rpc.KVStub(channel).Put(rpc.PutRequest(key=b"/f", value=bytes(20_000)))
        return at(etcd.url)

    async def never_compacted(self) -> Service:
        (etcd,) = await self.etcd()
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            put, kv = rpc.PutRequest(key=b"/busy", value=b""), rpc.KVStub(channel)
            for _ in range(MANY_REVISIONS // 200):
                await asyncio.gather(*(kv.Put(put) for _ in range(200)))
        return at(etcd.url)

    async def one_of_three_down(self) -> Service:
        cluster = await self.etcd(3)
        cluster[0].kill()
        return at(*(member.url for member in cluster))

    async def with_keys_of_somebody(self) -> Service:
        (etcd,) = await self.etcd()
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            await rpc.KVStub(channel).Put(rpc.PutRequest(key=b"/team/pool/left", value=b"over"))
        return {"etcd": {"endpoints": [etcd.url], "prefix": "/team/pool"}}

    async def an_etcd_as_redis(self) -> Service:
        (etcd,) = await self.etcd()
        return {"redis": {"endpoint": etcd.url.replace("http", "redis")}}


def at(*urls: str) -> Service:
    return {"etcd": {"endpoints": list(urls)}}


async def said(service: Service) -> Service:
    return service


Break = Callable[[Broken], Awaitable[Service]]

BLOCKS: dict[str, Break] = {
    "DialNotAllowed": lambda _: said(at("http://169.254.169.254:80")),
    "Unreachable": lambda _: said(at(f"http://127.0.0.1:{free_port()}")),
    "Stalled": Broken.mute,
    "TlsRequired": Broken.secure,
    "AuthRequired": Broken.guarded,
    "NoLeader": Broken.leaderless,
    "MembersDisagree": Broken.two_clusters,
    "AdvertisedUnreachable": lambda it: it.advertising(f"http://127.0.0.1:{free_port()}"),
    "AdvertisedLoopback": Broken.loopback,
    "AdvertisedTls": lambda it: it.advertising("https://127.0.0.1:2379"),
    "AdvertisedElsewhere": Broken.elsewhere,
    "NoSpace": Broken.full,
    "NotRedis": Broken.an_etcd_as_redis,
    "NotPrimary": lambda it: it.redis("--replicaof", "127.0.0.1 1"),
    "EvictionOn": lambda it: it.redis("--maxmemory-policy", "allkeys-lru"),
    "ClusterMode": lambda it: it.redis("--cluster-enabled", "yes"),
    "PrefixForeignKeys": Broken.with_keys_of_somebody,
}
WARNS: dict[str, Break] = {
    "EndpointDown": Broken.one_of_three_down,
    "MemberDown": Broken.one_of_three_down,
    "AutoCompactionOff": Broken.never_compacted,
}


ELSEWHERE = {
    # test_metadata_service
    "NotEtcd",
    "PrefixTaken",
    "PrefixOverlaps",
    # tests/dataplane: together with NoSpace, which outweighs it.
    "QuotaNearlyUsed",
    # tests/unit: no real part here can be broken like that.
    "VersionTooOld",
    "Unhealthy",
    "AdvertisedNothing",
    "Corrupt",
    "Loading",
}


def test_every_finding_is_brought_about_somewhere() -> None:
    tried = {*BLOCKS, *WARNS}
    assert tried | ELSEWHERE == {reason.value for reason in Reason}
    assert not tried & ELSEWHERE
    assert {reason.value for reason in Reason if not reason.blocks} <= {*WARNS, *ELSEWHERE}


@pytest.fixture
def parts() -> Iterator[list[Part]]:
    """Asked for before `stories`, the services outlive their pools."""
    running: list[Part] = []
    yield running
    for part in reversed(running):
        part.kill()


@pytest.fixture
async def broken(parts: list[Part], tmp_path: Path) -> AsyncIterator[Broken]:
    maker = Broken(tmp_path, parts)
    yield maker
    for listener in maker.listeners:
        listener.close()


@pytest.mark.parametrize("reason", BLOCKS)
async def test_what_a_pool_can_not_work_with_holds_it_back(
    broken: Broken, stories: Stories, reason: str
) -> None:
    await stories.create("p", metadata=await BLOCKS[reason](broken))
    message = await stories.turned("p", "MetadataReady", "False", reason)
    assert message.endswith(".")
    assert await stories.turned("p", "Ready", "False", reason) == message
    assert (await stories.helm("list", "--short")).strip() == ""


@pytest.mark.parametrize("reason", WARNS)
async def test_what_a_pool_can_work_with_is_told(
    broken: Broken, stories: Stories, reason: str
) -> None:
    await stories.create("p", metadata=await WARNS[reason](broken))
    pool = await stories.ready("p")
    assert f"{reason}: " in condition(pool, "MetadataReady")["message"]
