"""What docs/metadata.md tells people to do, done word for word on a real cluster."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from kvhelm.local.cluster import Cluster, environment
from kvhelm.local.tools import ensure_tools
from tests.cluster.stories import PATIENCE, Stories, condition
from tests.dataplane.install import ensure_installed
from tests.dataplane.managed import free_address
from tests.dataplane.parts import Etcd, Part, Redis, etcd_members
from tests.docs.blocks import ROOT, blocks_of

PAGE = ROOT / "docs" / "metadata.md"

Shell = Callable[[str], Coroutine[None, None, str]]


@pytest.fixture
def variables(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    """What a person at a prompt has: kubectl and its kubeconfig, the services' programs, $HOST."""
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(cluster.kubeconfig, kubeconfig)
    programs = tmp_path / "bin"
    programs.mkdir()
    installed = ensure_installed()
    for program in (installed.redis_server, installed.old_etcd.with_name("etcdctl")):
        (programs / program.name).symlink_to(program)
    (programs / "etcd").symlink_to(ensure_tools().etcd)
    known = environment(cluster, f"{programs}:{os.environ['PATH']}")
    # An address of its own takes the place of a machine of its own.
    own = {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path), "HOST": free_address()}
    return known | own


@pytest.fixture
def shell(variables: dict[str, str], namespace: str) -> Shell:
    """Run lines as a person would whose kubectl is set to the test's namespace."""

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
            seen = run("kubectl get kvcp,pods,pvc,events") if "events" not in lines else ""
            raise AssertionError(f"{lines}\n{done.stdout}{done.stderr}\n{seen}")
        return done.stdout

    run(f"kubectl config set-context --current --namespace {namespace}")
    return lambda lines: asyncio.to_thread(run, lines)


def blocks(purpose: str) -> list[str]:
    """Return the blocks of the page that are there for this, in order."""
    found = [each.text for each in blocks_of(PAGE) if each.purpose == purpose]
    assert found
    return found


async def test_from_a_fresh_etcd_to_a_pool(
    parts: list[Part], variables: dict[str, str], tmp_path: Path, stories: Stories, shell: Shell
) -> None:
    (command,) = blocks("etcd-server")
    host = variables["HOST"]
    # What a machine of its own would keep apart as well: other ports, and the folder.
    peer = f"http://{host}:2380"
    apart = {
        "ETCD_DATA_DIR": str(tmp_path / "data"),
        "ETCD_LISTEN_PEER_URLS": peer,
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_INITIAL_CLUSTER": f"default={peer}",
    }
    etcd = Etcd(
        ["bash", "-c", command], tmp_path / "etcd.log", variables | apart, port=2379, host=host
    )
    parts.append(etcd)
    await etcd.serve()
    look, use, leave = blocks("etcd")
    assert f"http://{host}:2379" in await shell(look)
    printed = await shell(use)
    assert "my-pool condition met" in printed
    assert "ServiceHealthy" in printed
    uid = (await stories.get("my-pool"))["metadata"]["uid"]
    claim = f"/kvhelm/.claims/kvhelm/{stories.namespace}/my-pool/{uid[:8]}/"
    assert claim in printed.splitlines()
    (deleted,) = (await shell(leave)).splitlines()
    assert 'kvcachepool.kvcache.aibrix.ai "my-pool" deleted' in deleted


async def test_from_a_fresh_redis_to_a_pool(
    parts: list[Part], variables: dict[str, str], tmp_path: Path, stories: Stories, shell: Shell
) -> None:
    (command,) = blocks("redis-server")
    redis = Redis(
        ["bash", "-c", f"cd {tmp_path}; {command}"],
        tmp_path / "redis.log",
        variables,
        port=6379,
        host=variables["HOST"],
    )
    parts.append(redis)
    await redis.serve()
    (use,) = blocks("redis")
    printed = await shell(use)
    assert "my-pool condition met" in printed
    assert "Untested" in printed
    await stories.gone(POOLS, "my-pool")


async def test_a_pool_is_let_go_without_its_service(
    parts: list[Part], variables: dict[str, str], tmp_path: Path, stories: Stories, shell: Shell
) -> None:
    etcd, *_ = etcd_members(tmp_path / "etcd")
    parts.append(etcd)
    await etcd.serve()
    await stories.create("my-pool", metadata={"etcd": {"endpoints": [etcd.url]}})
    await stories.ready("my-pool")
    etcd.kill()
    await stories.client.delete(POOLS, "my-pool", stories.namespace)
    await stories.turned("my-pool", "Ready", "False", "MetadataWaiting")
    await shell(blocks("let-go")[0])
    await stories.gone(POOLS, "my-pool")


async def test_an_etcd_is_made_anew(stories: Stories, shell: Shell) -> None:
    managed = {"replicas": 3, "storage": {"size": "1Gi"}}
    await stories.create("my-pool", metadata={"managed": managed})
    pool = await stories.pool(
        "my-pool",
        lambda pool: "heldBy" in pool.get("status", {}).get("metadata", {}),
        "to have all three members",
    )
    held = set(pool["status"]["metadata"]["heldBy"])
    await stories.ready("my-pool")
    before = await uids(stories, PERSISTENT_VOLUME_CLAIMS) | await uids(stories, PODS)
    await shell(blocks("anew")[0])
    await stories.event("my-pool", "DaemonsRestarted")
    await stories.pool(
        "my-pool",
        lambda pool: (
            condition(pool, "Ready")["status"] == "True"
            and not held & set(pool["status"]["metadata"]["heldBy"])
        ),
        "to be mended",
    )
    after = await uids(stories, PERSISTENT_VOLUME_CLAIMS) | await uids(stories, PODS)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] == before[name]] == []


async def uids(stories: Stories, kind: Resource) -> dict[str, str]:
    found = await stories.client.list(kind, stories.namespace, metadata_only=True)
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found.items}
