"""What a person gets who installs the built package, far from any checkout.

Needs the package index that .venv was made from (kvhelm's dependencies are installed anew).
"""

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from kvhelm import assets
from kvhelm.local import cluster as local
from kvhelm.local.places import cache_root
from kvhelm.local.tools import ensure_helm

ROOT = Path(__file__).parents[2]

# One worker builds and installs; the others do something else meanwhile.
pytestmark = pytest.mark.xdist_group("package")


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of sdist and wheel; the wheel is built from the sdist, so that both are whole."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has nothing to do with the checkout."""
    return tmp_path_factory.mktemp("far-away")


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an empty environment into which the wheel was installed.

    Its dependencies have the versions of this environment, which are those of the lock file.
    """
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    constraints = environment / "constraints.txt"
    pins = {each.metadata["Name"]: each.version for each in distributions()}
    constraints.write_text("".join(f"{name}=={pins[name]}\n" for name in pins if name != "kvhelm"))
    (wheel,) = dist.glob("*.whl")
    python = environment / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"),
        *("--disable-pip-version-check", "--constraint", constraints, wheel),
    )
    return environment / "bin"


def test_the_command_explains_itself(installed: Path, far: Path) -> None:
    text = run(installed / "kvhelm", "--help", cwd=far)
    for command in ("demo", "run", "export", "local"):
        assert re.search(rf"\b{command}\b", text)


def test_it_is_typed_and_licensed(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/*/site-packages/kvhelm")
    assert (package / "py.typed").is_file()
    (metadata,) = package.parent.glob("kvhelm-*.dist-info")
    assert "Apache License" in (metadata / "licenses" / "LICENSE").read_text()
    assert "License-Expression: Apache-2.0" in (metadata / "METADATA").read_text()


def test_it_holds_every_file_that_a_checkout_has(installed: Path, far: Path) -> None:
    for name in ("chart", "deploy", "schemas", "examples"):
        folder = far / name
        run(installed / "kvhelm", "export", name, folder, cwd=far)
        original = ROOT / name
        expected = {path.relative_to(original) for path in original.rglob("*")}
        assert {path.relative_to(folder) for path in folder.rglob("*")} == expected
    crd = run(installed / "kvhelm", "export", "crd", cwd=far)
    assert crd == (ROOT / "schemas" / "crd.yaml").read_text()
    sample = run(installed / "kvhelm", "export", "sample", cwd=far)
    assert sample == (assets.examples_dir() / "sample.yaml").read_text()


def test_its_charts_are_charts(installed: Path, tmp_path: Path) -> None:
    helm = ensure_helm()
    for name in ("chart", "deploy"):
        run(installed / "kvhelm", "export", name, tmp_path / name, cwd=tmp_path)
    values = ("--set", "cache.image=vineyardd:1")
    run(helm, "lint", "--strict", "chart", *values, cwd=tmp_path)
    assert "kind: StatefulSet" in run(helm, "template", "pool", "chart", *values, cwd=tmp_path)
    run(helm, "lint", "--strict", "deploy", cwd=tmp_path)
    assert "kind: Deployment" in run(helm, "template", "kvhelm", "deploy", cwd=tmp_path)


def test_the_demo_runs_without_a_checkout(installed: Path, far: Path) -> None:
    state = far / "state"
    environment = {"KVHELM_CACHE": str(cache_root()), "KVHELM_STATE": str(state), "HOME": str(far)}
    try:
        text = run(installed / "kvhelm", "demo", cwd=far, **environment)
        assert "True PoolReady" in text
        run(installed / "kvhelm", "local", "down", "--name=demo", cwd=far, **environment)
        assert not state.exists()
    finally:
        local.down("demo", state=state)


def test_the_sdist_has_what_a_developer_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "LICENSE", "README.md", "requirements.lock", "chart/Chart.yaml"} <= files
    assert any(name.startswith("tests/") for name in files)
