"""What docs/metadata.md tells people to do, done word for word on a real cluster."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from kvhelm.kube.resource import PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from kvhelm.local.cluster import Cluster, environment
from tests.cluster.stories import PATIENCE, Stories
from tests.docs.blocks import ROOT, blocks_of

PAGE = ROOT / "docs" / "metadata.md"

Shell = Callable[[str], Coroutine[None, None, str]]


@pytest.fixture
def shell(cluster: Cluster, namespace: str, tmp_path: Path) -> Shell:
    """Run lines as a person at a prompt would, whose kubectl is set to the test's namespace."""
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(cluster.kubeconfig, kubeconfig)
    variables = environment(cluster, os.environ["PATH"])
    variables |= {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}

    def run(lines: str) -> str:
        # (`timeout` ends what waits for ever, and its children: the shell alone would leave them.)
        done = subprocess.run(
            ["timeout", str(PATIENCE), "bash", "-euo", "pipefail", "-c", lines],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            seen = run("kubectl get pods,pvc,events") if "events" not in lines else ""
            raise AssertionError(f"{lines}\n{done.stdout}{done.stderr}\n{seen}")
        return done.stdout

    run(f"kubectl config set-context --current --namespace {namespace}")
    return lambda lines: asyncio.to_thread(run, lines)


def block(purpose: str) -> str:
    """Return the block of the page that is there for this."""
    (found,) = (each for each in blocks_of(PAGE) if each.purpose == purpose)
    return found.text


async def test_an_etcd_is_made_anew(stories: Stories, shell: Shell) -> None:
    managed = {"replicas": 3, "storage": {"size": "1Gi"}}
    await stories.create("my-pool", metadata={"managed": managed})
    await stories.ready("my-pool")
    before = await uids(stories, PERSISTENT_VOLUME_CLAIMS) | await uids(stories, PODS)
    await shell(block("anew"))
    await stories.ready("my-pool")
    after = await uids(stories, PERSISTENT_VOLUME_CLAIMS) | await uids(stories, PODS)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] == before[name]] == []


async def uids(stories: Stories, kind: Resource) -> dict[str, str]:
    found = await stories.client.list(kind, stories.namespace, metadata_only=True)
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found.items}
