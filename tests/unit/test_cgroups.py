"""Which kind of cgroups a machine has, and whether nodes can have some of them."""

from pathlib import Path

import pytest

from kvhelm.local.realnode import cgroups, preflight
from kvhelm.local.realnode.plan import CONTROLLERS


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with cgroup v2 alone; its folder of cgroups is that of the whole machine."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    (folder / "cgroup.subtree_control").write_text("\n")
    (folder / "cgroup.procs").write_text("1\n2\n")
    mounts(tmp_path, monkeypatch, f"cgroup2 {folder} cgroup2 rw,nsdelegate 0 0")
    return folder


def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    (tmp_path / "mounts").write_text("\n".join(["sysfs /sys sysfs rw 0 0", *lines]) + "\n")
    monkeypatch.setattr(cgroups, "_MOUNTS", tmp_path / "mounts")


def problems() -> list[str]:
    return list(preflight._cgroup_problems())


def test_a_machine_with_cgroup_v2(root: Path) -> None:
    assert cgroups.is_unified()
    assert cgroups.hierarchies() == [root]
    assert problems() == []


def test_a_machine_with_cgroup_v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have v2 as well, without controllers."""
    lines = [f"cgroup {tmp_path} cgroup rw,{name} 0 0" for name in (*CONTROLLERS, "name=systemd")]
    lines.append("cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0")
    mounts(tmp_path, monkeypatch, *lines)
    assert not cgroups.is_unified()
    assert cgroups.hierarchies() == [tmp_path]
    assert problems() == []
    mounts(tmp_path, monkeypatch, *lines[1:])
    (problem,) = problems()
    assert "cgroup v1 hierarchies are not mounted: cpu." in problem


def test_a_machine_without_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts(tmp_path, monkeypatch)
    (problem,) = problems()
    assert "mount cgroup2" in problem


def test_controllers_that_are_not_delegated_are_named(root: Path) -> None:
    (root / "cgroup.controllers").write_text("cpu pids\n")
    (problem,) = problems()
    assert f"{root} has no cgroup controllers memory: " in problem


def test_a_container_whose_processes_are_in_the_way(root: Path) -> None:
    """The root of all has no events; a container's cgroup has, and processes mostly."""
    (root / "cgroup.events").write_text("populated 1\n")
    (problem,) = problems()
    assert "--cgroupns=host" in problem
    (root / "cgroup.subtree_control").write_text("cpu memory pids\n")
    assert problems() == []
    (root / "cgroup.subtree_control").write_text("\n")
    (root / "cgroup.procs").write_text("")
    assert problems() == []
