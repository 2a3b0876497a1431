"""The pool's own etcd: real members and daemons, with exactly what the chart renders."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvhelm.api.conditions import Reason
from kvhelm.controller.last_words import cause_for, last_words_from
from kvhelm.metadata.dial import endpoint_in
from kvhelm.metadata.etcd.client import EtcdEndpoint
from tests.chart.rendering import render
from tests.dataplane.conftest import MEMORY
from tests.dataplane.managed import EtcdPods, lose_data, status_of
from tests.dataplane.parts import LOOPBACK, PATIENCE, Etcd, Part, Vineyardd, until

DISK = {"storage": {"size": "1Gi"}}
KEEP = "o = client.put('attention'); client.persist(o); print(repr(o))"
FIND = "print(client.get_meta(vineyard.ObjectID(sys.argv[1]), sync_remote=True).typename)"
_KEPT = 2048
"""Bytes of a log's end that a kubelet keeps as termination message."""

Make = Callable[..., EtcdPods]


@pytest.fixture
def make(parts: list[Part], tmp_path: Path) -> Make:
    """Make the pods of an etcd from the spec's `metadata.managed`; they are not started yet."""

    def pods(**managed: Any) -> EtcdPods:
        rendered = render({"cache": {"memory": MEMORY}, "metadata": {"managed": managed}})
        made = EtcdPods(rendered, tmp_path)
        parts.extend(made.members)
        return made

    return pods


@pytest.fixture
def serve(parts: list[Part]) -> Callable[[EtcdPods, str], Any]:
    """Start a daemon as its pod would: when what it waits for has come."""

    async def start(etcd: EtcdPods, pod: str = "d-0") -> Vineyardd:
        await ended_well(etcd)
        daemon = etcd.daemon(pod)
        parts.append(daemon)
        await daemon.serve()
        return daemon

    return start


async def ended_well(etcd: EtcdPods) -> None:
    """Run what a daemon's pod waits with to its end."""
    waiting = etcd.waits()

    async def ended() -> bool:
        return waiting.poll() is not None

    await until(ended)
    assert waiting.returncode == 0


async def start_all(etcd: EtcdPods) -> None:
    """Start all pods side by side, and wait until they are ready."""
    for member in etcd.members:
        member.start()
    for member in etcd.members:
        await etcd.ready(member)


async def cluster_of(member: Etcd) -> tuple[int, set[str]]:
    """Return a member's cluster id, and the client URLs that it knows of."""
    endpoint = EtcdEndpoint(endpoint_in(member.url), LOOPBACK, timeout=5.0)
    try:
        status, peers = await endpoint.status(), await endpoint.peers()
    finally:
        await endpoint.close()
    return status.cluster, {url for each in peers for url in each.urls}


async def test_a_single_member_without_a_disk(make: Make, serve: Any) -> None:
    etcd = make()
    await start_all(etcd)
    (member,) = etcd.members
    daemon = await serve(etcd)
    key = daemon.client(KEEP)
    born, urls = await cluster_of(member)
    assert urls == {member.url}
    # Its container starts again: the pod's own folder is still there.
    member.kill()
    member.start()
    await etcd.ready(member)
    assert (await cluster_of(member))[0] == born
    assert "string" in daemon.client(FIND, key)
    # Its pod is made again: nothing is left, and who compares cluster ids sees that.
    etcd.make_again(member)
    member.start()
    await etcd.ready(member)
    assert (await cluster_of(member))[0] != born


async def test_a_single_member_with_a_disk(make: Make, serve: Any) -> None:
    etcd = make(**DISK)
    await start_all(etcd)
    (member,) = etcd.members
    key = (await serve(etcd)).client(KEEP)
    born, _ = await cluster_of(member)
    etcd.make_again(member)
    member.start()
    await etcd.ready(member)
    assert (await cluster_of(member))[0] == born
    assert "string" in (await serve(etcd, "d-1")).client(FIND, key)


async def test_three_members_lose_one_without_harm(make: Make, serve: Any) -> None:
    etcd = make(replicas=3, **DISK)
    first, second, third = etcd.members
    # One alone runs and is not ready; two are enough, and daemons wait for no more.
    first.start()
    await etcd.started(first)
    await etcd.ready(first, wanted=False)
    waiting = etcd.waits()
    second.start()
    await etcd.ready(first)
    assert await asyncio.to_thread(waiting.wait, PATIENCE) == 0
    third.start()
    await etcd.ready(third)
    born, _ = await cluster_of(first)

    async def agreed() -> bool:
        # (A member tells the others its client URLs a moment after it is ready.)
        known = [await cluster_of(member) for member in etcd.members]
        return known == [(born, {member.url for member in etcd.members})] * 3

    await until(agreed)

    daemon = await serve(etcd)
    for member in etcd.members:
        member.kill()
        for other in etcd.members:
            if other is not member:
                await etcd.ready(other)  # an election may come first
        key = daemon.client(KEEP)
        # Also a daemon that starts while the member is away.
        other = await serve(etcd, f"beside-{member.data.name[-1]}")
        assert "string" in other.client(FIND, key)
        other.kill()
        etcd.make_again(member)
        member.start()
        await etcd.ready(member)
        assert (await cluster_of(member))[0] == born


async def test_a_member_that_lost_its_volume(make: Make, serve: Any) -> None:
    etcd = make(replicas=3, **DISK)
    await start_all(etcd)
    daemon = await serve(etcd)
    lost = etcd.members[2]
    lost.kill()
    lose_data(lost)
    etcd.make_again(lost)
    lost.start()
    assert await lost.ended() != 0
    words = last_words_from({"metadata": {}, "status": status_of(lost, lost.said[-_KEPT:])})
    assert words and cause_for(words).reason is Reason.ETCD_MEMBER_LOST
    key = daemon.client(KEEP)
    assert "string" in (await serve(etcd, "d-1")).client(FIND, key)

    # Made anew, as the docs say: without the old volumes, and with another start of the daemons.
    for member in etcd.members:
        member.kill()
        lose_data(member)
        etcd.make_again(member)
    await start_all(etcd)
    assert len({(await cluster_of(member))[0] for member in etcd.members}) == 1
    daemon.kill()
    await daemon.serve()
    assert "string" in daemon.client(FIND, daemon.client(KEEP))
