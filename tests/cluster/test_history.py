"""The history of a release: what is kept, and what the status shows of it, after a restart too."""

from collections.abc import Callable

from kvhelm.kube.resource import Object
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition

Start = Callable[..., Operator]
NOWHERE = {"gpuType": "NVIDIA-NOWHERE"}


def told(pool: Object) -> list[tuple[int, str, bool]]:
    """Return revision, outcome and health of a pool's history."""
    history = pool["status"].get("history", [])
    return [(each["revision"], each["outcome"], each["healthy"]) for each in history]


def shows(number: int) -> Callable[[Object], bool]:
    return lambda pool: told(pool)[-1][0] == number


async def test_the_last_healthy_revision_is_kept(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p", revisionHistoryLimit=2)
    first = await alone.ready("p")
    # One write tells both: that the pool is ready, and that this revision was.
    assert told(first) == [(1, "deployed", True)]
    assert first["status"]["history"][0]["chart"] == first["status"]["release"]["chart"]

    await alone.change("p", scheduler=NOWHERE)
    await alone.turned("p", "Ready", "False", "Unschedulable")
    for number in (3, 4):
        await alone.change("p", scheduler=NOWHERE, service={"port": 9000 + number})
        await alone.pool("p", shows(number), f"to show revision {number}")
    pool = await alone.pool("p", lambda it: len(told(it)) == 2, "to be pruned")
    assert told(pool) == [(1, "superseded", True), (4, "deployed", False)]
    assert await alone.revisions("p") == 2

    # A restart changes nothing of it and writes nothing.
    await operator.idles()
    operator.stop()
    before = await alone.objects("p"), (await alone.get("p"))["metadata"]["resourceVersion"]
    second = start(alone.namespace)
    await second.reaches("kvhelm_leader", 1)
    await second.reaches("kvhelm_reconcile_duration_seconds_count", 1)
    await second.idles()
    after = await alone.objects("p"), (await alone.get("p"))["metadata"]["resourceVersion"]
    assert after == before
    assert second.helm_processes == 0


async def test_what_a_daemon_runs_decides_what_is_healthy(stories: Stories) -> None:
    await stories.create("p", replicas=0)
    # (The second revision no longer holds the daemons at 0.)
    assert [each[2] for each in told(await stories.ready("p"))] == [False, False]
    await stories.change("p", replicas=1)
    pool = await stories.ready("p")
    assert told(pool)[-1][2], "the daemon runs now"
    assert condition(pool, "Ready")["reason"] == "PoolReady"
