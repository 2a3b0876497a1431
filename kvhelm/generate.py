"""Generate what follows from the models: CRD, JSON schemas, the chart's values and their schema.

`python -m kvhelm.generate` writes the files, `--check` prints the difference and fails.
"""

import copy
import difflib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from kvhelm import assets
from kvhelm.api import v1alpha1 as api
from kvhelm.api.status import PoolStatus
from kvhelm.values import PoolIdentity

Schema = dict[str, Any]

_ANNOTATIONS = frozenset({"title", "default", "examples"})


def inlined(model: type[BaseModel]) -> Schema:
    """Return the model's JSON schema without $ref, titles, defaults and `null` alternatives."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = definitions[node["$ref"].rsplit("/", 1)[1]]
            return resolve({**target, **{k: v for k, v in node.items() if k != "$ref"}})
        if any(item == {"type": "null"} for item in node.get("anyOf", [])):
            (kept,) = (item for item in node["anyOf"] if item != {"type": "null"})
            return resolve({**kept, **{k: v for k, v in node.items() if k != "anyOf"}})
        # What a field is stands before what it may hold.
        order = sorted(node, key=lambda key: key != "description")
        return {
            key: {name: resolve(child) for name, child in node[key].items()}
            if key == "properties"
            else " ".join(node[key].split())
            if key == "description"
            else resolve(node[key])
            for key in order
            if key not in _ANNOTATIONS
        }

    resolved: Schema = resolve(schema)
    return resolved


def rewritten(node: Any, change: Callable[[Schema], Schema]) -> Any:
    """Return the schema with `change` applied to every node, from the leaves up.

    Names of properties are left alone, so that a property called `pattern` is no keyword.
    """
    if isinstance(node, list):
        return [rewritten(item, change) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {
        key: {name: rewritten(child, change) for name, child in value.items()}
        if key == "properties"
        else rewritten(value, change)
        for key, value in node.items()
    }
    return change(inner)


def _structural(node: Schema) -> Schema:
    """Change one node to what a structural schema allows (apiextensions v1)."""
    for pattern, value in node.pop("patternProperties", {}).items():
        # Structural schemas know no patternProperties: the same as a rule.
        node["additionalProperties"] = value
        node.setdefault("x-kubernetes-validations", []).append(
            {
                "rule": f"self.all(key, size(key) <= 317 && key.matches(r'{pattern}'))",
                "message": "a key must be a label's or annotation's: [DNS-PREFIX/]NAME",
            }
        )
    node.pop("propertyNames", None)
    if node.get("additionalProperties") is False:
        del node["additionalProperties"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "maxLength" in node and "x-kubernetes-validations" in node:
        # The rules say the same as the pattern, in words.
        node.pop("pattern", None)
    if node.pop("x-kubernetes-int-or-string", False):
        # The only anyOf that is structural is this one, word for word.
        node = {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            **{k: v for k, v in node.items() if k in {"description", "maxLength", "pattern"}},
        }
    if "maxItems" not in node and node.get("type") == "array":
        raise ValueError(f"an unbounded list in the CRD: {node}")
    return node


def _plain(node: Schema) -> Schema:
    """Change one node to plain JSON schema: no Kubernetes extension."""
    integer_or_string = node.get("x-kubernetes-int-or-string", False)
    node = {k: v for k, v in node.items() if not k.startswith("x-kubernetes-")}
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if integer_or_string:
        node.pop("anyOf")
        node["type"] = ["integer", "string"]
    return node


def _terse(node: Schema) -> Schema:
    """Change one node to its shortest form: every revision's Secret holds the chart's schema."""
    node = _plain(node)
    for key in ("description", "propertyNames", "maxProperties"):
        node.pop(key, None)
    return node


def _kubernetes_object(spec: Schema, status: Schema) -> Schema:
    return {
        "type": "object",
        "description": "A pool of vineyardd cache daemons that inference engines share.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition of KVCachePool."""
    spec = rewritten(inlined(api.PoolSpec), _structural)
    # The one default of the CRD: the scale subresource and HPAs need a number to start from.
    spec["properties"]["replicas"]["default"] = 1
    status = rewritten(inlined(PoolStatus), _structural)
    conditions = status["properties"]["conditions"]
    conditions["x-kubernetes-list-type"] = "map"
    conditions["x-kubernetes-list-map-keys"] = ["type"]

    def ready(path: str) -> str:
        return f'.status.conditions[?(@.type=="Ready")].{path}'

    columns = [
        ("Ready", "string", ready("status"), 0, "Whether the pool is as its spec asks"),
        ("Reason", "string", ready("reason"), 0, "Why"),
        ("Daemons", "integer", ".status.readyReplicas", 0, "Daemons that serve"),
        ("Wanted", "integer", ".spec.replicas", 0, "Daemons that the spec asks for"),
        ("GPU", "string", ".spec.scheduler.gpuType", 0, "GPU type of the nodes"),
        ("Revision", "integer", ".status.release.revision", 0, "Revision of the Helm release"),
        ("Age", "date", ".metadata.creationTimestamp", 0, ""),
        ("Metadata", "string", ".status.metadata.kind", 1, "Kind of the metadata service"),
        ("Endpoint", "string", ".status.endpoint", 1, "HOST:PORT of the pool"),
        ("Release", "string", ".status.release.name", 1, "Name of the Helm release"),
        ("Message", "string", ready("message"), 1, "What a person should know"),
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{api.PLURAL}.{api.GROUP}",
            # To delete the CRD deletes every pool: uninstalling the operator does not.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": api.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": api.KIND,
                "listKind": f"{api.KIND}List",
                "plural": api.PLURAL,
                "singular": api.KIND.lower(),
                "shortNames": [api.SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": api.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {
                            "name": name,
                            "type": kind,
                            "jsonPath": path,
                            **({"priority": priority} if priority else {}),
                            **({"description": text} if text else {}),
                        }
                        for name, kind, path, priority, text in columns
                    ],
                    "schema": {"openAPIV3Schema": _kubernetes_object(spec, status)},
                }
            ],
        },
    }


