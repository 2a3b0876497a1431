"""The newcomer's first command, as a newcomer runs it: nothing prepared, no terminal asked for."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvhelm.errors import LocalError
from kvhelm.local import cluster as local
from kvhelm.local import operator as operators
from kvhelm.local import record as records
from kvhelm.local.operator import RELEASE
from kvhelm.local.places import cache_root
from kvhelm.local.processes import Process, alive

# A cluster takes 540 MB: no other test that starts one of its own runs beside this.
pytestmark = pytest.mark.xdist_group("local")

POOL = "test-aibrix-model-deepseek-coder-33b-instruct-kvcache"

Run = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with nothing in it but a kubeconfig of the person's own."""
    config = tmp_path / "home" / ".kube" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("the person's own")
    return tmp_path / "home"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    local.down("demo", state=folder)


@pytest.fixture
def run(home: Path, state: Path) -> Run:
    """Run `kvhelm ...` as that person; return what it prints."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KVHELM_CACHE": str(cache_root()),
        "KVHELM_STATE": str(state),
    }

    def run_one(*arguments: str) -> str:
        command = [sys.executable, "-m", "kvhelm", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_one


def operator_of(state: Path) -> Process:
    record = records.read(state / "clusters" / "demo" / "cluster.json")
    assert record is not None
    return record.operators[RELEASE].process


def test_a_newcomers_first_hour(run: Run, home: Path, state: Path) -> None:
    first = run("demo", "--runtime=kwok")
    assert re.search(r"^ +[\d.]+ s +Ready +True PoolReady", first, re.MULTILINE), first
    assert re.search(r"^ +[\d.]+ s +pod +ready +daemon-0 on gpu-a10-", first, re.MULTILINE), first
    # kubectl and helm themselves say so.
    assert re.search(rf"kvcachepool\S+/{POOL} +True +PoolReady", first), first
    assert re.search(rf"^{POOL}\s+default\s+1\s.*deployed", first, re.MULTILINE), first
    operator = operator_of(state)
    assert alive(operator)
    assert re.search(rf"kvhelm +{operator.pid} +running", run("local", "status", "--name=demo"))

    # What the person made of it stays, and nothing is started or installed again.
    cluster = local.find("demo", state=state)
    environment = {**os.environ, **local.environment(cluster, os.environ["PATH"])}
    subprocess.run(["kubectl", "scale", "kvcp", POOL, "--replicas=2"], env=environment, check=True)
    second = run("demo")
    assert "the local cluster demo runs already" in second
    assert "the operator runs already" in second
    assert "left as it is" in second
    assert operator_of(state) == operator
    wanted = ["kubectl", "get", "kvcp", POOL, "--output=jsonpath={.spec.replicas}"]
    assert subprocess.run(wanted, env=environment, capture_output=True).stdout == b"2"

    # The operator's process died: the next run brings it back.
    os.kill(operator.pid, signal.SIGKILL)
    third = run("demo")
    assert "the operator runs already" not in third
    assert alive(operator_of(state))

    operator = operator_of(state)
    run("local", "down", "--name=demo")
    assert not alive(operator)
    assert not any(alive(process) for process in cluster.processes.values())
    assert not state.exists()
    # Nothing of the person's own was read as a cluster, changed, or added to.
    assert [path.name for path in (home / ".kube").iterdir()] == ["config"]
    assert (home / ".kube" / "config").read_text() == "the person's own"


def test_an_operator_that_does_not_start_is_told_with_its_log(
    run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = local.up("demo", state=state, nodes=())
    monkeypatch.setattr(
        operators,
        "operator_command",
        lambda *_: [sys.executable, "-c", "raise SystemExit('no can do')"],
    )
    with pytest.raises(LocalError, match=r"(?s)the operator ended; .*operator\.log.*no can do"):
        operators.ensure_operator(cluster)
