"""A helm that is killed in the middle leaves its release pending: it is freed, and made again."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from kvhelm.assets import chart_dir
from kvhelm.kube.resource import PODS, SECRETS, Object
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition
from tests.cluster.test_history import NOWHERE, told

Start = Callable[..., Operator]
SOON = "--helm-deadline=5"


class FragileHelm:
    """A helm that waits for pods in the middle of an upgrade, so that the test can kill it there.

    (In the old way, which needs no right to watch.) Only the one that the test holds.
    """

    def __init__(self, folder: Path, helm: Path) -> None:
        self.path, self._held = folder / "fragile-helm", folder / "held"
        self._pid = folder / "pid"
        self.path.write_text(
            f'#!/bin/sh\nif [ -e {self._held} ] && echo " $* " | grep -q " upgrade "; then\n'
            f"  rm {self._held}; echo $$ > {self._pid}\n"
            f'  exec {helm} "$@" --wait=legacy\nfi\nexec {helm} "$@"\n'
        )
        self.path.chmod(0o755)

    def hold(self) -> None:
        """Let the next upgrade be one that waits."""
        self._held.touch()

    def kill(self) -> None:
        """Kill the one that waits, with no chance to tidy up."""
        os.kill(int(self._pid.read_text()), signal.SIGKILL)


@pytest.fixture
def fragile(alone: Stories, tmp_path: Path) -> FragileHelm:
    return FragileHelm(tmp_path, alone.cluster.helm)


def revision(number: int) -> str:
    return f"sh.helm.release.v1.p.v{number}"


async def pending(stories: Stories, number: int) -> Object:
    """Wait until helm works on a revision, and all of its objects are there."""
    secret = await stories.wait(
        SECRETS,
        revision(number),
        lambda it: it["metadata"]["labels"]["status"].startswith("pending-"),
        "to be pending",
    )
    await stories.wait(
        PODS, "p-daemon-0", lambda it: condition(it, "PodScheduled")["status"] == "False", "to wait"
    )
    return secret


async def test_a_helm_killed_while_it_installs(
    alone: Stories, start: Start, fragile: FragileHelm
) -> None:
    fragile.hold()
    operator = start(alone.namespace, "--helm", str(fragile.path))
    await alone.create("p", scheduler=NOWHERE)
    await pending(alone, 1)
    fragile.kill()
    # At once, not when a deadline is over: our own process has ended.
    said = await alone.event("p", "ReleaseFreed")
    assert "our helm has ended and left revision 1 (pending-install)" in said["message"]
    await alone.pool("p", lambda it: len(told(it)) == 2, "to have another revision")
    await alone.change("p", scheduler=None)
    pool = await alone.ready("p")
    # (Helm supersedes the revision that it goes on from, the failed one as well.)
    assert told(pool) == [(1, "superseded", False), (2, "superseded", False), (3, "deployed", True)]
    assert operator.helm_processes == 3
    helms = await alone.helm("history", "p")
    assert "kvhelm: freed, since the helm process that worked on it has ended" in helms


async def begin_upgrade(stories: Stories, helm: FragileHelm) -> None:
    """Make a pool, and upgrade it until helm is in the middle of it."""
    await stories.create("p")
    await stories.ready("p")
    helm.hold()
    await stories.change("p", scheduler=NOWHERE)
    await pending(stories, 2)


async def test_a_helm_killed_while_it_upgrades(
    alone: Stories, start: Start, fragile: FragileHelm
) -> None:
    operator = start(alone.namespace, "--helm", str(fragile.path))
    await begin_upgrade(alone, fragile)
    fragile.kill()
    await alone.event("p", "ReleaseFreed")
    await alone.change("p", scheduler={"gpuType": "NVIDIA-A10"})
    pool = await alone.ready("p")
    assert told(pool)[:2] == [(1, "superseded", True), (2, "failed", False)]
    assert told(pool)[-1][1:] == ("deployed", True)
    assert operator.helm_processes <= 4


async def test_the_operator_killed_with_its_helm(
    alone: Stories, start: Start, fragile: FragileHelm
) -> None:
    first = start(alone.namespace, "--helm", str(fragile.path))
    await begin_upgrade(alone, fragile)
    first.signal(signal.SIGSTOP)  # so that it can't see its helm end
    fragile.kill()
    first.signal(signal.SIGKILL)
    secret = await alone.client.get(SECRETS, revision(2), alone.namespace)
    assert secret["metadata"]["labels"]["status"] == "pending-upgrade"

    second = start(alone.namespace, SOON)
    await alone.change("p", scheduler=None)
    said = await alone.event("p", "ReleaseFreed")
    assert "a helm was killed while it worked on revision 2" in said["message"]
    pool = await alone.ready("p")
    assert told(pool) == [(1, "superseded", True), (2, "failed", False), (3, "deployed", True)]
    assert second.helm_processes == 1


async def test_a_person_whose_helm_was_killed(
    alone: Stories, start: Start, fragile: FragileHelm
) -> None:
    start(alone.namespace, SOON)
    await alone.create("p")
    await alone.ready("p")
    fragile.hold()
    theirs = asyncio.create_task(
        alone.helm(
            *("upgrade", "p", str(chart_dir()), "--reuse-values", "--force-conflicts"),
            *("--set", "scheduler.gpuType=NVIDIA-NOWHERE"),
            executable=fragile.path,
        )
    )
    await pending(alone, 2)
    fragile.kill()
    with pytest.raises(AssertionError):
        await theirs
    pool = await alone.ready("p")
    assert told(pool) == [(1, "superseded", True), (2, "failed", False), (3, "deployed", True)]
