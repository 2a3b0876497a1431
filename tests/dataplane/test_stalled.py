"""An etcd that stands still for a while, under daemons that run."""

import asyncio

from kvhelm.metadata.loss import loss_signs
from tests.dataplane.conftest import Service, StartEtcd, StartPool
from tests.dataplane.parts import listening, registered

PREFIX, UID = "/team/pool", "uid-of-mine"
STALL = 30.0
"""Seconds; what a leader election or a slow disk takes is less."""

KEEP = "o = client.put('attention'); client.persist(o); print(repr(o))"
FIND = "print(client.get_meta(vineyard.ObjectID(sys.argv[1]), sync_remote=True).typename)"
GET = "print(client.get(vineyard.ObjectID(sys.argv[1])))"


async def test_a_stall_of_the_etcd_is_waited_out(
    start_etcd: StartEtcd, start_pool: StartPool, service: Service
) -> None:
    (etcd,) = await start_etcd()
    shared = service("etcd", etcd.url)
    await shared.claim(PREFIX, UID)
    first, second = await start_pool([etcd], PREFIX, 2)
    before = await registered(shared, PREFIX, 2)
    key = first.client(KEEP)

    etcd.pause()
    asked = [
        asyncio.create_task(asyncio.to_thread(daemon.client, script, *words))
        for daemon, script, *words in (
            (first, GET, key),
            (first, KEEP),
            (second, FIND, key),
        )
    ]
    await asyncio.sleep(STALL)
    # Requests hang, and the port that the probes ask is open: nobody restarts anything.
    assert not any(task.done() for task in asked)
    for daemon in (first, second):
        await listening(daemon, daemon.port)

    etcd.resume()
    got, kept, found = await asyncio.gather(*asked)
    assert got == "attention"
    assert "string" in found
    assert second.client(FIND, kept)
    assert first.running and second.running
    after = await registered(shared, PREFIX, 2)
    assert [each.instance for each in after.members] == [each.instance for each in before.members]
    assert loss_signs(before, after, UID) == frozenset()
