"""Metadata services that are broken by hand, in one way each, with real etcds and redises."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from aetcd import rpc
from redis.asyncio import Redis as RedisClient

from kvhelm.local.certificates import ensure_certificates
from kvhelm.metadata.etcd.preflight import MANY_REVISIONS
from tests.dataplane.install import ensure_old_etcd
from tests.dataplane.parts import Etcd, Part, etcd_members, redis_server
from tests.dataplane.test_etcd_preflight import tls_etcd

Service = dict[str, Any]


class Broken:
    """Makes services that are broken in one way each; they end with the test."""

    def __init__(self, folder: Path, parts: list[Part]) -> None:
        self._folder, self._parts = folder, parts
        self.listeners: list[socket.socket] = []

    def a_member(self, **how: Any) -> Etcd:
        (etcd,) = self._members(**how)
        return etcd

    async def etcd(self, members: int = 1, **how: Any) -> list[Etcd]:
        cluster = self._members(members, **how)
        await asyncio.gather(*(member.serve() for member in cluster))
        return cluster

    def _members(self, members: int = 1, **how: Any) -> list[Etcd]:
        cluster = etcd_members(self._folder / f"etcd-{len(self._parts)}", members, **how)
        self._parts.extend(cluster)
        return cluster

    async def at_etcd(self, members: int = 1, **how: Any) -> Service:
        return at(*(member.url for member in await self.etcd(members, **how)))

    async def redis(self, *settings: str) -> Service:
        server = redis_server(self._folder / f"redis-{len(self._parts)}", *settings)
        self._parts.append(server)
        await server.serve()
        return {"redis": {"endpoint": server.url}}

    async def too_old(self) -> Service:
        etcd = self.a_member(program=await asyncio.to_thread(ensure_old_etcd))
        etcd.arguments = [each for each in etcd.arguments if each != "--unsafe-no-fsync"]
        await etcd.serve()
        return at(etcd.url)

    async def advertising(self, url: str) -> Service:
        return await self.at_etcd(advertise=[url])

    async def advertising_nothing(self) -> Service:
        """No flag can say that. A file can, and so can a program that has an etcd in it."""
        etcd = self.a_member()
        file = etcd.log.with_suffix(".yaml")
        settings = [str(each).removeprefix("--") for each in etcd.arguments[1:]]
        said = [each.replace("=", ": ", 1) for each in settings if "advertise-client" not in each]
        said = ["unsafe-no-fsync: true" if each == "unsafe-no-fsync" else each for each in said]
        file.write_text("\n".join([*said, "AdvertiseClientUrls: []"]))
        etcd.arguments = [etcd.arguments[0], f"--config-file={file}"]
        await etcd.serve()
        return at(etcd.url)

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

    async def learning(self) -> Service:
        """A member that has no vote yet tells its status and refuses everything else."""
        (leader,) = await self.etcd()
        learner = self.a_member()
        peer = setting(learner, "initial-advertise-peer-urls")
        async with rpc.insecure_channel(f"127.0.0.1:{leader.port}") as channel:
            add = rpc.MemberAddRequest(peerURLs=[peer], isLearner=True)
            await rpc.ClusterStub(channel).MemberAdd(add)
        learner.arguments = [
            *learner.arguments,
            "--name=learner",
            "--initial-cluster-state=existing",
            f"--initial-cluster={setting(leader, 'initial-cluster')},learner={peer}",
        ]
        await learner.serve()
        return at(learner.url)

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

    async def nearly_full(self) -> Service:
        # The file doubles: 4 MiB is more than 80 % of this, and less than all of it.
        quota = 9 << 19
        (etcd,) = await self.etcd(more=[f"--quota-backend-bytes={quota}"])
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            maintenance, kv = rpc.MaintenanceStub(channel), rpc.KVStub(channel)
            while (await maintenance.Status(rpc.StatusRequest())).dbSize <= 0.8 * quota:
                await kv.Put(rpc.PutRequest(key=b"/f", value=bytes(10_000)))
                # It grows some 100 ms later: who fills it faster fills it twice.
                await asyncio.sleep(0.02)
        return at(etcd.url)

    async def corrupt(self) -> Service:
        """What a member says of itself that finds others' data to differ from its own."""
        (etcd,) = await self.etcd()
        async with rpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            maintenance = rpc.MaintenanceStub(channel)
            member = (await maintenance.Status(rpc.StatusRequest())).header.member_id
            raised = rpc.AlarmRequest(
                action=rpc.AlarmRequest.ACTIVATE, alarm=rpc.CORRUPT, memberID=member
            )
            await maintenance.Alarm(raised)
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

    async def loading(self) -> Service:
        """A redis that reads five minutes' worth of keys from its disk before it serves."""
        redis = redis_server(self._folder / f"redis-{len(self._parts)}")
        self._parts.append(redis)
        await redis.serve()
        async with RedisClient(port=redis.port) as client:
            await client.mset({f"key-{n}": os.urandom(1100) for n in range(6000)})
            await client.save()
        redis.kill()
        # Microseconds a key; and bytes after which it looks whether somebody asks.
        slow = ("--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024")
        redis.arguments = [*redis.arguments, *slow]
        await redis.serve()
        return {"redis": {"endpoint": redis.url}}


def at(*urls: str) -> Service:
    return {"etcd": {"endpoints": list(urls)}}


def setting(etcd: Etcd, flag: str) -> str:
    """Return what an etcd is told with a flag."""
    (found,) = (str(each) for each in etcd.arguments if str(each).startswith(f"--{flag}="))
    return found.partition("=")[2]
