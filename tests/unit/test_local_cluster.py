"""What a local cluster is made of and how it is named: everything that needs no process."""

import io
import json
import subprocess
import threading
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from kvhelm.cli.local import app, export_lines
from kvhelm.errors import LocalError
from kvhelm.local import cluster as local
from kvhelm.local import record as records
from kvhelm.local.nodes import (
    DEFAULT_NODES,
    Node,
    Taint,
    is_ready,
    label_in,
    manifest_for,
    names_for,
    taint_in,
)
from kvhelm.local.parts import PARTS, Paths, Ports, commands, kubeconfig_for
from kvhelm.local.places import cache_root, state_root
from kvhelm.local.processes import Process
from kvhelm.local.progress import ConsoleProgress
from kvhelm.local.record import Record
from kvhelm.local.tools import Tools

PORTS = Ports(1001, 1002, 1003, 1004, 1005)
NAMES = Tools.__dataclass_fields__
TOOLS = Tools(**{name: Path("/tools", name) for name in NAMES})


def command_lines(*api_server_args: str) -> dict[str, list[str]]:
    made = commands(TOOLS, Paths(Path("/state")), PORTS, api_server_args)
    return {part: [str(argument) for argument in line] for part, line in made.items()}


def test_every_part_has_a_command_line() -> None:
    assert tuple(command_lines()) == PARTS


def test_everything_listens_on_the_loopback_address_only() -> None:
    lines = command_lines()
    for part in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert "--bind-address=127.0.0.1" in lines[part]
    for argument in lines["etcd"]:
        if "urls=" in argument or "cluster=" in argument:
            assert "https://127.0.0.1:" in argument
    # kwok opens its unauthenticated server only for one of these.
    assert not any("server-address" in arg or "node-port" in arg for arg in lines["kwok"])


def test_nobody_gets_in_without_a_certificate() -> None:
    lines = command_lines()
    assert "--anonymous-auth=false" in lines["kube-apiserver"]
    assert "--client-cert-auth" in lines["etcd"]
    assert "--peer-client-cert-auth" in lines["etcd"]
    assert not any("token" in arg for line in lines.values() for arg in line)


def test_arguments_of_the_users_own_come_last_so_that_they_win() -> None:
    assert command_lines("--v=4")["kube-apiserver"][-1] == "--v=4"


def test_a_kubeconfig_names_files_and_holds_no_key() -> None:
    paths = Paths(Path("/state"))
    config = json.loads(kubeconfig_for("admin", "demo", PORTS, paths.certificates))
    assert config["current-context"] == "kvhelm-demo"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1003"
    assert config["users"][0]["user"] == {
        "client-certificate": "/state/certificates/admin.crt",
        "client-key": "/state/certificates/admin.key",
    }


def test_a_gpu_node_looks_like_a_real_one() -> None:
    node = manifest_for(Node("gpu-h100-0", "NVIDIA-H100-80GB-HBM3", zone="local-b"))
    assert node["metadata"]["labels"] == {
        "kubernetes.io/hostname": "gpu-h100-0",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": "local",
        "topology.kubernetes.io/zone": "local-b",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.memory": "81559",
    }
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}


def test_a_node_without_gpu_has_no_gpu_labels() -> None:
    node = manifest_for(Node("cpu-0"))
    assert not any(label.startswith("nvidia.com/") for label in node["metadata"]["labels"])
    assert "nvidia.com/gpu" not in node["status"]["allocatable"]


def test_labels_and_taints_of_the_users_own_are_kept() -> None:
    taint = Taint("dedicated", "inference", "NoSchedule")
    node = manifest_for(
        Node("n", "GPU-X", 2, labels={"kubernetes.io/arch": "arm64"}, taints=(taint,))
    )
    assert node["metadata"]["labels"]["kubernetes.io/arch"] == "arm64"
    assert node["spec"]["taints"] == [
        {"key": "dedicated", "value": "inference", "effect": "NoSchedule"}
    ]
    # Nothing is made up about a product that is not known.
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "GPU-X"
    assert "nvidia.com/gpu.memory" not in node["metadata"]["labels"]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"


