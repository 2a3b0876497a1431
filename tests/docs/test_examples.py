"""Every example is what the editor's schema and the API server allow, and becomes Ready."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from kvhelm import assets
from kvhelm.kube.client import Client
from kvhelm.kube.resource import NAMESPACES
from tests.cluster.stories import Stories

EXAMPLES = sorted(assets.examples_dir().glob("*.yaml"))
names = pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@names
def test_an_editor_finds_nothing_wrong(path: Path) -> None:
    schema = json.loads((assets.schemas_dir() / "kvcachepool.schema.json").read_text())
    jsonschema.validate(load(path), schema, jsonschema.Draft202012Validator)


@names
def test_its_first_line_tells_the_editor_its_schema(path: Path) -> None:
    if path.name == "sample.yaml":
        return  # word for word as it came
    marker, _, schema = path.read_text().splitlines()[0].partition("=")
    assert marker == "# yaml-language-server: $schema"
    assert (path.parent / schema).is_file()


@names
async def test_it_becomes_ready(path: Path, stories: Stories, client: Client) -> None:
    if path.stem == "restricted-namespace":
        profile = {"pod-security.kubernetes.io/enforce": "restricted"}
        await client.patch(NAMESPACES, stories.namespace, {"metadata": {"labels": profile}})
    pool = load(path)
    # The sample names a namespace; the test has its own, and an etcd.
    pool["metadata"]["namespace"] = stories.namespace
    for service in pool["spec"].get("metadata", {}).values():
        if "endpoints" in service:
            service["endpoints"] = [stories.etcd]
    manifest = json.dumps(pool)
    strict = ("--validate=strict", "--filename", "-")
    await stories.kubectl("apply", "--dry-run=server", *strict, stdin=manifest)
    await stories.kubectl("apply", *strict, stdin=manifest)
    await stories.ready(pool["metadata"]["name"])


def test_the_table_of_examples_is_complete() -> None:
    text = (assets.examples_dir() / "README.md").read_text()
    missing = [path.name for path in EXAMPLES if f"({path.name})" not in text]
    assert not missing
