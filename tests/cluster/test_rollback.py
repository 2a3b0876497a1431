"""A pool goes back: because its spec says so, or by itself when an upgrade does not get on."""

from collections.abc import Callable
from datetime import datetime

from kvhelm.assets import chart_dir
from kvhelm.kube.resource import PODS, Object
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition
from tests.cluster.test_history import NOWHERE, told
from tests.cluster.test_lifecycle import image, uids

Start = Callable[..., Operator]
SOON = {"progressDeadlineSeconds": 3}
BROKEN = {"cache": {"image": "vineyard:2"}, "scheduler": NOWHERE}


async def descriptions(stories: Stories) -> list[str]:
    """Return what `helm history` says of each revision."""
    lines = (await stories.helm("history", "p")).splitlines()[1:]
    return [line.split("\t")[-1].strip() for line in lines]


def waits_for_a_node(pod: Object) -> bool:
    return bool(condition(pod, "PodScheduled")["status"] == "False")


async def rolled_back(stories: Stories) -> Object:
    """Wait until a pool is back by itself and its daemons are ready."""
    return await stories.pool(
        "p",
        lambda it: (
            condition(it, "Stalled")["reason"] == "RolledBack"
            and told(it)[-1][1:] == ("deployed", True)
        ),
        "to be rolled back",
    )


