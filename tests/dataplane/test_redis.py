"""Bring your own redis: what can be told of it, and what one pool may do with it."""

import asyncio

import pytest
from redis.asyncio import Redis as Client

from kvhelm.errors import MetadataError
from kvhelm.metadata.findings import Reason
from kvhelm.metadata.kinds import service_for
from kvhelm.metadata.service import MetadataService, Purged
from tests.dataplane.conftest import Service, StartEtcd, StartRedis
from tests.dataplane.parts import LOOPBACK, free_port


async def found(service: MetadataService) -> set[Reason]:
    return {each.reason for each in await service.preflight("/any/prefix", "mine")}


async def test_a_good_redis_has_nothing_wrong(start_redis: StartRedis, service: Service) -> None:
    redis = await start_redis()
    mine = service("redis", redis.url)
    assert await mine.preflight("/any/prefix", "mine") == ()
    probe = await mine.probe()
    assert probe.healthy and probe.version == "8.2.3"
    assert await mine.members("/any/prefix") is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("--maxmemory-policy", "allkeys-lru"), Reason.EVICTION_ON),
        (("--requirepass", "secret"), Reason.AUTH_REQUIRED),
        (("--cluster-enabled", "yes"), Reason.CLUSTER_MODE),
        (("--replicaof", "127.0.0.1 1"), Reason.NOT_PRIMARY),
        (("--maxmemory", "1"), Reason.NO_SPACE),
    ],
)
async def test_a_redis_that_can_not_work(
    start_redis: StartRedis, service: Service, settings: tuple[str, ...], reason: Reason
) -> None:
    redis = await start_redis(*settings)
    assert reason in await found(service("redis", redis.url))
    probe = await service("redis", redis.url).probe()
    assert probe.finding and probe.finding.reason is reason


async def test_one_redis_serves_one_pool(start_redis: StartRedis, service: Service) -> None:
    redis = await start_redis()
    mine = service("redis", redis.url)
    assert await mine.claim("/any/prefix", "mine") is None
    assert await mine.claim("/any/prefix", "mine") is None
    refused = await mine.claim("/another/prefix", "yours")
    assert refused and refused.reason is Reason.PREFIX_TAKEN
    findings = await mine.preflight("/another/prefix", "yours")
    assert [each.reason for each in findings] == [Reason.PREFIX_TAKEN]


async def test_a_redis_with_keys_of_somebody_is_not_taken(
    start_redis: StartRedis, service: Service
) -> None:
    redis = await start_redis()
    async with Client(port=redis.port) as client:
        await client.set("somebody", "is here")
    assert await found(service("redis", redis.url)) == {Reason.PREFIX_FOREIGN_KEYS}


async def test_a_purge_gives_the_redis_back_and_says_what_remains(
    start_redis: StartRedis, service: Service
) -> None:
    redis = await start_redis()
    mine = service("redis", redis.url)
    await mine.claim("/any/prefix", "mine")
    async with Client(port=redis.port) as client:
        await client.set("of the daemons", "or not, nobody can tell")
        purged = await mine.purge("/any/prefix", "yours")
        assert purged.refused and purged.refused.reason is Reason.PREFIX_TAKEN
        assert await mine.purge("/any/prefix", "mine") == Purged(remaining=1)
        assert await mine.purge("/any/prefix", "mine") == Purged(remaining=1)
        assert await client.keys() == [b"of the daemons"]


async def test_what_answers_is_no_redis(start_etcd: StartEtcd, service: Service) -> None:
    (etcd,) = await start_etcd()
    assert await found(service("redis", etcd.url.replace("http", "redis"))) == {Reason.NOT_REDIS}
    nowhere = service("redis", f"redis://127.0.0.1:{free_port()}")
    assert await found(nowhere) == {Reason.UNREACHABLE}


async def test_a_redis_that_is_away(service: Service) -> None:
    away = service("redis", f"redis://127.0.0.1:{free_port()}")
    assert await found(away) == {Reason.UNREACHABLE}
    assert not (await away.probe()).healthy


@pytest.mark.parametrize("answer", [b":none\r\n", b"HTTP/1.1 418 Teapot\r\n\r\n", b"$9\r\n", b"*1"])
async def test_what_talks_nonsense_is_no_redis(service: Service, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    odd = service("redis", f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    findings = await odd.preflight("/any/prefix", "mine")
    assert {each.reason for each in findings} <= {Reason.NOT_REDIS, Reason.UNREACHABLE}
    assert findings and "Teapot" not in findings[0].message
    assert not (await odd.probe()).healthy
    server.close()


def test_a_redis_has_one_endpoint() -> None:
    for endpoints in (["redis://a:1", "redis://b:1"], ["http://a:1"], [], ["redis://a:1/3"]):
        with pytest.raises(MetadataError):
            service_for("redis", endpoints, LOOPBACK)
