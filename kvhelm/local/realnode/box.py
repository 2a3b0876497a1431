"""The inside of one node: its first process, and all that it starts.

`enter` joins the node's cgroups and becomes `unshare`, whose child in the new namespaces is `main`.
When that ends, by itself or killed, the kernel ends every process of the node, and its mounts and
interfaces go with the namespaces.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from kvhelm.local.realnode import plan as plans
from kvhelm.local.realnode.cgroups import Cgroups, is_unified
from kvhelm.local.realnode.plan import (
    CONTROLLERS,
    GATEWAY,
    PRIVATE,
    PROXY_PORT,
    Place,
    Plan,
    RealNode,
)

# A kubelet checks these. They are the machine's, so it is shown files that please it.
_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_MODULE = (sys.executable, "-m", "kvhelm.local.realnode.box")
_SOCKET = "/run/containerd/containerd.sock"
# Seconds until containerd must answer.
_READY = 60.0
_POLL = 0.02
# Seconds until kube-proxy is started again.
_AGAIN = 1.0


def command(place: Place, node: RealNode) -> list[str]:
    """Return the command line that becomes a node; it dies with the thread that starts it."""
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *(*_MODULE, "enter", str(place.directory), str(node.number)),
    ]


def enter(place: Place, node: RealNode) -> None:
    """Join the node's cgroups, and become the parent of the node's first process."""
    Cgroups(place.cgroup).enter(node.name)
    namespaces = ("--mount", "--pid", "--net", "--uts", "--ipc")
    os.execvp(  # noqa: S606 - no shell on the way
        "unshare",
        [
            *("unshare", *namespaces, "--fork", "--kill-child", "--mount-proc"),
            *("--propagation", "private"),
            *(*_MODULE, "main", str(place.directory), str(node.number)),
        ],
    )


def main(place: Place, node: RealNode) -> None:
    """Be the node: set it up, start its three programs, and end when one of them ends."""
    plan = read_plan(place)
    folder = place.of(node)
    socket.sethostname(node.name)
    _mount(place, node)
    # Whoever keeps the node plugs it in now, and says so.
    print("unplugged", flush=True)
    sys.stdin.readline()
    _network(node, plan.nodes)
    configure(place, node, plan)
    environment = plan.environment
    logs = folder / "logs"
    proxy = {"HTTPS_PROXY": f"http://{GATEWAY}:{PROXY_PORT}", "NO_PROXY": ""}
    running = {
        "containerd": _start(
            [plan.containerd, "--config", folder / "containerd.toml"], logs, environment | proxy
        )
    }
    _wait_for_containerd(plan, running["containerd"], environment)
    _load(plan, environment)
    running["kubelet"] = _start(
        [
            plan.kubelet,
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={folder / 'kubelet.kubeconfig'}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            f"--node-labels={','.join(f'{key}={value}' for key, value in node.labels.items())}",
            "--root-dir=/var/lib/kubelet",
        ],
        logs,
        environment,
    )
    _reap(
        {process.pid: name for name, process in running.items()},
        lambda: _start(
            [plan.kube_proxy, f"--config={folder / 'kube-proxy.json'}"], logs, environment
        ),
        logs,
    )


def import_command(plan: Plan, archive: Path) -> list[str]:
    """Return what loads an image's archive, run on a node."""
    return [
        *(str(plan.ctr), "--address", _SOCKET, "--namespace", "k8s.io"),
        *("images", "import", "--local", str(archive)),
    ]


def read_plan(place: Place) -> Plan:
    """Return what the nodes were started with."""
    return TypeAdapter(Plan).validate_json(place.plan.read_bytes())