async def test_an_upgrade_that_does_not_get_on_is_taken_back(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p", replicas=2, upgrade=SOON)
    await alone.ready("p")
    first, changed = uids(await alone.pods("p")), await alone.now()
    await alone.change("p", **BROKEN)
    pool = await rolled_back(alone)
    assert told(pool) == [(1, "superseded", True), (2, "superseded", False), (3, "deployed", True)]
    assert image(await alone.daemons("p")) == "vineyard:1"
    # Only the daemon that the upgrade had reached was made anew.
    assert (uids(await alone.pods("p"))[0]) == first[0]

    # Never Ready for a spec that does not run; whoever waits is told; the cache is there.
    assert condition(pool, "Ready")["status"] == "False"
    assert condition(pool, "Ready")["reason"] == "RolledBack"
    assert condition(pool, "Reconciling")["status"] == "False"
    assert condition(pool, "Available")["status"] == "True"
    words = condition(pool, "Stalled")["message"]
    assert words.startswith("Revision 2 made no progress for 3 s: p-daemon-1: 0/")
    assert "change the spec to try again" in words
    assert (await alone.event("p", "RolledBack"))["type"] == "Warning"
    said = (await alone.event("p", "ReleaseRolledBack"))["message"]
    assert said.startswith("Release p revision 3: back to 1; Revision 2 made no progress")
    assert (await descriptions(alone))[-1].startswith("kvhelm: rollback to 1: Revision 2 made no")

    # It was given its time.
    made = {each["revision"]: each["time"] for each in pool["status"]["history"]}
    unready = (await alone.replay(PODS, changed, waits_for_a_node))[-1]["metadata"]
    since = max(made[2], unready["creationTimestamp"])
    took = (datetime.fromisoformat(made[3]) - datetime.fromisoformat(since)).total_seconds()
    assert took >= 3, took
    assert operator.helm_processes == 3

    # A scale is no new try, nor is a restart; a label is none either.
    await alone.kubectl("scale", "kvcp/p", "--replicas=3")
    await alone.pool("p", lambda it: it["status"].get("readyReplicas") == 3, "to have 3 daemons")
    operator.stop()
    second = start(alone.namespace)
    await second.reaches("kvhelm_reconcile_duration_seconds_count", 1)
    await second.idles()
    assert second.helm_processes == 0
    assert told(await alone.get("p")) == told(pool)

    # The way on is another spec, and the stuck try of before is no burden on it.
    await alone.change("p", scheduler=None)
    pool = await alone.ready("p")
    assert image(await alone.daemons("p")) == "vineyard:2"
    assert "rejected" not in pool["status"]["release"]


async def test_back_to_the_spec_of_before_nothing_is_done(stories: Stories) -> None:
    await stories.create("p", upgrade=SOON)
    await stories.ready("p")
    await stories.change("p", **BROKEN)
    before = await rolled_back(stories)
    await stories.change("p", cache={"image": "vineyard:1"}, scheduler=None)
    pool = await stories.ready("p")
    assert told(pool) == told(before)


async def test_an_upgrade_may_stay_as_it_is(stories: Stories) -> None:
    await stories.create("p", upgrade={**SOON, "onFailure": "Keep"})
    await stories.ready("p")
    await stories.change("p", **BROKEN)
    words = await stories.turned("p", "Stalled", "True", "ProgressDeadlineExceeded")
    assert "spec.upgrade.onFailure: Keep" in words
    assert told(await stories.get("p"))[-1] == (2, "deployed", False)
    # A new upgrade over the broken one goes through, though its pod is stuck.
    await stories.change("p", scheduler=None)
    await stories.ready("p")
    assert image(await stories.daemons("p")) == "vineyard:2"


async def test_a_first_install_stays_for_inspection(stories: Stories) -> None:
    await stories.create("p", upgrade=SOON, **BROKEN)
    words = await stories.turned("p", "Stalled", "True", "ProgressDeadlineExceeded")
    assert "p-daemon-0: 0/" in words
    assert "No revision before it that was healthy" in words
    assert len(await stories.pods("p")) == 1
    await stories.change("p", scheduler=None)
    pool = await stories.ready("p")
    assert told(pool)[-1] == (2, "deployed", True)


async def test_a_history_cut_by_hand_leaves_nothing_to_go_back_to(stories: Stories) -> None:
    await stories.create("p", upgrade=SOON)
    await stories.ready("p")
    await stories.change("p", **BROKEN)
    await stories.pool("p", lambda it: told(it)[-1][0] == 2, "to be upgraded")
    await stories.kubectl("delete", "secret", "sh.helm.release.v1.p.v1")
    words = await stories.turned("p", "Stalled", "True", "ProgressDeadlineExceeded")
    assert "No revision before it that was healthy" in words
    await stories.change("p", scheduler=None)
    await stories.ready("p")


async def test_the_spec_goes_back_and_stays(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p")
    await alone.ready("p")
    for number in (2, 3):
        await alone.change("p", cache={"image": f"vineyard:{number}"})
        await alone.ready("p")
    await alone.change("p", rollbackTo={"revision": 1})
    pool = await alone.ready("p")
    assert condition(pool, "Ready")["reason"] == "RolledBack"
    assert "at revision 1, as spec.rollbackTo says" in condition(pool, "Ready")["message"]
    assert pool["status"]["release"]["pinned"]["revision"] == 1
    assert image(await alone.daemons("p")) == "vineyard:1"
    assert (await descriptions(alone))[-1].startswith("kvhelm: rollback to 1: spec.rollbackTo")
    assert told(pool)[-1] == (4, "deployed", True)

    # While it stands the rest of the spec waits, but for replicas; it is never pruned away.
    await alone.change("p", cache={"image": "vineyard:4"}, replicas=2, revisionHistoryLimit=1)
    pool = await alone.ready("p")
    assert pool["status"]["readyReplicas"] == 2
    assert image(await alone.daemons("p")) == "vineyard:1"
    await alone.pool("p", lambda it: len(told(it)) == 2, "to be pruned")
    assert [each[0] for each in told(await alone.get("p"))] == [1, 4]

    # What a person does with helm meanwhile is gone back from.
    await alone.helm(
        "upgrade",
        "p",
        str(chart_dir()),
        "--reuse-values",
        "--set",
        "cache.image=v:9",
        "--force-conflicts",
    )
    await alone.pool(
        "p", lambda it: told(it)[-1] == (6, "deployed", True), "to be at its revision again"
    )
    assert image(await alone.daemons("p")) == "vineyard:1"

    processes = operator.helm_processes
    await alone.change("p", rollbackTo=None)
    pool = await alone.ready("p")
    assert condition(pool, "Ready")["reason"] == "PoolReady"
    assert image(await alone.daemons("p")) == "vineyard:4"
    assert "pinned" not in pool["status"]["release"]
    assert operator.helm_processes == processes + 1


async def test_a_revision_that_is_not_there(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p")
    await alone.ready("p")
    await alone.change("p", cache={"image": "vineyard:2"}, rollbackTo={"revision": 7})
    words = await alone.turned("p", "Stalled", "True", "RevisionGone")
    assert "revision 7 can't be gone back to. There are: 1 (healthy); name one" in words
    assert condition(await alone.get("p"), "Available")["status"] == "True"
    assert operator.helm_processes == 1
    # To the revision that runs there is nothing to do.
    await alone.change("p", rollbackTo={"revision": 1})
    pool = await alone.ready("p")
    assert condition(pool, "Stalled")["status"] == "False"
    assert operator.helm_processes == 1


async def test_a_pool_that_began_at_zero_goes_back_with_its_daemons(stories: Stories) -> None:
    await stories.create("p", replicas=0)
    await stories.ready("p")
    await stories.change("p", replicas=2, service={"port": 9700})
    await stories.ready("p")
    before = uids(await stories.pods("p"))
    # The first revision made the StatefulSet at 0: to go back to it would end the daemons. The
    # second is the same without that.
    await stories.change("p", rollbackTo={"revision": 1})
    pool = await stories.ready("p")
    assert (await descriptions(stories))[-1].startswith("kvhelm: rollback to 2")
    assert pool["status"]["endpoint"].endswith(":9600")
    assert uids(await stories.pods("p")) == before
