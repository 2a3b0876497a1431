"""Real daemons, started as the chart says, and what can be seen of them in the etcd."""

import asyncio

import pytest

from kvhelm.metadata.loss import LossSign, LossWatch, Verdict, loss_signs
from kvhelm.metadata.service import Members, MetadataService
from tests.dataplane.conftest import Service, StartEtcd, StartPool
from tests.dataplane.parts import PATIENCE, Etcd, free_port, registered, until

PREFIX, UID = "/team/pool", "uid-of-mine"


@pytest.fixture
async def etcd(start_etcd: StartEtcd) -> list[Etcd]:
    """An etcd of one member."""
    return await start_etcd()


@pytest.fixture
async def shared(etcd: list[Etcd], service: Service) -> MetadataService:
    """The service that it is, with a place claimed."""
    made = service("etcd", etcd[0].url)
    await made.claim(PREFIX, UID)
    return made


async def test_what_one_daemon_keeps_another_daemon_gives(
    etcd: list[Etcd], start_pool: StartPool
) -> None:
    first, second = await start_pool(etcd, PREFIX, 2)
    put = "o = client.put('attention'); client.persist(o); print(repr(o))"
    key = first.client(put)
    get = "print(client.get_meta(vineyard.ObjectID(sys.argv[1]), sync_remote=True).typename)"
    assert "string" in second.client(get, key)


