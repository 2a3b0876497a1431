"""The README's commands, word for word and in order, on a new cluster."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvhelm.local import cluster as local
from kvhelm.local.cluster import Cluster
from kvhelm.local.operator import operator_kubeconfig
from tests.cluster.operators import start_operator
from tests.docs.blocks import ROOT, blocks_of

# A cluster takes 540 MB: no other test that starts one of its own runs beside this.
pytestmark = pytest.mark.xdist_group("local")


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster on which nobody has installed anything."""
    try:
        yield local.up("readme", state=tmp_path / "state")
    finally:
        local.down("readme", state=tmp_path / "state")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the commands read, since some write beside it."""
    for name in ("chart", "deploy", "examples", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


@pytest.fixture
def shell(own_cluster: Cluster, checkout: Path, tmp_path: Path) -> Callable[[str], str]:
    """Run lines as a person at a prompt would; the first that fails ends the test."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"HOME": str(tmp_path), **local.environment(own_cluster, path)}

    def run(lines: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_the_readme_works(
    shell: Callable[[str], str], own_cluster: Cluster, checkout: Path, tmp_path: Path
) -> None:
    operator = None
    printed = ""
    try:
        for block in blocks_of(ROOT / "README.md"):
            if block.language != "sh" or block.purpose == "norun":
                continue
            printed += shell(block.text)
            if block.purpose == "install":
                # Fake nodes run no containers: the operator's pod is a process here, with the
                # rights and the namespaces that the commands gave it.
                kubeconfig = operator_kubeconfig(own_cluster)
                operator = start_operator(
                    own_cluster, kubeconfig, tmp_path, "--namespace", "models"
                )
    finally:
        if operator is not None:
            operator.stop()
    assert "kvcachepool.kvcache.aibrix.ai/minimal condition met" in printed
    assert "STATUS: deployed" in printed
    assert 'release "kvhelm" uninstalled' in printed
    assert (checkout / "my-schemas" / "kvcachepool.schema.json").is_file()
    # Uninstalled, in the documented order, nothing of the pools is left.
    left = shell("kubectl get all,configmaps,secrets --namespace models --output name")
    assert left.split() == ["configmap/kube-root-ca.crt"]
