"""The local control plane with its real processes: what a person who uses it relies on."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvhelm.cli.local import app
from kvhelm.errors import LocalError
from kvhelm.local import cluster as local
from kvhelm.local.cluster import Cluster
from kvhelm.local.nodes import DEFAULT_NODES, Node
from kvhelm.local.processes import Process, alive
from kvhelm.local.status import status

# A cluster takes 540 MB: all of these tests are for one worker.
pytestmark = pytest.mark.xdist_group("local")


@pytest.fixture(scope="module")
def module_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared-state")


@pytest.fixture(scope="module")
def cluster(module_state: Path) -> Iterator[Cluster]:
    """A cluster that the tests share; each adds what it needs, and none stops it."""
    try:
        yield local.up("shared", state=module_state)
    finally:
        local.down("shared", state=module_state)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder of a test's own; whatever the test leaves running is stopped."""
    folder = tmp_path / "state"
    try:
        yield folder
    finally:
        for name in local.names(folder):
            local.down(name, state=folder)


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(
        [cluster.kubectl, *arguments],
        env={**os.environ, **local.environment(cluster, os.environ["PATH"])},
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of every process that has to do with the folder."""
    lines = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(folder) in line:
                lines.append(line)
    return lines


def pod(name: str, gpu: str | None) -> str:
    """Return a pod that asks for one GPU of that product."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "nodeSelector": {"nvidia.com/gpu.product": gpu},
                "containers": [
                    {"name": "c", "image": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
                ],
            },
        }
    )


def test_a_new_cluster_has_ready_gpu_nodes(cluster: Cluster, module_state: Path) -> None:
    seen = status("shared", state=module_state)
    assert seen.running
    assert seen.version is not None
    assert seen.version.startswith("v1.")
    assert {(node.name, node.gpu, node.ready) for node in seen.nodes} >= {
        (node.name, node.gpu, True) for node in DEFAULT_NODES
    }
    assert all(part.memory > 0 for part in seen.parts)


def test_up_again_is_the_same_cluster(cluster: Cluster, module_state: Path) -> None:
    again = local.up("shared", state=module_state)
    assert again.processes == cluster.processes
    assert again.server == cluster.server


def test_a_stranger_on_this_machine_gets_no_answer(cluster: Cluster) -> None:
    """Other users can reach the ports; without a certificate they get nowhere."""
    context = ssl.create_default_context(cafile=cluster.paths.certificates.certificate("ca"))
    for path in ("/api/v1/namespaces", "/version", "/readyz"):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", cluster.ports.api_server, context=context
        )
        connection.request("GET", path)
        assert connection.getresponse().status == 401
        connection.close()
    for port in (cluster.ports.controller_manager, cluster.ports.scheduler):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status in (401, 403)
        connection.close()