async def test_members_are_what_the_daemons_registered(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    pool = await start_pool(etcd, PREFIX, 2)
    members = await registered(shared, PREFIX, 2)
    assert members.claim == UID and not members.torn
    assert [
        (each.instance, each.hostname, each.nodename, each.rpc_endpoint, each.ipc_socket)
        for each in members.members
    ] == [
        (n, "127.0.0.1", f"node-of-pool-{n}", f"127.0.0.1:{daemon.port}", str(daemon.socket))
        for n, daemon in enumerate(pool)
    ]
    beside = await shared.members("/team/poo")
    assert beside and beside.members == ()


async def test_joins_and_leaves_arrive_without_asking(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    changed = asyncio.Event()
    shared.feed.follow(PREFIX, lambda _: changed.set())

    async def numbers(expected: list[int]) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                picture = shared.feed.current(PREFIX)
                if picture and [each.instance for each in picture.members] == expected:
                    return
                changed.clear()
                await changed.wait()

    await numbers([])
    (first,) = await start_pool(etcd, PREFIX)
    await numbers([0])
    await start_pool(etcd, "/team/pool-2")
    first.kill()
    await first.serve()
    await numbers([0, 1])
    stale = (await picture_of(shared)).members[0]
    assert await shared.remove_member(PREFIX, UID, stale)
    await numbers([1])
    # The stream breaks and is opened again; what happened meanwhile is not missed.
    etcd[0].kill()
    await etcd[0].serve()
    (_,) = await start_pool(etcd, PREFIX)
    await numbers([1, 2])


async def test_reserved_numbers_are_given_to_nobody(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    assert await shared.reserve(PREFIX, UID, 7) is None
    assert await shared.reserve(PREFIX, UID, 3) is None  # never back
    await start_pool(etcd, PREFIX, 2)
    assert [each.instance for each in (await registered(shared, PREFIX, 2)).members] == [7, 8]
    refused = await shared.reserve(PREFIX, "uid-of-another", 99)
    assert refused and refused.reason.value == "PrefixTaken"


async def picture_of(service: MetadataService) -> Members:
    members = await service.members(PREFIX)
    assert members
    return members


async def test_only_an_entry_that_stands_still_is_removed(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    (daemon,) = await start_pool(etcd, PREFIX)
    (seen,) = (await registered(shared, PREFIX)).members

    async def moved() -> bool:
        return (await picture_of(shared)).members[0].timestamp != seen.timestamp

    await until(moved)
    assert not await shared.remove_member(PREFIX, UID, seen), "the daemon lives"
    daemon.kill()
    (last,) = (await picture_of(shared)).members
    assert not await shared.remove_member(PREFIX, "another pool's uid", last)
    assert await shared.remove_member(PREFIX, UID, last)
    assert await shared.remove_member(PREFIX, UID, last), "gone counts as gone"
    assert (await picture_of(shared)).members == ()


async def test_a_wiped_etcd_is_recognised_under_running_daemons(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    (daemon,) = await start_pool(etcd, PREFIX)
    before = await registered(shared, PREFIX)
    await etcd[0].wipe()

    after = await picture_of(shared)
    assert after.members == () and daemon.running, "it serves on, unregistered"
    # Its timestamp alone may come back later (LossSign.ENTRY_TORN); these hold at once.
    assert {LossSign.CLAIM_GONE, LossSign.REVISION_WENT_BACK} <= loss_signs(before, after, UID)
    watch = LossWatch(UID).seen(before, 0.0).seen(after, 1.0)
    assert watch.verdict is Verdict.SUSPECTED
    assert watch.seen(after, 12.0).verdict is Verdict.LOST
    # Mended: claimed anew, restarted, and whole again.
    await shared.claim(PREFIX, UID)
    daemon.kill()
    await daemon.serve()
    healed = watch.mended(20.0).seen(await registered(shared, PREFIX), 21.0)
    assert healed.verdict is Verdict.INTACT


async def test_daemons_that_die_one_after_the_other_come_back(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    pool = await start_pool(etcd, PREFIX, 2)
    put = "o = client.put('attention'); client.persist(o); print(repr(o))"
    get = "print(client.get_meta(vineyard.ObjectID(sys.argv[1]), sync_remote=True).typename)"
    for number, (daemon, peer) in enumerate([pool, pool[::-1]]):
        daemon.kill()
        # The peer serves on meanwhile, and afterwards both know what either keeps.
        assert "string" in peer.client(get, peer.client(put))
        await daemon.serve()

        async def joined(newest: int = number + 2) -> bool:
            return newest in {each.instance for each in (await picture_of(shared)).members}

        await until(joined)
        assert "string" in peer.client(get, daemon.client(put))
        assert "string" in daemon.client(get, peer.client(put))


async def test_a_deleted_pool_leaves_its_neighbour_alone(
    etcd: list[Etcd], start_pool: StartPool, shared: MetadataService
) -> None:
    await shared.claim(f"{PREFIX}-2", "uid-of-yours")
    (mine,) = await start_pool(etcd, PREFIX)
    (yours,) = await start_pool(etcd, f"{PREFIX}-2")
    key = yours.client("o = client.put('kept'); client.persist(o); print(repr(o))")
    await registered(shared, PREFIX)
    mine.kill()
    assert (await shared.purge(PREFIX, UID)).keys > 5
    assert yours.client("print(client.get(vineyard.ObjectID(sys.argv[1])))", key) == "kept"
    beside = await shared.members(f"{PREFIX}-2")
    assert beside and len(beside.members) == 1


async def test_a_daemon_without_its_etcd_ends_and_starts_none_of_its_own(
    start_pool: StartPool, start_etcd: StartEtcd
) -> None:
    (etcd,) = await start_etcd()
    (daemon,) = await start_pool([etcd], PREFIX)
    daemon.kill()
    etcd.kill()
    daemon.start()
    assert await daemon.ended() != 0


async def test_a_daemon_serves_on_when_one_of_three_members_is_down(
    start_etcd: StartEtcd, start_pool: StartPool
) -> None:
    """Why EndpointDown and MemberDown are warnings."""
    cluster: list[Etcd] = await start_etcd(3)
    cluster[0].kill()
    (daemon,) = await start_pool(cluster, PREFIX)
    assert daemon.client("print(client.get(client.put('here')))") == "here"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_daemon_can_not_serve_what_preflight_refuses(
    start_etcd: StartEtcd, start_pool: StartPool, host: str
) -> None:
    """Why AdvertisedUnreachable and AdvertisedLoopback block: the endpoint is fine, and that does
    not help. In a pod, localhost is the pod, where nothing listens on that port either."""
    cluster = await start_etcd(advertise=[f"http://{host}:{free_port()}"])
    with pytest.raises(AssertionError, match="please check your etcd"):
        await start_pool(cluster, PREFIX)
