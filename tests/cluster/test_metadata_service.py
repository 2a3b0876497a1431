"""A metadata service of the user's own: checked before, claimed, watched, left clean."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aetcd
import pytest

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import Object
from tests.cluster.stories import Stories, condition
from tests.dataplane.parts import Etcd, Part, Redis, etcd_members, redis_server

Start = Callable[..., Awaitable[Etcd]]


@pytest.fixture
def start_etcd(parts: list[Part], tmp_path: Path) -> Start:
    """Start an etcd of the test's own. Asked for before `stories`, it outlives their pools."""

    async def start(**how: Any) -> Etcd:
        (member,) = etcd_members(tmp_path / f"etcd-{len(parts)}", **how)
        parts.append(member)
        await member.serve()
        return member

    return start


async def keys_below(url: str, prefix: str) -> list[str]:
    host, _, port = url.removeprefix("http://").partition(":")
    async with aetcd.Client(host=host, port=int(port)) as client:
        return [entry.key.decode() for entry in await client.get_prefix(f"{prefix}/".encode())]


async def put(url: str, key: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    async with aetcd.Client(host=host, port=int(port)) as client:
        await client.put(key.encode(), b"x")


def at(*urls: str, **more: Any) -> dict[str, Any]:
    return {"etcd": {"endpoints": list(urls), **more}}


async def deletion_waits(stories: Stories) -> str:
    """Delete the pool, and wait until it says that its keys can't be purged, and how to go on."""
    await stories.client.delete(POOLS, "p", stories.namespace)
    return await stories.turned("p", "Ready", "False", "MetadataWaiting")


async def no_release(stories: Stories) -> None:
    assert (await stories.helm("list", "--short")).strip() == ""


async def test_a_healthy_etcd_is_claimed_and_named_in_the_status(stories: Stories) -> None:
    await stories.create("p")
    pool = await stories.ready("p")
    assert condition(pool, "MetadataReady")["reason"] == "ServiceHealthy"
    metadata = pool["status"]["metadata"]
    uid = pool["metadata"]["uid"]
    assert metadata["prefix"] == f"/kvhelm/{stories.namespace}/p/{uid[:8]}"
    assert metadata["endpoints"] == [stories.etcd]
    assert metadata["version"].startswith("3.")
    assert metadata["clusterId"]
    assert "ServiceHealthy" in await stories.kubectl("get", "kvcp", "-o", "wide")


async def test_nothing_is_installed_while_nobody_answers(
    start_etcd: Start, stories: Stories
) -> None:
    etcd = await start_etcd()
    etcd.kill()
    await stories.create("p", metadata=at(etcd.url))
    said = await stories.turned("p", "Ready", "False", "Unreachable")
    assert etcd.url.removeprefix("http://") in said
    await no_release(stories)
    # It goes on by itself when the cause is gone.
    await etcd.serve()
    await stories.ready("p")


async def test_a_prefix_of_another_pool_is_refused_and_free_after_it(stories: Stories) -> None:
    mine = at(stories.etcd, prefix=f"/team/{stories.namespace}")
    await stories.create("first", metadata=mine)
    await stories.ready("first")
    await stories.create("second", metadata=mine)
    said = await stories.turned("second", "Ready", "False", "PrefixTaken")
    assert "choose another prefix" in said
    below = at(stories.etcd, prefix=f"/team/{stories.namespace}/below")
    await stories.create("third", metadata=below)
    await stories.turned("third", "Ready", "False", "PrefixOverlaps")
    await stories.delete("first")
    await stories.ready("second")


@pytest.fixture
async def redis(parts: list[Part], tmp_path: Path) -> Redis:
    """A redis of the test's own. Asked for before `stories`, it outlives their pools."""
    server = redis_server(tmp_path / "redis")
    parts.append(server)
    await server.serve()
    return server


async def test_a_redis_where_an_etcd_should_be(redis: Redis, stories: Stories) -> None:
    await stories.create("p", metadata=at(redis.url.replace("redis://", "http://")))
    await stories.turned("p", "Ready", "False", "NotEtcd")
    await no_release(stories)


async def test_a_redis_is_checked_and_honestly_called_untested(
    redis: Redis, stories: Stories
) -> None:
    await stories.create("p", metadata={"redis": {"endpoint": redis.url}})
    pool = await stories.ready("p")
    assert condition(pool, "MetadataReady")["reason"] == "Untested"
    container = (await stories.daemons("p"))["spec"]["template"]["spec"]["containers"][0]
    assert f"--redis_endpoint={redis.url}" in container["args"]
    await stories.create("q", metadata={"redis": {"endpoint": redis.url}})
    await stories.turned("q", "Ready", "False", "PrefixTaken")
    await stories.delete("p")
    await stories.ready("q")
    await stories.delete("q")


async def test_with_warn_it_is_installed_all_the_same(start_etcd: Start, stories: Stories) -> None:
    etcd = await start_etcd()
    etcd.kill()
    await stories.create("p", metadata=at(etcd.url) | {"preflight": "Warn"})
    pool = await stories.ready("p")
    assert condition(pool, "MetadataReady")["status"] == "Unknown"
    assert condition(pool, "MetadataReady")["reason"] == "Unreachable"
    # And claimed when that becomes possible.
    await etcd.serve()
    await stories.pool("p", lambda pool: "prefix" in pool["status"]["metadata"], "to be claimed")


async def test_an_etcd_that_goes_away_shows_and_nothing_is_taken_down(
    start_etcd: Start, stories: Stories
) -> None:
    etcd = await start_etcd()
    await stories.create("p", metadata=at(etcd.url))
    await stories.ready("p")
    before = await stories.daemons("p")
    etcd.pause()
    await stories.turned("p", "MetadataReady", "False", "Stalled")
    await stories.turned("p", "Ready", "False", "Stalled")
    etcd.resume()
    await stories.ready("p")
    after = await stories.daemons("p")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["status"]["readyReplicas"] == 1


async def test_a_deleted_pool_leaves_no_keys_and_its_neighbour_keeps_its_own(
    stories: Stories,
) -> None:
    # One name is a prefix of the other.
    team = f"/team/{stories.namespace}"
    for name in ("kv", "kv-2"):
        await stories.create(name, metadata=at(stories.etcd, prefix=f"{team}-{name}"))
        await stories.ready(name)
        # What a daemon would have written.
        await put(stories.etcd, f"{team}-{name}/S0000000000000000/instances/i0/hostid")
    await stories.delete("kv")
    assert await keys_below(stories.etcd, f"{team}-kv") == []
    assert len(await keys_below(stories.etcd, f"{team}-kv-2")) == 1


async def test_keys_are_kept_where_the_spec_says_so(stories: Stories) -> None:
    prefix = f"/keep/{stories.namespace}"
    await stories.create(
        "p", metadata=at(stories.etcd, prefix=prefix), deletion={"metadata": "Retain"}
    )
    await stories.ready("p")
    await put(stories.etcd, f"{prefix}/S0000000000000000/next_instance_id")
    await stories.delete("p")
    assert len(await keys_below(stories.etcd, prefix)) == 1


async def test_an_etcd_that_is_gone_does_not_pin_a_deleted_pool_for_ever(
    start_etcd: Start, stories: Stories
) -> None:
    etcd = await start_etcd()
    await stories.create("p", metadata=at(etcd.url))
    await stories.ready("p")
    etcd.kill()
    said = await deletion_waits(stories)
    annotate = said.partition("kubectl ")[2].split()
    assert annotate[-1] == "kvcache.aibrix.ai/abandon-metadata=true"
    await stories.kubectl(*annotate[2:])  # the namespace is Stories' own
    await stories.gone(POOLS, "p")


async def test_a_change_of_endpoints_is_checked_and_the_old_release_goes_on(
    start_etcd: Start, stories: Stories
) -> None:
    await stories.create("p")
    await stories.ready("p")
    other = await start_etcd()
    other.kill()
    await stories.change("p", metadata=at(other.url))
    await stories.turned("p", "Ready", "False", "Unreachable")
    assert _endpoint(await stories.daemons("p")) == stories.etcd
    await other.serve()
    await stories.ready("p")
    assert _endpoint(await stories.daemons("p")) == other.url


async def test_what_a_pool_has_left_is_deleted_once_it_has_moved(
    start_etcd: Start, stories: Stories
) -> None:
    old, new = await start_etcd(), await start_etcd()
    prefix = f"/moves/{stories.namespace}"
    await stories.create("p", metadata=at(old.url, prefix=prefix))
    await stories.ready("p")
    entry = f"{prefix}/S0000000000000000/next_instance_id"
    await put(old.url, entry)
    since = await stories.now()
    await stories.change("p", metadata=at(new.url, prefix=prefix))
    await stories.replay(POOLS, since, lambda pool: bool(pool["status"].get("left")))
    said = await stories.event("p", "MetadataPurged")
    assert old.url in said["message"]
    assert await keys_below(old.url, prefix) == []
    pool = await stories.pool("p", lambda pool: not pool["status"].get("left"), "to forget it")
    assert pool["status"]["metadata"]["endpoints"] == [new.url]
    # The same etcd with one more endpoint is another list, and no move.
    await put(new.url, entry)
    await stories.change("p", metadata=at(new.url, "http://127.0.0.1:1", prefix=prefix))
    await stories.ready("p")
    await stories.pool("p", lambda pool: not pool["status"].get("left"), "to see that it is one")
    assert len(await keys_below(new.url, prefix)) == 1


async def test_an_etcd_left_because_it_died_does_not_hold_the_pool(
    start_etcd: Start, stories: Stories
) -> None:
    old = await start_etcd()
    await stories.create("p", metadata=at(old.url))
    await stories.ready("p")
    old.kill()
    await stories.change("p", metadata=at(stories.etcd))
    pool = await stories.ready("p")
    (left,) = pool["status"]["left"]
    assert left["endpoints"] == [old.url]
    # Its deletion waits for the old keys, until somebody gives them up.
    await deletion_waits(stories)
    await old.serve()
    await stories.gone(POOLS, "p")


def _endpoint(statefulset: Object) -> str:
    arguments = statefulset["spec"]["template"]["spec"]["containers"][0]["args"]
    (found,) = (each for each in arguments if each.startswith("--etcd_endpoint="))
    return str(found.partition("=")[2])
