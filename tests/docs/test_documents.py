"""What the documents say of files, targets and pools is so."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from kvhelm import assets
from kvhelm.local.pins import pins, version_in
from tests.docs.blocks import DOCUMENTS, ROOT, blocks_of

each_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", path.read_text())
    broken = [link for link in links if not (path.parent / link).exists()]
    assert not broken


@each_document
def test_named_make_targets_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE)
    assert set(named) <= targets


@each_document
def test_pools_fit_the_schema(path: Path) -> None:
    schema = json.loads((assets.schemas_dir() / "kvcachepool.schema.json").read_text())
    for block in blocks_of(path):
        if block.language == "yaml" and "kind: KVCachePool" in block.text:
            pool = YAML(typ="safe").load(block.text)
            jsonschema.validate(pool, schema, jsonschema.Draft202012Validator)


def test_the_sample_of_the_readme_is_the_demos() -> None:
    (sample,) = (block for block in blocks_of(ROOT / "README.md") if block.purpose == "sample")
    assert sample.text == (assets.examples_dir() / "sample.yaml").read_text()


def test_every_command_of_the_readme_is_run_or_said_not_to_be() -> None:
    commands = [block for block in blocks_of(ROOT / "README.md") if block.language == "sh"]
    assert commands
    assert {block.purpose for block in commands} <= {"run", "install", "uninstall", "norun"}


def test_make_help_tells_of_every_target_that_people_use() -> None:
    text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    for target in ("setup", "demo", "demo-down", "check", "test", "bench", "build", "clean"):
        assert re.search(rf"^  make {target} +\S", text, re.MULTILINE)


def test_the_image_is_made_of_what_is_there() -> None:
    text = (ROOT / "Containerfile").read_text()
    sources = re.findall(r"^COPY (?!--from)(\S+) ", text, re.MULTILINE)
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    (golang,) = re.findall(r"golang:(\S+?)-", text)
    assert version_in(golang)[:2] >= pins("helm").go[:2]
    # Into its context comes nothing but what the wheel is made of.
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".containerignore").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in allowed)
