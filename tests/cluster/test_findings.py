"""What is wrong with a metadata service, broken by hand, shows in the conditions of a pool."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kvhelm.metadata.findings import Reason
from tests.cluster.broken import Broken, Service, at
from tests.cluster.stories import Stories, condition
from tests.dataplane.parts import Part, free_port


async def said(service: Service) -> Service:
    return service


Break = Callable[[Broken], Awaitable[Service]]

BLOCKS: dict[str, Break] = {
    "DialNotAllowed": lambda _: said(at("http://169.254.169.254:80")),
    "Unreachable": lambda _: said(at(f"http://127.0.0.1:{free_port()}")),
    "Stalled": Broken.mute,
    "TlsRequired": Broken.secure,
    "AuthRequired": Broken.guarded,
    "VersionTooOld": Broken.too_old,
    "NoLeader": Broken.leaderless,
    "Unhealthy": Broken.learning,
    "MembersDisagree": Broken.two_clusters,
    "AdvertisedNothing": Broken.advertising_nothing,
    "AdvertisedUnreachable": lambda it: it.advertising(f"http://127.0.0.1:{free_port()}"),
    "AdvertisedLoopback": Broken.loopback,
    "AdvertisedTls": lambda it: it.advertising("https://127.0.0.1:2379"),
    "AdvertisedElsewhere": Broken.elsewhere,
    "NoSpace": Broken.full,
    "Corrupt": Broken.corrupt,
    "NotRedis": Broken.an_etcd_as_redis,
    "NotPrimary": lambda it: it.redis("--replicaof", "127.0.0.1 1"),
    "Loading": Broken.loading,
    "EvictionOn": lambda it: it.redis("--maxmemory-policy", "allkeys-lru"),
    "ClusterMode": lambda it: it.redis("--cluster-enabled", "yes"),
    "PrefixForeignKeys": Broken.with_keys_of_somebody,
}
WARNS: dict[str, Break] = {
    "EndpointDown": Broken.one_of_three_down,
    "MemberDown": Broken.one_of_three_down,
    "QuotaNearlyUsed": Broken.nearly_full,
    "AutoCompactionOff": Broken.never_compacted,
}
# test_metadata_service
ELSEWHERE = {"NotEtcd", "PrefixTaken", "PrefixOverlaps"}


def test_every_finding_is_brought_about_somewhere() -> None:
    tried = {*BLOCKS, *WARNS}
    assert tried | ELSEWHERE == {reason.value for reason in Reason}
    assert not tried & ELSEWHERE
    assert {reason.value for reason in Reason if not reason.blocks} == set(WARNS)


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
