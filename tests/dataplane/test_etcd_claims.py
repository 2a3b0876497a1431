"""Pools that share an etcd: who may have which prefix, and what a deleted pool takes with it."""

import asyncio

import pytest
from aetcd import rpc

from kvhelm.metadata.dial import endpoint_in
from kvhelm.metadata.etcd.client import EtcdEndpoint
from kvhelm.metadata.findings import Finding, Reason, ServiceFailed
from kvhelm.metadata.service import Purged
from tests.dataplane.conftest import Service, StartEtcd
from tests.dataplane.parts import LOOPBACK, Etcd, until


async def put(etcd: Etcd, *keys: str) -> None:
    """Write keys as a daemon would."""
    channel = rpc.insecure_channel(f"127.0.0.1:{etcd.port}")
    for key in keys:
        await rpc.KVStub(channel).Put(rpc.PutRequest(key=key.encode(), value=b'"1"'))
    await channel.close()


async def keys(etcd: Etcd) -> list[str]:
    """Return every key that there is."""
    channel = rpc.insecure_channel(f"127.0.0.1:{etcd.port}")
    request = rpc.RangeRequest(key=b"\0", range_end=b"\0", keys_only=True)
    answer = await rpc.KVStub(channel).Range(request)
    await channel.close()
    return [each.key.decode() for each in answer.kvs]


def reason(finding: Finding | None) -> Reason | None:
    return finding.reason if finding else None


async def test_a_claimed_prefix_is_the_claimers_and_nobody_elses(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    assert await shared.claim("/team/pool", "mine") is None
    assert await shared.claim("/team/pool", "mine") is None, "claimed again by the same pool"
    assert reason(await shared.claim("/team/pool", "yours")) is Reason.PREFIX_TAKEN
    assert await shared.preflight("/team/pool", "mine") == ()
    taken = await shared.preflight("/team/pool", "yours")
    assert [each.reason for each in taken] == [Reason.PREFIX_TAKEN]


@pytest.mark.parametrize("other", ["/team/pool/inner", "/team/pool/inner/most", "/team/a"])
async def test_prefixes_may_not_hold_one_another(
    start_etcd: StartEtcd, service: Service, other: str
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    assert await shared.claim("/team/a/b/c", "deep") is None
    assert await shared.claim("/team/pool", "mine") is None
    assert reason(await shared.claim(other, "yours")) is Reason.PREFIX_OVERLAPS
    findings = await shared.preflight(other, "yours")
    assert [each.reason for each in findings] == [Reason.PREFIX_OVERLAPS]


async def test_a_prefix_that_starts_like_another_is_beside_it(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    for prefix in ("/team/pool", "/team/pool-2", "/team/poo", "/team/pool.x"):
        assert await shared.claim(prefix, f"uid of {prefix}") is None


async def test_of_pools_that_want_the_same_place_at_once_one_gets_it(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    rivals = [service("etcd", etcd.url) for _ in range(4)]
    # Half want the prefix, half one inside it.
    answers = await asyncio.gather(
        *(
            rival.claim("/team/pool" if n % 2 else "/team/pool/inner", f"uid-{n}")
            for n, rival in enumerate(rivals * 4)
        )
    )
    winners = [n % 4 for n, answer in enumerate(answers) if answer is None]
    assert len([key for key in await keys(etcd) if key.startswith("/kvhelm/.claims")]) == 1
    assert len(winners) == 1


async def test_keys_that_nobody_claimed_are_in_the_way(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    await put(etcd, "/team/pool/left/over")
    shared = service("etcd", etcd.url)
    findings = await shared.preflight("/team/pool", "mine")
    assert [each.reason for each in findings] == [Reason.PREFIX_FOREIGN_KEYS]
    assert await shared.preflight("/team/poo", "mine") == ()
    assert (await shared.purge("/team/pool", "mine")).refused
    assert await keys(etcd) == ["/team/pool/left/over"]


async def test_a_purge_takes_the_pools_own_and_nothing_beside_it(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    await shared.claim("/team/pool", "mine")
    await shared.claim("/team/pool-2", "yours")
    await put(etcd, "/team/pool/S0/x", "/team/pool/S0/y", "/team/pool-2/S0/x", "/team/pool2/z")
    assert await shared.purge("/team/pool", "mine") == Purged(keys=2)
    assert await keys(etcd) == [
        "/kvhelm/.claims/team/pool-2/",
        "/team/pool-2/S0/x",
        "/team/pool2/z",
    ]
    assert await shared.purge("/team/pool", "mine") == Purged(), "a second time changes nothing"
    assert await shared.claim("/team/pool", "the next one") is None


async def test_a_purge_with_another_pools_uid_is_refused(
    start_etcd: StartEtcd, service: Service
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    await shared.claim("/team/pool", "mine")
    await put(etcd, "/team/pool/S0/x")
    before = await keys(etcd)
    assert reason((await shared.purge("/team/pool", "yours")).refused) is Reason.PREFIX_TAKEN
    assert await keys(etcd) == before


async def test_the_second_endpoint_serves_when_the_first_is_dead(
    start_etcd: StartEtcd, service: Service
) -> None:
    cluster = await start_etcd(3)
    shared = service("etcd", *(member.url for member in cluster))
    cluster[0].kill()

    async def claimed() -> bool:
        try:
            return await shared.claim("/team/pool", "mine") is None
        except ServiceFailed:
            return False  # the members are still electing

    await until(claimed)
    assert (await shared.probe()).healthy


async def test_what_a_request_refuses_leaves_the_connection_usable(
    start_etcd: StartEtcd,
) -> None:
    (etcd,) = await start_etcd()
    endpoint = EtcdEndpoint(endpoint_in(etcd.url), LOOPBACK, timeout=4.0)
    assert not await endpoint.ever_compacted()
    assert (await endpoint.status()).leader
    await endpoint.close()
