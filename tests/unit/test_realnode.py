"""Real nodes before anything runs: their plan, their images, and what a machine lacks."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kvhelm.errors import LocalError
from kvhelm.local.pins import pins
from kvhelm.local.realnode import preflight, traces
from kvhelm.local.realnode.images import ETCD_IMAGE, ETCDCTL, OPERATOR_IMAGE, VINEYARDD_IMAGES
from kvhelm.local.realnode.nodes import count_for, identities_for, nodes_of
from kvhelm.local.realnode.oci import Image, Tree, write_image
from kvhelm.local.realnode.plan import MOST, Place, RealNode, kubelet_for
from kvhelm.local.realnode.programs import RECIPES
from tests.chart.rendering import render


def test_nodes_share_nothing() -> None:
    nodes = nodes_of(MOST)
    for things in (
        {node.name for node in nodes},
        {node.address for node in nodes},
        {node.pod_range for node in nodes},
    ):
        assert len(things) == MOST


def test_two_clusters_of_one_name_have_cgroups_of_their_own() -> None:
    assert Place(Path("/a/clusters/demo/nodes")).cgroup != Place(Path("/b/demo/nodes")).cgroup


def test_a_node_is_known_to_the_api_server_as_nodes_are() -> None:
    identities = identities_for(nodes_of(2))
    assert identities["node-2"].user == "system:node:node-2"
    assert identities["node-2"].groups == ("system:nodes",)
    assert not identities_for(())


def test_a_kubelet_changes_nothing_of_the_machine_and_asks_who_calls() -> None:
    kubelet = kubelet_for(RealNode(1), Path("/certificates"), Path("/resolv.conf"))
    assert kubelet["protectKernelDefaults"]
    assert not kubelet["makeIPTablesUtilChains"]
    assert not kubelet["authentication"]["anonymous"]["enabled"]
    assert kubelet["authorization"] == {"mode": "Webhook"}


@pytest.mark.parametrize(
    ("has", "asked", "count"), [(None, None, 0), (None, 2, 2), (2, None, 2), (2, 2, 2), (0, 0, 0)]
)
def test_a_cluster_keeps_the_number_of_its_nodes(
    has: int | None, asked: int | None, count: int
) -> None:
    assert count_for("mine", has, asked) == count


@pytest.mark.parametrize(("has", "asked"), [(2, 1), (0, 2), (None, MOST + 1)])
def test_another_number_is_refused(has: int | None, asked: int) -> None:
    with pytest.raises(LocalError, match="real nodes"):
        count_for("mine", has, asked)


def test_every_program_is_pinned_by_its_go_mod() -> None:
    for recipe in (*RECIPES, ETCDCTL):
        assert recipe.version > (0, 0, 0)
        assert recipe.package == "." or recipe.package in recipe.pins.text
    assert pins("coredns").version("k8s.io/client-go")[1:] == (37, 2)


def test_the_images_have_the_names_that_the_charts_use() -> None:
    assert render().etcd["image"] == ETCD_IMAGE
    assert OPERATOR_IMAGE.startswith("docker.io/library/kvhelm:")
    assert VINEYARDD_IMAGES[0].endswith("/vineyardd:20241120")


def test_an_image_holds_what_it_was_given(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "kept.py").write_text("x" * 100_000)
    (tree / "deep" / "left-out.pyc").write_text("y")
    image = Image(
        ("example.com/a:1", "example.com/b:1"),
        {"/bin/run": program, "/etc/words": "said", "/lib": Tree(tree, ("*.pyc",))},
        {"/bin/link": "run"},
        entrypoint=("/bin/run",),
        user="65532:65532",
    )
    write_image(image, tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file
            return file.read()

        blobs = [name for name in archive.getnames() if name.startswith("blobs/")]
        for name in blobs:
            assert hashlib.sha256(read(name)).hexdigest() == name.rpartition("/")[2]
        index = json.loads(read("index.json"))
        assert {each["annotations"]["io.containerd.image.name"] for each in index["manifests"]} == {
            "example.com/a:1",
            "example.com/b:1",
        }
        manifest = json.loads(read(blob(index["manifests"][0])))
        config = json.loads(read(blob(manifest["config"])))
        assert config["config"]["User"] == "65532:65532"
        (tmp_path / "layer.tar").write_bytes(read(blob(manifest["layers"][0])))
    with tarfile.open(tmp_path / "layer.tar") as layer:
        entries = {entry.name: entry for entry in layer}
        assert entries["bin/run"].mode == 0o755
        assert entries["bin/link"].linkname == "run"
        assert entries["lib/deep/kept.py"].size == 100_000
        assert "lib/deep/left-out.pyc" not in entries
        assert entries["tmp"].mode == 0o1777
        assert all(entry.uid == entry.gid == 0 for entry in entries.values())
        # A folder comes before what is in it.
        names = list(entries)
        assert names.index("lib/deep") < names.index("lib/deep/kept.py")
    assert not list(tmp_path.glob("*.part"))


def blob(pointer: dict[str, str]) -> str:
    return "blobs/" + pointer["digest"].replace(":", "/")


def test_without_root_one_problem_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert list(preflight.problems(tmp_path)) == [
        "namespaces, mounts and cgroups need root: run kvhelm as root"
    ]
    with pytest.raises(LocalError, match="leave out --runtime containerd"):
        preflight.check_machine(tmp_path)


def test_missing_commands_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = preflight.problems(tmp_path)
    assert "unshare" in problem and "ip" in problem
    assert problem.endswith("install iproute2 mount util-linux")


def test_what_a_node_hides_is_told_with_its_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("KVHELM_CACHE", "/var/lib/somebody/cache")
    monkeypatch.setattr(preflight, "_COMMANDS", {})
    monkeypatch.setattr(preflight, "_cgroup_problems", lambda: iter(()))
    monkeypatch.setattr(preflight, "_trials", lambda state: iter(()))
    (problem,) = preflight.problems(tmp_path)
    assert "kvhelm's cache (/var/lib/somebody/cache) is below /var/lib" in problem
    assert "$KVHELM_CACHE" in problem


def test_a_process_that_stays_is_listed_before_a_disk_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "nodes")
    monkeypatch.setattr(traces, "_PATIENCE", 0.0)
    traces.ensure_gone(place)
    code = "import sys; sys.stdin.read()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, str(place.directory)], stdin=subprocess.PIPE
        ) as stays,
        pytest.raises(LocalError, match=rf"this is left of them:\n  process {stays.pid} "),
    ):
        traces.ensure_gone(place)
    traces.ensure_gone(place)