@pytest.mark.parametrize("user", [None, "kube-scheduler"])
def test_etcd_is_for_the_api_server_alone(cluster: Cluster, user: str | None) -> None:
    """A holder of the cluster's other certificates must not read Secrets behind its back."""
    certificates = cluster.paths.certificates
    context = ssl.create_default_context(cafile=certificates.certificate("etcd-ca"))
    if user is not None:
        context.load_cert_chain(certificates.certificate(user), certificates.key(user))
    connection = http.client.HTTPSConnection("127.0.0.1", cluster.ports.etcd, context=context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connection.request("GET", "/version")
        connection.getresponse()
    connection.close()


def test_ps_shows_no_secret(cluster: Cluster) -> None:
    """Whatever an argument holds, anybody on the machine can read."""
    lines = processes_of(cluster.paths.directory)
    assert len(lines) == 5
    for line in lines:
        assert "token" not in line
        assert "PRIVATE" not in line


def test_the_users_own_kubeconfig_is_not_touched(
    cluster: Cluster, module_state: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**local.environment(cluster, os.environ["PATH"]), "HOME": str(home)}
    subprocess.run([cluster.kubectl, "get", "nodes"], env=environment, check=True)
    subprocess.run([cluster.helm, "list"], env=environment, check=True)
    assert not (home / ".kube").exists()


def test_an_added_node_takes_the_pod_that_asks_for_its_gpu(
    cluster: Cluster, module_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVHELM_STATE", str(module_state))
    added = CliRunner().invoke(
        app,
        ["node", "add", "--cluster=shared", "--gpu=NVIDIA-L40S", "--zone=local-c",
         "--label=team=search", "--count=2"],
    )  # fmt: skip
    assert added.output == "node gpu-l40s-0 is Ready\nnode gpu-l40s-1 is Ready\n"
    kubectl(cluster, "apply", "-f", "-", stdin=pod("wants-l40s", "NVIDIA-L40S"))
    kubectl(cluster, "wait", "--for=condition=Ready", "pod/wants-l40s", "--timeout=120s")
    node = kubectl(cluster, "get", "pod", "wants-l40s", "-o=jsonpath={.spec.nodeName}")
    labels = json.loads(kubectl(cluster, "get", "node", node, "-o=json"))["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-L40S"
    assert labels["topology.kubernetes.io/zone"] == "local-c"
    assert labels["team"] == "search"
    # A deleted pod really goes.
    kubectl(cluster, "delete", "pod", "wants-l40s", "--timeout=120s")


def test_a_claim_is_bound_without_a_disk(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(claim))
    kubectl(cluster, "wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=120s")
    kubectl(cluster, "delete", "pvc", "data", "--timeout=120s")


def test_a_node_that_the_api_server_refuses_is_told_in_its_words(cluster: Cluster) -> None:
    with pytest.raises(LocalError, match=r"metadata\.labels"):
        local.add_nodes(cluster, [Node("odd", labels={"not a label": "x"})])
    with pytest.raises(LocalError, match="there is a node cpu-0 already"):
        local.add_nodes(cluster, [Node("cpu-0")])


def test_kept_data_comes_back_and_other_clusters_do_not_notice(
    cluster: Cluster, state: Path
) -> None:
    first = local.up("kept", nodes=[Node("only")], state=state)
    kubectl(first, "create", "configmap", "remember", "--from-literal=a=b")
    authority = first.paths.certificates.certificate("ca").read_bytes()

    assert local.down("kept", keep_data=True, state=state)
    assert not any(alive(process) for process in first.processes.values())
    assert processes_of(state) == []
    with pytest.raises(LocalError, match="the local cluster kept is not running"):
        local.find("kept", state=state)
    # Side by side: the shared cluster answers all the time, and never saw the object.
    assert "remember" not in kubectl(cluster, "get", "configmaps", "-o=name")

    # Somebody took the API server's port meanwhile: it moves, and the kubeconfig with it.
    with socket.create_server(("127.0.0.1", first.ports.api_server)):
        second = local.up("kept", state=state)
    assert second.server != first.server
    assert kubectl(second, "get", "configmap", "remember", "-o=jsonpath={.data.a}") == "b"
    assert local.node_names(second) == {"only"}
    assert second.paths.certificates.certificate("ca").read_bytes() == authority

    assert local.down("kept", state=state)
    assert not state.exists()
    assert processes_of(state) == []
    assert local.down("kept", state=state) is False


def test_a_cluster_of_which_a_part_died_starts_again_with_its_data(state: Path) -> None:
    first = local.up("hurt", nodes=(), state=state)
    kubectl(first, "create", "configmap", "remember")
    scheduler = first.processes["kube-scheduler"]
    os.kill(scheduler.pid, signal.SIGKILL)
    os.waitid(os.P_PID, scheduler.pid, os.WEXITED | os.WNOWAIT)

    assert not status("hurt", state=state).running
    with pytest.raises(LocalError, match="kube-scheduler died"):
        local.find("hurt", state=state)

    second = local.up("hurt", state=state)
    assert "remember" in kubectl(second, "get", "configmaps", "-o=name")
    assert all(alive(process) for process in second.processes.values())
    assert second.server == first.server


def test_a_part_that_does_not_start_is_named_with_its_log_and_nothing_stays(state: Path) -> None:
    with pytest.raises(LocalError) as failed:
        local.up("bad", api_server_args=["--no-such-flag=1"], state=state)
    message = str(failed.value)
    assert "kube-apiserver did not start" in message
    assert str(state / "clusters" / "bad" / "logs" / "kube-apiserver.log") in message
    assert "unknown flag: --no-such-flag" in message
    assert processes_of(state) == []
    # The log that it speaks of is there to be read; `down` removes it.
    assert local.down("bad", state=state)
    assert not state.exists()


def test_a_flag_for_the_api_server_reaches_it(state: Path) -> None:
    args = ["--event-ttl=2h", "--max-requests-inflight=800"]
    cluster = local.up("flags", nodes=(), api_server_args=args, state=state)
    process: Process = cluster.processes["kube-apiserver"]
    line = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
    assert set(args) <= set(line)
    # Said once, it holds until something else is said.
    assert local.up("flags", state=state).processes == cluster.processes


def test_ctrl_c_on_the_way_up_leaves_nothing_running(state: Path) -> None:
    command = [sys.executable, "-m", "kvhelm", "local", "up", "--name=torn"]
    with subprocess.Popen(
        command,
        env={**os.environ, "KVHELM_STATE": str(state)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have its background jobs ignore Ctrl-C; a person's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as up:
        assert up.stderr is not None
        assert any("starting the local cluster torn" in line for line in up.stderr)
        up.send_signal(signal.SIGINT)
        up.stderr.read()
    assert up.returncode != 0
    assert processes_of(state) == []