@pytest.mark.parametrize(
    ("gpu", "count", "taken", "names"),
    [
        ("NVIDIA-A10", 2, {"gpu-a10-0", "gpu-a10-2"}, ["gpu-a10-1", "gpu-a10-3"]),
        ("NVIDIA-RTX-6000-Ada-Generation", 1, set(), ["gpu-rtx-6000-ada-generation-0"]),
        (None, 1, {"cpu-0"}, ["cpu-1"]),
    ],
)
def test_new_nodes_get_names_that_are_free(
    gpu: str | None, count: int, taken: set[str], names: list[str]
) -> None:
    assert names_for(gpu, count, taken) == names


def test_the_default_nodes_have_names_of_that_kind() -> None:
    taken: set[str] = set()
    for node in DEFAULT_NODES:
        assert names_for(node.gpu, 1, taken) == [node.name]
        taken.add(node.name)


def test_taints_and_labels_are_read_as_kubectl_writes_them() -> None:
    assert taint_in("a.b/c=d:NoExecute") == Taint("a.b/c", "d", "NoExecute")
    assert taint_in("spot:NoSchedule") == Taint("spot", "", "NoSchedule")
    assert label_in("a=b=c") == ("a", "b=c")


@pytest.mark.parametrize("text", ["a=b", "a=b:Never", ":NoSchedule", "=b:NoSchedule", ""])
def test_a_malformed_taint_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(LocalError, match="key=value:Effect"):
        taint_in(text)


@pytest.mark.parametrize("text", ["a", "=b", ""])
def test_a_malformed_label_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(LocalError, match="key=value"):
        label_in(text)


def test_a_node_is_ready_once_pods_may_come() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {}}
    tainted = {**ready, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}}
    assert is_ready(ready)
    assert not is_ready(tainted)
    assert not is_ready({"status": {}, "spec": {}})


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = Record(PORTS, ("--v=4",), {"etcd": Process(7, 8, "boot")}, populated=True)
    records.write(tmp_path / "cluster.json", record)
    assert records.read(tmp_path / "cluster.json") == record
    assert records.read(tmp_path / "other.json") is None


def test_a_record_that_was_broken_by_hand_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"ports": 1}')
    with pytest.raises(LocalError, match=r"cluster\.json can't be read"):
        records.read(tmp_path / "cluster.json")


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a-", "a" * 41, "a b"])
def test_a_name_that_could_leave_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="can't be the name of a local cluster"):
        local.down(name, state=tmp_path)


def test_the_environment_survives_any_shell_word(tmp_path: Path) -> None:
    odd = tmp_path / "it's $HOME `here`"
    lines = export_lines({"KUBECONFIG": str(odd), "PATH": str(odd / "bin")})
    script = "\n".join([*lines, 'printf "%s\\n%s" "$KUBECONFIG" "$PATH"'])
    said = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/of the user"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == [str(odd), f"{odd / 'bin'}:/of the user"]


def test_state_and_cache_are_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("KVHELM_CACHE", "KVHELM_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_root() == Path("/home/someone/.cache/kvhelm")
    assert state_root() == Path("/home/someone/.local/state/kvhelm")
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert state_root() == Path("/home/someone/.local/state/kvhelm")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_root() == Path("/xdg/kvhelm")
    monkeypatch.setenv("KVHELM_STATE", str(tmp_path))
    assert state_root() == tmp_path


@pytest.mark.parametrize("command", ["status", "env"])
def test_what_is_not_running_is_one_clear_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVHELM_STATE", str(tmp_path))
    result = CliRunner().invoke(app, [command, "--name", "nowhere"])
    assert result.exit_code == 1
    assert isinstance(result.exception, LocalError)
    assert "the local cluster nowhere is not running" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_stopping_what_is_not_there_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVHELM_STATE", str(tmp_path))
    result = CliRunner().invoke(app, ["down", "--name", "nowhere"])
    assert result.exit_code == 0
    assert result.output == "there is no local cluster nowhere\n"


def test_a_log_shows_what_goes_on_and_how_long_it_took() -> None:
    heard = threading.Event()

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if "... 0 s" in text:
                heard.set()
            return super().write(text)

    output = Log()
    progress = ConsoleProgress(Console(file=output), heartbeat=0.001)
    with progress.during("building [x]", "about 3 minutes"):
        assert heard.wait(60)
    lines = output.getvalue().splitlines()
    assert lines[0] == "building [x] (about 3 minutes) ..."
    assert lines[1] == "building [x] (about 3 minutes) ... 0 s"
    assert lines[-1].startswith("building [x]: ")
