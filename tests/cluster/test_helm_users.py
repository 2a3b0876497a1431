"""People use helm on a release that kvhelm keeps: what is undone, what is held, what is told."""

from collections.abc import Callable

from kvhelm.assets import chart_dir
from kvhelm.kube.resource import STATEFUL_SETS
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition
from tests.cluster.test_history import told
from tests.cluster.test_lifecycle import image

Start = Callable[..., Operator]


async def test_helm_rollback_is_held_until_the_spec_changes(alone: Stories, start: Start) -> None:
    first = start(alone.namespace)
    await alone.create("p")
    await alone.ready("p")
    await alone.change("p", cache={"image": "vineyard:2"})
    await alone.ready("p")
    await alone.helm("rollback", "p", "1", "--server-side=true", "--force-conflicts")
    words = await alone.turned("p", "Stalled", "True", "HeldByHelmRollback")
    assert "someone went back to revision 1 with helm (revision 3)" in words
    await alone.pool("p", lambda it: it["status"].get("readyReplicas") == 1, "to be available")
    pool = await alone.get("p")
    assert condition(pool, "Ready")["reason"] == "HeldByHelmRollback"
    assert (await alone.event("p", "HeldByHelmRollback"))["type"] == "Warning"
    assert image(await alone.daemons("p")) == "vineyard:1"

    # Scaling goes on, and a restart changes nothing.
    await alone.kubectl("scale", "kvcp/p", "--replicas=2")
    await alone.pool("p", lambda it: it["status"].get("readyReplicas") == 2, "to have 2 daemons")
    assert first.helm_processes == 2
    first.stop()
    second = start(alone.namespace)
    await second.reaches("kvhelm_reconcile_duration_seconds_count", 1)
    await second.idles()
    assert second.helm_processes == 0
    pool = await alone.get("p")
    assert condition(pool, "Stalled")["reason"] == "HeldByHelmRollback"
    assert [each[0] for each in told(pool)] == [1, 2, 3]

    await alone.change("p", cache={"image": "vineyard:3"})
    pool = await alone.ready("p")
    assert image(await alone.daemons("p")) == "vineyard:3"
    assert "held" not in pool["status"]["release"]


async def test_helm_upgrade_is_put_right(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    await stories.helm(
        *("upgrade", "p", str(chart_dir()), "--reuse-values", "--set", "cache.image=vineyard:9"),
        "--force-conflicts",
    )
    said = await stories.event("p", "ForeignRevision")
    assert "Revision 2 was made by someone else with helm: revision 3 puts it" in said["message"]
    assert said["type"] == "Warning"
    pool = await stories.pool("p", lambda it: told(it)[-1] == (3, "deployed", True), "to be right")
    assert image(await stories.daemons("p")) == "vineyard:1"
    assert "specDigest" not in pool["status"]["history"][1], "its labels lie"


async def test_helm_rollback_of_an_upgrade_of_ones_own(stories: Stories) -> None:
    """Who puts their own upgrade right with helm has a pool that is as its spec says."""
    await stories.create("p", suspend=True)
    await stories.change("p", suspend=False)
    await stories.ready("p")
    await stories.change("p", suspend=True)
    await stories.turned("p", "Ready", "Unknown", "Suspended")
    await stories.helm(
        *("upgrade", "p", str(chart_dir()), "--reuse-values", "--set", "cache.image=vineyard:9"),
        "--force-conflicts",
    )
    await stories.helm("rollback", "p", "1", "--force-conflicts")
    await stories.change("p", suspend=False)
    pool = await stories.ready("p")
    assert [each[0] for each in told(pool)] == [1, 2, 3]
    assert pool["status"]["history"][2]["specDigest"] == pool["status"]["history"][0]["specDigest"]


async def test_helm_uninstall_is_followed_by_an_install(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    before = (await stories.daemons("p"))["metadata"]["uid"]
    await stories.helm("uninstall", "p")
    said = await stories.event("p", "ReleaseGone")
    assert "someone else uninstalled it" in said["message"]
    await stories.wait(
        STATEFUL_SETS, "p-daemon", lambda it: it["metadata"]["uid"] != before, "to be made again"
    )
    assert told(await stories.ready("p")) == [(1, "deployed", True)]


async def test_a_history_that_someone_deletes(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    for number in (2, 3):
        await stories.change("p", cache={"image": f"vineyard:{number}"})
        await stories.ready("p")
    # In the middle: nobody misses it.
    await stories.kubectl("delete", "secret", "sh.helm.release.v1.p.v2")
    pool = await stories.pool("p", lambda it: len(told(it)) == 2, "to have two revisions")
    assert condition(pool, "Ready")["status"] == "True"
    # The current one: made again, of the objects that are there, and numbered anew.
    before = (await stories.pods("p"))[0]["metadata"]["uid"]
    await stories.kubectl("delete", "secret", "sh.helm.release.v1.p.v3")
    await stories.pool("p", lambda it: told(it)[-1] == (2, "deployed", True), "to be made again")
    # All of it.
    await stories.kubectl("delete", "secret", "--selector", "owner=helm,name=p")
    await stories.event("p", "ReleaseGone")
    await stories.pool("p", lambda it: told(it) == [(1, "deployed", True)], "to be installed")
    assert (await stories.pods("p"))[0]["metadata"]["uid"] == before
