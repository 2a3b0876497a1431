"""What this machine lacks for real nodes, tried and told before anything starts."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.places import cache_root
from kvhelm.local.realnode.cgroups import controllers, hierarchies, is_unified, passes_on, wanted
from kvhelm.local.realnode.plan import PRIVATE

_COMMANDS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
}
# Seconds for one trial.
_TIMEOUT = 20.0


def check_machine(state: Path) -> None:
    """Raise LocalError with everything that real nodes lack here, and what to do about it.

    `state` is where the nodes' disks will be.
    """
    if found := list(problems(state)):
        lines = "\n".join(f"  - {problem}" for problem in found)
        raise LocalError(
            f"this machine can't run real nodes:\n{lines}\n"
            "Fake nodes need none of this: leave out --runtime containerd."
        )


def problems(state: Path) -> Iterator[str]:
    """Tell what is missing, each with its remedy; the trials leave nothing behind."""
    if sys.platform != "linux":
        yield f"they are Linux namespaces, and this is {platform.system()}: use a Linux machine"
        return
    if os.geteuid() != 0:
        yield "namespaces, mounts and cgroups need root: run kvhelm as root"
        return
    missing = {name: package for name, package in _COMMANDS.items() if not shutil.which(name)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        yield f"no {', '.join(missing)} on PATH: install {packages}"
        return
    for what, folder in {
        "kvhelm's cache": cache_root(),
        "the cluster's state": state,
        "the Python that runs this": Path(sys.prefix),
        "kvhelm itself": Path(__file__),
    }.items():
        if hiding := _hidden(folder):
            yield (
                f"{what} ({folder}) is below {hiding}, of which each node has its own: "
                "move it, by $KVHELM_CACHE or $KVHELM_STATE"
            )
    yield from _cgroup_problems()
    yield from _trials(state)


def _cgroup_problems() -> Iterator[str]:
    found = hierarchies()
    lacking = ", ".join(sorted(wanted() - controllers()))
    if not found:
        yield "no cgroups are mounted: mount cgroup2 at /sys/fs/cgroup"
    elif lacking and is_unified():
        yield (
            f"{found[0]} has no cgroup controllers {lacking}: run kvhelm where they are delegated, "
            "such as on the machine itself"
        )
    elif lacking:
        yield (
            f"cgroup v1 hierarchies are not mounted: {lacking}. Mount them, or start the machine "
            "with cgroup v2 (systemd.unified_cgroup_hierarchy=1)"
        )
    elif not all(os.access(folder, os.W_OK) for folder in found):
        yield "the cgroup hierarchies can't be written: give this container writable ones"
    elif is_unified() and not passes_on(found[0]):
        yield (
            f"{found[0]} has processes of its own, so that none below can have controllers: run "
            "kvhelm on the machine itself, or in a container with --cgroupns=host"
        )


def _trials(state: Path) -> Iterator[str]:
    namespaces = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")
    unshare = ("unshare", *namespaces, "--fork", "--kill-child", "--propagation", "private")
    if said := _fails(*unshare, "--mount-proc", "true"):
        yield f"new namespaces are refused ({said}): allow them (in a container: --privileged)"
        return
    if said := _fails(*unshare, "ip", "link", "add", "hub0", "type", "bridge"):
        yield f"the kernel makes no bridge ({said}): load the module bridge"
    if said := _fails(
        *unshare, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"
    ):
        yield f"the kernel makes no veth pair ({said}): load the module veth"
    with tempfile.TemporaryDirectory(dir=_existing(state), prefix=".kvhelm-trial-") as folder:
        for part in ("lower", "upper", "work", "all"):
            Path(folder, part).mkdir()
        option = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        overlay = ("mount", "-t", "overlay", "-o", option, "overlay", f"{folder}/all")
        if said := _fails(*unshare, *overlay):
            yield (
                f"overlayfs does not work below {state} ({said}): set $KVHELM_STATE to a folder "
                "on a disk of ext4, xfs or btrfs"
            )


def _fails(*command: str) -> str | None:
    """Run a trial; return what it says if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if not done.returncode:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def _hidden(folder: Path) -> str | None:
    resolved = folder.resolve()
    return next((private for private in PRIVATE if resolved.is_relative_to(private)), None)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())