def configure(place: Place, node: RealNode, plan: Plan) -> None:
    """Write the configuration of the node's programs."""
    folder = place.of(node)
    certificates = place.directory.parent / "certificates"
    resolv = folder / "resolv.conf"
    resolv.write_text(f"nameserver {GATEWAY}\n")
    (folder / "cni").mkdir(exist_ok=True)
    files = {
        "cni/10-kvhelm.conflist": plans.cni_for(node),
        "kubelet.kubeconfig": plans.kubeconfig_for(node.name, certificates),
        "kube-proxy.kubeconfig": plans.kubeconfig_for("kube-proxy", certificates),
        "kubelet.json": plans.kubelet_for(node, certificates, resolv),
        "kube-proxy.json": plans.proxy_for(node, folder / "kube-proxy.kubeconfig"),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2))
    (folder / "containerd.toml").write_text(plans.containerd_for(plan.runc, plan.cni, folder))


def _mount(place: Place, node: RealNode) -> None:
    unified = is_unified()  # as the machine has it
    _mounted("-t", "sysfs", "sysfs", "/sys")
    groups = Path("/sys/fs/cgroup")
    if unified:
        _mounted("-t", "cgroup2", "cgroup2", groups)
    else:
        _mounted("-t", "tmpfs", "-o", "mode=755", "cgroup", groups)
        for controller in (*CONTROLLERS, "systemd"):
            (groups / controller).mkdir()
            option = "none,name=systemd" if controller == "systemd" else controller
            _mounted("-t", "cgroup", "-o", option, "cgroup", groups / controller)
    for setting, value in _SETTINGS.items():
        shown = place.of(node) / "settings" / setting
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_text(value + "\n")
        _mounted("--bind", shown, Path("/proc/sys") / setting)
    # As on any machine, /run is empty at each start, and the rest is not.
    for private in PRIVATE:
        if private == "/run":
            _mounted("-t", "tmpfs", "-o", "mode=755", "run", private)
        else:
            disk = place.disk_of(node, private)
            disk.mkdir(exist_ok=True)
            _mounted("--bind", disk, private)
    for needed in ("/run/lock", "/var/lib/kubelet"):
        Path(needed).mkdir(exist_ok=True)
    _mounted("--make-rshared", "/")


def _network(node: RealNode, nodes: Sequence[RealNode]) -> None:
    for arguments in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{node.address}/24", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", GATEWAY),
        *(("route", "add", n.pod_range, "via", n.address) for n in nodes if n != node),
    ):
        _ran("ip", *arguments)
    # Of this network namespace, not of the machine.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _wait_for_containerd(
    plan: Plan, process: "subprocess.Popen[bytes]", environment: Mapping[str, str]
) -> None:
    deadline = time.monotonic() + _READY
    while not _answers(_SOCKET):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("containerd did not start")
        time.sleep(_POLL)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as attempt:
        return attempt.connect_ex(path) == 0


def _load(plan: Plan, environment: Mapping[str, str]) -> None:
    """Load the images before the kubelet asks for them: there is no registry to pull from."""
    for image in plan.images:
        _ran(*import_command(plan, image), environment=environment)


def _start(
    arguments: Sequence[str | Path], logs: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    logs.mkdir(exist_ok=True)
    with (logs / f"{Path(arguments[0]).name}.log").open("ab") as log:
        return subprocess.Popen(
            [str(each) for each in arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )


def _reap(
    parts: Mapping[int, str], proxy: Callable[[], "subprocess.Popen[bytes]"], logs: Path
) -> None:
    """Wait for every orphan, as a first process must; end at the end of a part.

    kube-proxy ends by itself when the node gets its address, if it was there before that: it
    counts on being started again.
    """
    running = proxy().pid
    while True:
        pid, status = os.wait()
        if pid in parts:
            code = os.waitstatus_to_exitcode(status)
            raise SystemExit(f"{parts[pid]} ended ({code}): {logs / (parts[pid] + '.log')}")
        if pid == running:
            time.sleep(_AGAIN)
            running = proxy().pid


def _mounted(*arguments: str | Path) -> None:
    _ran("mount", *(str(each) for each in arguments))


def _ran(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        arguments,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.strip()}")


if __name__ == "__main__":
    stage, directory, number = sys.argv[1:]
    {"enter": enter, "main": main}[stage](Place(Path(directory)), RealNode(int(number)))
