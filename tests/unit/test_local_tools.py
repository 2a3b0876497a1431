"""Which programs a local cluster uses: the user's own where they fit, else built once."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kvhelm.errors import LocalError
from kvhelm.local.build import ensure_binary, joined, kind_of
from kvhelm.local.pins import Pins, pins, version_in
from kvhelm.local.tools import (
    HELM,
    RECIPES,
    ensure_helm,
    ensure_tool,
    etcd_fits,
    helm_fits,
    same_minor,
)


class Listener:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def during(self, activity: str, hint: str = "") -> AbstractContextManager[None]:
        self.lines.append(activity)
        return nullcontext()


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH holds nothing but what a test puts there, and whose cache is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("KVHELM_CACHE", str(tmp_path / "cache"))
    return folder


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Kubernetes v1.37.2\n", (1, 37, 2)),
        ("etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8\n", (3, 7, 3)),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)\n", (0, 8, 0)),
        ("Client Version: v1.32.1\nKustomize Version: v5.5.0\n", (1, 32, 1)),
        ("v4.3.1+g1234567", (4, 3, 1)),
        ("go1.26\n", (1, 26, 0)),
        ("go1.27rc1\n", (1, 27, 0)),
        ("v1.37.2-eks-abcdef", (1, 37, 2)),
    ],
)
def test_a_version_is_read_from_what_a_tool_prints(said: str, version: tuple[int, ...]) -> None:
    assert version_in(said) == version


def test_a_tool_that_prints_no_version_is_told_so() -> None:
    with pytest.raises(LocalError, match="no version in 'unknown flag'"):
        version_in("unknown flag")


@pytest.mark.parametrize(
    ("found", "fits"),
    [((1, 37, 0), True), ((1, 37, 9), True), ((1, 36, 5), False), ((1, 38, 0), False)],
)
def test_kubernetes_fits_in_the_same_minor(found: tuple[int, int, int], fits: bool) -> None:
    assert same_minor((1, 37, 2), found) is fits


@pytest.mark.parametrize(
    ("found", "fits"),
    [((3, 4, 23), False), ((3, 5, 0), True), ((3, 9, 0), True), ((4, 0, 0), False)],
)
def test_etcd_fits_from_3_5(found: tuple[int, int, int], fits: bool) -> None:
    assert etcd_fits((3, 7, 3), found) is fits


@pytest.mark.parametrize(
    ("found", "fits"),
    [((3, 19, 0), False), ((4, 2, 9), False), ((4, 3, 0), True), ((4, 9, 0), True)],
)
def test_helm_fits_from_the_pinned_minor_within_4(found: tuple[int, int, int], fits: bool) -> None:
    assert helm_fits((4, 3, 1), found) is fits


def test_every_recipe_is_pinned_by_its_go_mod() -> None:
    for recipe in RECIPES:
        assert recipe.version > (0, 0, 0)
        assert recipe.package in recipe.pins.text
        assert recipe.pins.go >= (1, 26, 0)
    kubernetes = {recipe.version for recipe in RECIPES if recipe.module == "kubernetes"}
    assert len(kubernetes) == 1


def test_the_version_reaches_the_linker() -> None:
    flags = next(recipe for recipe in RECIPES if recipe.name == "kube-apiserver").ldflags
    major, minor, patch = pins("kubernetes").version("k8s.io/kubernetes")
    assert f"version.gitVersion=v{major}.{minor}.{patch}" in flags
    assert f"version.gitMinor={minor}" in flags


def test_a_fitting_helm_on_path_is_used_and_named(bin_folder: Path) -> None:
    own = script(bin_folder / "helm", "echo v4.99.0+gabc")
    listener = Listener()
    assert ensure_helm(listener) == own
    assert listener.lines == [f"using {own} (v4.99.0)"]


def test_kubebuilder_assets_come_before_path(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bin_folder / "etcd", "echo etcd Version: 3.6.0")
    envtest = script(tmp_path / "assets" / "etcd", "echo etcd Version: 3.5.21")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    etcd = next(recipe for recipe in RECIPES if recipe.name == "etcd")
    assert ensure_tool(etcd) == envtest


@pytest.mark.parametrize("body", ["echo v3.19.0", "echo nothing", "exit 1", "kill -9 $$"])
def test_what_does_not_fit_or_work_is_passed_over(bin_folder: Path, body: str) -> None:
    script(bin_folder / "helm", body)
    built = script(HELM.cached, "")
    assert ensure_helm() == built


def test_a_link_into_the_cache_is_not_the_users_own(bin_folder: Path) -> None:
    """`eval "$(kvhelm local env)"` puts such links on PATH."""
    former = script(HELM.cached.parent.parent / "former" / "helm", "echo v4.99.0")
    (bin_folder / "helm").symlink_to(former)
    built = script(HELM.cached, "")
    assert ensure_helm() == built


def test_without_go_the_error_says_which_go_is_needed(bin_folder: Path) -> None:
    with pytest.raises(LocalError, match=r"no `go` on PATH; Go 1\.26\.0 or newer builds helm"):
        ensure_helm()


def test_a_go_that_is_too_old_is_named(bin_folder: Path) -> None:
    script(bin_folder / "go", "echo go1.19.8")
    with pytest.raises(LocalError, match=r"go1\.19\.8 on PATH is too old; Go 1\.26\.0 or newer"):
        ensure_helm()


def test_a_failed_build_shows_what_go_said_but_its_downloads(bin_folder: Path) -> None:
    script(
        bin_folder / "go",
        'test "$1" = env && echo go1.99.0 && exit\n'
        "echo go: downloading example.com/x v1.0.0 >&2\n"
        "echo no space left on device >&2\n"
        "exit 1",
    )
    with pytest.raises(LocalError) as failed:
        ensure_helm()
    assert "building helm failed" in str(failed.value)
    assert "no space left on device" in str(failed.value)
    assert "downloading" not in str(failed.value)
    assert not HELM.cached.exists()


def test_two_builders_at_once_build_once(bin_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    # go build -trimpath -ldflags=... -o OUT PACKAGE, in a folder with a copy of go.mod
    script(
        bin_folder / "go",
        'test "$1" = env && echo go1.99.0 && exit\n'
        f"test -f go.mod && test -f go.sum && echo run >> {runs} && echo built > $5",
    )
    barrier = threading.Barrier(4)
    targets: list[Path] = []

    def build() -> None:
        barrier.wait()
        listener = Listener()
        target = tmp_path / "cache" / "digest" / "helm"
        targets.append(ensure_binary(target, HELM.pins, HELM.package, "-s", listener, "soon"))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {target.read_text() for target in targets} == {"built\n"}
    assert len(targets) == 4
    assert runs.read_text() == "run\n"
    # Neither a lock nor a half-written file stays behind.
    assert [path.name for path in targets[0].parent.iterdir()] == ["helm"]
    assert [path.name for path in targets[0].parent.parent.iterdir()] == ["digest"]


def test_what_nobody_used_for_a_month_goes_when_something_new_is_built(
    bin_folder: Path, tmp_path: Path
) -> None:
    script(bin_folder / "go", 'test "$1" = env && echo go1.99.0 && exit\necho built > $5')

    def build(digest: str) -> Path:
        target = tmp_path / "cache" / digest / "helm"
        return ensure_binary(target, HELM.pins, HELM.package, "-s", Listener(), "soon")

    old, used = build("old"), build("used")
    for each in (old, used):
        os.utime(each.parent, (0, 0))
    assert build("used") == used
    assert build("new").exists()
    assert used.exists()
    assert not old.parent.exists()


def test_joined_stages_stay_documents_of_their_own() -> None:
    without_newline = "kind: Stage\nmetadata:\n  name: pod-ready"
    with_separator = "---\nkind: Stage\nmetadata:\n  name: pod-delete\n"
    text = joined([without_newline, with_separator, without_newline])
    documents = list(YAML(typ="safe").load_all(text))
    names = [document["metadata"]["name"] for document in documents]
    assert names == ["pod-ready", "pod-delete", "pod-ready"]


def test_only_objects_of_the_wanted_kind_are_stages() -> None:
    assert kind_of("apiVersion: a\nkind: Stage\nspec:\n  resourceRef:\n    kind: Pod\n") == "Stage"
    assert kind_of("kind: StorageClass\n") == "StorageClass"
    assert kind_of("  kind: Nested\n") is None


def test_the_cache_tells_builds_of_other_pins_apart(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module m\n\ngo 1.26.0\n")
    (tmp_path / "go.sum").write_text("")
    module = Pins(tmp_path)
    before = module.digest("-s -w")
    assert module.digest("-s") != before
    (tmp_path / "go.sum").write_text("other\n")
    assert module.digest("-s -w") != before
