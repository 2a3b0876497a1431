"""What follows from the models: a CRD that the API server can afford, schemas that agree."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kvhelm import assets
from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.api.v1alpha1 import CONTROLLER_FIELDS, parse_spec
from kvhelm.generate.__main__ import main
from kvhelm.generate.crd import crd, object_schema
from kvhelm.generate.files import generated
from kvhelm.generate.schemas import compact, shared
from kvhelm.generate.values import described_values_schema, values_schema
from kvhelm.values import Defaults, values_for
from tests.unit.samples import SAMPLES, read

Schema = dict[str, Any]
UID = "11111111-2222-3333-4444-555555555555"
ROOT = assets.schemas_dir().parent
# What the API server itself bounds, or gives no bound for.
KUBERNETES_OWN = {"apiVersion", "kind", "metadata"}


def version() -> Schema:
    (only,) = crd()["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def nodes(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema of the CRD with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}[]")


NODES = {
    path: node
    for path, node in nodes(version()["schema"]["openAPIV3Schema"])
    if path.removeprefix(".") not in KUBERNETES_OWN
}


def values(manifest: dict[str, Any]) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return values_for(
        parse_spec(manifest["spec"]),
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        uid=UID,
        defaults=Defaults(),
    )


def complaints(schema: Schema, instance: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(instance)
    ]


# The CRD.


def is_bounded(path: str, node: Schema) -> bool:
    match node.get("type", "int-or-string"):
        case "array":
            return "maxItems" in node
        case "object":
            return "properties" in node or "maxProperties" in node
        case "string" | "int-or-string":
            # A date-time is bounded by its format.
            return bool({"maxLength", "enum", "format"} & node.keys())
        case "integer":
            return "enum" in node or (
                "minimum" in node and (path.startswith(".status") or "maximum" in node)
            )
        case kind:
            return bool(kind == "boolean")


def is_structural(node: Schema) -> bool:
    if {"$ref", "allOf", "oneOf", "not", "const", "title", "uniqueItems"} & node.keys():
        return False
    if {"patternProperties", "propertyNames"} & node.keys():
        return False
    if "x-kubernetes-int-or-string" in node:
        return bool(node["anyOf"] == [{"type": "integer"}, {"type": "string"}])
    return isinstance(node["type"], str) and "anyOf" not in node


def test_everything_in_the_crd_is_bounded() -> None:
    assert [path for path, node in NODES.items() if not is_bounded(path, node)] == []


def test_the_crd_is_structural() -> None:
    assert [path for path, node in NODES.items() if not is_structural(node)] == []


def test_only_replicas_has_a_default() -> None:
    assert [path for path, node in NODES.items() if "default" in node] == [".spec.replicas"]
    assert NODES[".spec.replicas"]["default"] == 1


def test_every_field_is_described() -> None:
    fields = {path: node for path, node in NODES.items() if not path.endswith("[]")}
    assert [path for path, node in fields.items() if not node.get("description")] == []


def test_what_the_api_server_refuses_it_refuses_in_words() -> None:
    assert [path for path, node in NODES.items() if "pattern" in node] == []
    rules = [each for node in NODES.values() for each in node.get("x-kubernetes-validations", ())]
    assert len(rules) > 30
    for rule in rules:
        # One sentence that a person reads behind the field's name.
        assert 20 < len(rule["message"]) <= 200
        assert not rule["message"].endswith(".")


def test_the_crd_serves_people_and_autoscalers() -> None:
    names = crd()["spec"]["names"]
    assert names["shortNames"] == ["kvcp"]
    assert names["categories"] == ["all"]
    subresources = version()["subresources"]
    assert subresources["status"] == {}
    for path in subresources["scale"].values():
        assert path in NODES
    for column in version()["additionalPrinterColumns"]:
        path = column["jsonPath"].partition("[?")[0]
        assert path in NODES or path == ".metadata.creationTimestamp"


def test_the_crd_outlives_the_operator() -> None:
    assert crd()["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


# The schemas agree.


@pytest.mark.parametrize("name", SAMPLES)
def test_the_schemas_take_every_sample(name: str) -> None:
    manifest = read(name)
    assert parse_spec(manifest["spec"])
    assert complaints(object_schema(), manifest) == []
    for schema in (values_schema(), described_values_schema()):
        assert complaints(schema, values(manifest)) == []


def test_the_samples_use_every_field() -> None:
    def used(value: Any, path: str) -> Iterator[str]:
        yield path
        if isinstance(value, list):
            for each in value:
                yield from used(each, f"{path}[]")
        if isinstance(value, dict):
            for key, child in value.items():
                yield from used(child, f"{path}.{key}")

    seen = {path for name in SAMPLES for path in used(read(name)["spec"], ".spec")}
    fields = {path for path in NODES if path.startswith(".spec") and not path.endswith("[]")}
    assert fields - seen == set()


def test_helm_users_leave_out_what_only_the_controller_knows() -> None:
    fields = values_schema()["properties"]
    assert (
        not {"suspend", "revisionHistoryLimit", "deletion", "upgrade", "rollbackTo"} & fields.keys()
    )
    assert "preflight" not in fields["metadata"]["properties"]
    assert len(CONTROLLER_FIELDS) == 6
    small = {"cache": {"image": "vineyardd:1"}}
    assert complaints(values_schema(), small) == []


@pytest.mark.parametrize(
    ("section", "misspelt", "place"),
    [
        (None, {"replica": 2}, "$.spec"),
        ("cache", {"imagepullpolicy": "Always"}, "$.spec.cache"),
        ("scheduler", {"gputype": "A10"}, "$.spec.scheduler"),
        ("metadata", {"etdc": {}}, "$.spec.metadata"),
    ],
)
def test_a_misspelt_field_is_named(
    section: str | None, misspelt: dict[str, Any], place: str
) -> None:
    manifest = read("smallest-pool")
    spec = manifest["spec"]
    (spec.setdefault(section, {}) if section else spec).update(misspelt)
    (name,) = misspelt
    for schema, instance, at in (
        (object_schema(), manifest, place),
        (values_schema(), spec, place.replace(".spec", "")),
        (described_values_schema(), spec, place.replace(".spec", "")),
    ):
        (complaint,) = complaints(schema, instance)
        assert complaint.startswith(f"{at}: ")
        assert f"'{name}' was unexpected" in complaint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replicas", -1),
        ("service.port", 0),
        ("service.annotations", {"helm.sh/hook": "pre-install"}),
        ("service.annotations", {"a key": "v"}),
        ("cache.image", "no image"),
        ("cache.memory", "-4Gi"),
        ("cache.memory", 4),
        ("cache.resources.limits", {"gpu": 1}),
        ("cache.extraArgs", ["-v=1"]),
        ("scheduler.gpuType", "a" * 64),
        ("scheduler.gpuType", ""),
        ("scheduler.nodeSelector", {"a": "b c"}),
        ("metadata.etcd.endpoints", ["https://etcd:2379"]),
        ("metadata.etcd.endpoints", []),
        ("metadata.etcd.endpoints", ["http://etcd:2379", "http://etcd:2379"]),
        ("metadata.etcd.prefix", "/team"),
    ],
    ids=str,
)
def test_editors_and_helm_refuse_what_the_api_server_does(path: str, value: Any) -> None:
    spec = read("smallest-pool")["spec"]
    if path == "metadata.etcd.prefix":
        spec["metadata"] = {"etcd": {"endpoints": ["http://etcd:2379"]}}
    *above, last = path.split(".")
    place = spec
    for key in above:
        place = place.setdefault(key, {})
    place[last] = value
    assert complaints(values_schema(), spec)
    assert complaints(described_values_schema(), spec)
    assert complaints(object_schema(), read("smallest-pool") | {"spec": spec})


# The chart's schema stays short.


def test_what_a_schema_repeats_is_said_once() -> None:
    name = {"type": "string", "pattern": "^[a-z]{1,20}$", "minLength": 1}
    reference = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    schema = {"properties": {"one": reference, "other": reference, "third": name}}
    short = shared(schema)
    assert compact(short).count("a-z") == 1
    assert len(compact(short)) < len(compact(schema))
    instances: list[Schema] = [{"one": {"name": "a"}}, {"one": {"name": "A"}}, {"other": {}}]
    for instance in [*instances, {"third": ""}]:
        assert bool(complaints(short, instance)) == bool(complaints(schema, instance))


def test_what_would_not_shorten_is_left_alone() -> None:
    schema = {"properties": {"one": {"type": "string"}, "other": {"type": "string"}}}
    assert shared(schema) == schema


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = {"properties": {"pattern": {"type": "boolean"}, "properties": {"type": "integer"}}}
    assert shared(schema) == schema


# The files.


def test_the_committed_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], ROOT) == 0, capsys.readouterr().out


def test_a_stale_file_is_shown_with_what_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    stale = tmp_path / "schemas" / "crd.yaml"
    stale.write_text(stale.read_text().replace("shortNames", "shortName"))
    (tmp_path / "chart" / "values.yaml").unlink()
    capsys.readouterr()

    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().out
    assert "--- schemas/crd.yaml (committed)" in told
    assert "\n-    shortName:\n+    shortNames:\n" in told
    assert "+++ chart/values.yaml (generated)" in told
    assert "deploy/crd.yaml" not in told
    assert "make generate" in told.splitlines()[-1]

    # It writes what is stale and nothing else.
    assert main([], tmp_path) == 0
    written = capsys.readouterr().out.splitlines()
    assert written == ["wrote schemas/crd.yaml", "wrote chart/values.yaml"]
    assert main(["--check"], tmp_path) == 0


def test_the_docs_name_every_field_and_reason() -> None:
    files = generated()
    for path in NODES:
        if path.startswith(".spec.") and not path.endswith("[]"):
            assert f"| `{path.removeprefix('.spec.')}` |" in files["docs/spec.md"]
    for reason in Reason:
        assert f"| `{reason}` | {reason.meaning} |" in files["docs/conditions.md"]
    for kind in ConditionType:
        assert f"`{kind}`" in files["docs/conditions.md"]
    # A table is one if all of its lines have the same number of cells.
    for page in ("docs/spec.md", "docs/conditions.md"):
        lines = [line for line in files[page].splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
