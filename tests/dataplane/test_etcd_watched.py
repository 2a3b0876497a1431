"""An etcd under watch: it goes away, stalls, loses everything, and comes back."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kvhelm.metadata.findings import Reason
from kvhelm.metadata.prober import Health, Prober, Subscription
from tests.dataplane.conftest import StartEtcd, StartRedis
from tests.dataplane.parts import LOOPBACK, PATIENCE


class Watcher:
    """Somebody who subscribed, and waits for turns."""

    def __init__(self, prober: Prober, kind: str, *endpoints: str) -> None:
        self.turned = asyncio.Event()
        self.subscription: Subscription = prober.subscribe(kind, endpoints, self.turned.set)

    async def sees(self, reason: Reason | None) -> Health:
        """Wait until the service is as said."""
        async with asyncio.timeout(PATIENCE):
            while True:
                health = self.subscription.health
                if health and (health.probe.finding and health.probe.finding.reason) == reason:
                    return health
                self.turned.clear()
                await self.turned.wait()


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    made = Prober(LOOPBACK, interval=0.5)
    yield made
    await made.close()


async def test_an_etcd_that_goes_away_is_noticed_and_so_is_its_return(
    start_etcd: StartEtcd, prober: Prober
) -> None:
    (etcd,) = await start_etcd()
    watcher = Watcher(prober, "etcd", etcd.url)
    well = await watcher.sees(None)
    assert well.probe.version == "3.7.3"
    assert well.probe.latency is not None and well.last_success is not None
    etcd.kill()
    away = await watcher.sees(Reason.UNREACHABLE)
    assert away.probe.cluster_id == well.probe.cluster_id, "what it was is still known"
    assert away.last_success and away.last_success >= well.last_success
    await etcd.serve()
    back = await watcher.sees(None)
    assert back.probe.cluster_id == well.probe.cluster_id


async def test_an_etcd_that_stalls_is_told_from_one_that_is_gone(
    start_etcd: StartEtcd, prober: Prober
) -> None:
    (etcd,) = await start_etcd()
    watcher = Watcher(prober, "etcd", etcd.url)
    await watcher.sees(None)
    etcd.pause()
    await watcher.sees(Reason.STALLED)
    etcd.resume()
    await watcher.sees(None)


async def test_a_wiped_etcd_shows_by_its_revision(start_etcd: StartEtcd, prober: Prober) -> None:
    (etcd,) = await start_etcd()
    watcher = Watcher(prober, "etcd", etcd.url)
    for n in range(5):
        await watcher.subscription.service.claim(f"/team/pool-{n}", "mine")
    before = await watcher.sees(None)
    await etcd.wipe()

    async with asyncio.timeout(PATIENCE):
        while (after := await watcher.sees(None)).probe.revision != 1:
            watcher.turned.clear()
            await watcher.turned.wait()
    assert before.probe.revision is not None and after.probe.revision < before.probe.revision + 5


async def test_many_pools_share_one_probe(start_etcd: StartEtcd, prober: Prober) -> None:
    (etcd,) = await start_etcd()
    spellings = (etcd.url, etcd.url.upper().replace("HTTP", "http"), etcd.url + "/")
    watchers = [Watcher(prober, "etcd", spelling) for spelling in spellings]
    for watcher in watchers:
        await watcher.sees(None)
    assert len(prober.services()) == 1
    assert len({id(each.subscription.service) for each in watchers}) == 1
    for watcher in watchers:
        await watcher.subscription.close()
    assert prober.services() == []


async def test_a_redis_that_stalls_and_goes_away(start_redis: StartRedis, prober: Prober) -> None:
    redis = await start_redis()
    watcher = Watcher(prober, "redis", redis.url)
    assert (await watcher.sees(None)).probe.version
    redis.pause()
    await watcher.sees(Reason.STALLED)
    redis.resume()
    await watcher.sees(None)
    redis.kill()
    await watcher.sees(Reason.UNREACHABLE)
    await redis.serve()
    await watcher.sees(None)