def object_schema() -> Schema:
    """Return the JSON schema of a KVCachePool manifest, for editors."""
    schema = _kubernetes_object(
        rewritten(inlined(api.PoolSpec), _plain), rewritten(inlined(PoolStatus), _plain)
    )
    schema["properties"]["apiVersion"] = {"const": api.API_VERSION}
    schema["properties"]["kind"] = {"const": api.KIND}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": api.KIND, **schema}


def _values_properties(change: Callable[[Schema], Schema]) -> Schema:
    schema: Schema = rewritten(inlined(api.PoolSpec), change)
    for field in api.CONTROLLER_FIELDS:
        del schema["properties"][api.PoolSpec.model_fields[field].alias or field]
    schema["properties"]["pool"] = rewritten(inlined(PoolIdentity), change)
    # helm hands these to every chart with a subchart.
    for given in ("global", "kvcachepool-objects"):
        schema["properties"][given] = {"type": "object"}
    return schema


def values_schema() -> Schema:
    """Return the chart's values.schema.json: terse, since every revision's Secret holds it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_values_properties(_terse),
    }


def described_values_schema() -> Schema:
    """Return the schema of the chart's values with descriptions, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the kvcachepool chart",
        **_values_properties(_plain),
    }


def chart_values() -> CommentedMap:
    """Return the chart's values.yaml: the defaults of the models."""

    def defaults(model: BaseModel | type[BaseModel]) -> CommentedMap:
        fields = model.model_fields if isinstance(model, type) else type(model).model_fields
        out = CommentedMap()
        for name, field in fields.items():
            if model is api.PoolSpec and name in api.CONTROLLER_FIELDS:
                continue
            if field.is_required():
                if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                    out[field.alias or name] = defaults(field.annotation)
                continue
            value = field.get_default(call_default_factory=True)
            if value is None:
                continue
            out[field.alias or name] = defaults(value) if isinstance(value, BaseModel) else value
        return out

    return defaults(api.PoolSpec)


def _yaml(data: Any, comment: str) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(data, out)
    return f"# {comment}\n{out.getvalue()}"


def _json(data: Any) -> str:
    return json.dumps(data, indent=2) + "\n"


def _compact_json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")) + "\n"


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every generated file: its path and its text."""
    note = "Generated by `make generate` from kvhelm/api: change the models instead."
    schemas, chart = assets.schemas_dir(), assets.chart_dir()
    manifest = _yaml(copy.deepcopy(crd()), note)
    yield schemas / "crd.yaml", manifest
    # Helm reads files of the chart's own folder only.
    yield assets.deploy_dir() / "crd.yaml", manifest
    yield schemas / "kvcachepool.schema.json", _json(object_schema())
    yield schemas / "values.schema.json", _json(described_values_schema())
    yield chart / "values.schema.json", _compact_json(values_schema())
    yield (
        chart / "values.yaml",
        _yaml(chart_values(), f"{note}\n# schemas/values.schema.json describes every value."),
    )


def main() -> int:
    """Write the files; with --check print what differs, and how to mend it, and return 1."""
    check = "--check" in sys.argv[1:]
    stale = False
    for path, text in generated():
        current = path.read_text() if path.exists() else ""
        if current == text:
            continue
        stale = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    current.splitlines(keepends=True),
                    text.splitlines(keepends=True),
                    f"{path.name} (committed)",
                    f"{path.name} (generated)",
                )
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(assets.schemas_dir().parent)}")
    if check and stale:
        print("\nGenerated files are not up to date. Run `make generate` and commit the result.")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
