"""A new operator brings a new chart: it comes to a few pools first, and stops where it fails."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from kvhelm import assets
from kvhelm.controller.waves import CANARY
from kvhelm.helm.releases import HEALTHY, SECRET_TYPE
from kvhelm.kube.resource import CONFIG_MAPS, SECRETS, Object
from kvhelm.local.operator import NAMESPACE
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition
from tests.cluster.test_history import told
from tests.cluster.test_lifecycle import uids

Start = Callable[..., Operator]
RELEASE = "waves"
LABELS, POD = "    helm.sh/chart: ", "enableServiceLinks: false\n"


def chart_with(folder: Path, version: str, before: str, added: str) -> Path:
    """Make a chart of chart/ that has one more line wherever another stands."""
    chart = folder / version
    shutil.copytree(assets.chart_dir(), chart)
    manifest = chart / "Chart.yaml"
    lines = manifest.read_text().splitlines()
    lines = [f"version: {version}" if line.startswith("version: ") else line for line in lines]
    manifest.write_text("\n".join(lines) + "\n")
    changed = 0
    for template in chart.glob("charts/*/templates/*.tpl"):
        text = template.read_text()
        changed += text.count(before)
        template.write_text(text.replace(before, f"{added}\n{before}"))
    assert changed == 1
    return chart


def standing(pool: Object) -> str:
    return str(pool.get("status", {}).get("rollout", {}).get("standing", ""))


def moving_at_once(secrets: Iterable[Object]) -> list[set[str]]:
    """Return, change by change, whose second revision was there and not known as healthy yet."""
    now: set[str] = set()
    course = []
    for secret in secrets:
        labels = secret["metadata"]["labels"]
        if labels.get("version") == "2":
            (now.discard if labels.get(HEALTHY) == "2" else now.add)(labels["name"])
            course.append(set(now))
    return course


async def create(stories: Stories, *names: str) -> None:
    """Create pools of one daemon, and wait until all are ready."""
    for name in names:
        await stories.create(name, replicas=1, upgrade={"progressDeadlineSeconds": 3})
    for name in names:
        await stories.ready(name)
        # Healthy is what a pool can be gone back to.
        await stories.pool(name, lambda pool: told(pool)[-1][2], "to be known as healthy")


async def stands(stories: Stories, name: str, where: str, chart: str) -> Object:
    """Wait until a pool stands there with that version of the chart."""

    def there(pool: Object) -> bool:
        return standing(pool) == where and pool["status"]["rollout"]["chart"].endswith(chart)

    return await stories.pool(name, there, f"to be {where} with {chart}")


async def said(stories: Stories, state: str) -> dict[str, str]:
    """Wait until the one place says so, and return what it says."""
    name = f"{RELEASE}-chart-rollout"

    def is_so(obj: Object) -> bool:
        return bool(obj.get("data", {}).get("state") == state)

    found = await stories.wait(CONFIG_MAPS, name, is_so, f"to say {state}", NAMESPACE)
    return dict(found["data"])


async def test_a_chart_that_changes_labels_alone_comes_in_waves_and_restarts_nobody(
    alone: Stories, start: Start, tmp_path: Path
) -> None:
    first = start(alone.namespace)
    names = [f"p{n}" for n in range(5)]
    await create(alone, *names)
    await alone.kubectl("label", "kvcp/p3", f"{CANARY}=true")
    before = {name: uids(await alone.pods(name)) for name in names}
    await first.idles()
    first.stop()

    chart = chart_with(tmp_path, "2.0.0", LABELS, '    example.com/team: "inference"')
    since = await alone.now()
    second = start(alone.namespace, "--chart", str(chart), "--chart-share", "40")
    for name in names:
        pool = await stands(alone, name, "Current", "2.0.0")
        assert condition(pool, "Ready")["status"] == "True"
        assert pool["status"]["release"]["chart"] == "kvcachepool-2.0.0"
        daemons = await alone.daemons(name)
        assert daemons["metadata"]["labels"]["example.com/team"] == "inference"
    # First the canary, then two of five at a time.
    left = set(names)

    def all_healthy(secret: Object) -> bool:
        labels = secret["metadata"]["labels"]
        if labels.get(HEALTHY) == "2":
            left.discard(labels["name"])
        return not left

    secrets = await alone.replay(SECRETS, since, all_healthy, f"type={SECRET_TYPE}")
    course = moving_at_once(secrets)
    assert course[0] == {"p3"}
    assert max(len(moving) for moving in course) <= 2
    # What runs is as it was: not one cache was emptied.
    assert {name: uids(await alone.pods(name)) for name in names} == before
    assert second.helm_processes == len(names)
    assert second.metric("kvhelm_chart_rollout_pools", standing="Current") == len(names)
    table = (await alone.kubectl("get", "kvcp")).splitlines()
    assert all("Current" in line for line in table[1:])


async def test_a_chart_that_fails_at_the_canary_goes_no_further(
    alone: Stories, start: Start, tmp_path: Path
) -> None:
    first = start(alone.namespace, release=RELEASE)
    await create(alone, "canary", "other", "third", "pinned", "halted")
    await alone.kubectl("label", "kvcp/canary", f"{CANARY}=true")
    await alone.change("pinned", rollbackTo={"revision": 1})
    await alone.change("halted", suspend=True)
    await alone.turned("pinned", "Ready", "True", "RolledBack")
    await alone.turned("halted", "Ready", "Unknown", "Suspended")
    rest = ("other", "third", "pinned", "halted")
    before = {name: uids(await alone.pods(name)) for name in rest}
    first.stop()

    bad = chart_with(tmp_path, "2.1.0", POD, "schedulerName: nobody")
    second = start(alone.namespace, "--chart", str(bad), release=RELEASE)
    canary = await stands(alone, "canary", "Failed", "2.1.0")
    await alone.turned("canary", "Stalled", "True", "RolledBack")
    await alone.pool("canary", lambda it: told(it)[-1] == (3, "deployed", True), "to be back")
    word = await said(alone, "Halted")
    assert f"failed at {alone.namespace}/canary" in word["message"]
    assert (word["failed"], word["waiting"], word["pinned"], word["suspended"]) == (
        *("1", "2", "1", "1"),
    )
    for name, where in (("other", "Waiting"), ("third", "Waiting"), ("pinned", "Pinned")):
        pool = await stands(alone, name, where, "2.1.0")
        assert condition(pool, "Ready")["status"] == "True", "it serves as before"
        assert pool["status"]["release"]["revision"] == 1
    assert second.metric("kvhelm_chart_rollout_halted") == 1
    assert second.helm_processes == 2  # there, and back
    await alone.change("other", replicas=2)
    await alone.pool("other", lambda it: it["status"].get("readyReplicas") == 2, "to have 2")
    assert standing(await alone.get("other")) == "Waiting", "a scale is no reason to move"
    second.stop()

    # A restart changes nothing of that.
    third = start(alone.namespace, "--chart", str(bad), release=RELEASE)
    await third.reaches("kvhelm_chart_rollout_halted", 1)
    await third.idles()
    assert third.helm_processes == 0
    third.stop()
    assert {name: uids(await alone.pods(name))[: len(was)] for name, was in before.items()} == (
        before
    )
    assert canary["status"]["rollout"]["standing"] == "Failed"

    # A better chart comes to all that may have it.
    good = chart_with(tmp_path, "2.2.0", POD, "dnsPolicy: Default")
    fourth = start(alone.namespace, "--chart", str(good), release=RELEASE)
    for name in ("canary", "other", "third"):
        pool = await stands(alone, name, "Current", "2.2.0")
    word = await said(alone, "Complete")
    assert (word["current"], word["pinned"], word["suspended"]) == ("3", "1", "1")
    assert uids(await alone.pods("pinned")) == before["pinned"]
    assert fourth.metric("kvhelm_chart_rollout_halted") == 0
    await alone.change("pinned", rollbackTo=None)
    await stands(alone, "pinned", "Current", "2.2.0")


async def test_who_changes_a_pool_gets_the_new_chart_with_it(
    alone: Stories, start: Start, tmp_path: Path
) -> None:
    first = start(alone.namespace)
    await create(alone, "left", "changed")
    first.stop()
    chart = chart_with(tmp_path, "2.0.0", LABELS, '    example.com/team: "inference"')
    frozen = ("--chart-canary", "0", "--chart-share", "0")
    second = start(alone.namespace, "--chart", str(chart), *frozen)
    for name in ("left", "changed"):
        await stands(alone, name, "Waiting", "2.0.0")
    await second.idles()
    assert second.helm_processes == 0
    await alone.change("changed", cache={"image": "vineyard:2"})
    await stands(alone, "changed", "Current", "2.0.0")
    assert standing(await alone.get("left")) == "Waiting"
    await alone.create("new", replicas=1)
    pool = await alone.ready("new")
    assert pool["status"]["release"]["chart"] == "kvcachepool-2.0.0"
    assert (await alone.get("left"))["status"]["release"]["revision"] == 1
