"""JSON schemas of the models, in the forms that their readers take.

A schema is first `inlined`; then one change at each of its nodes makes it `structural` (for a
CRD), `plain` (for editors) or `terse` (for helm). All are pure.
"""

import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_NAMED = frozenset({"properties", "$defs"})
"""Keywords that hold names and their schemas: a property called `pattern` is no keyword."""


def inlined(model: type[BaseModel]) -> Schema:
    """Return the model's JSON schema without $ref, titles, defaults and `null` alternatives."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})

    def resolve(node: Schema) -> Schema:
        if "$ref" in node:
            node = {**definitions[node["$ref"].rsplit("/", 1)[1]], **node}
            del node["$ref"]
            return resolve(node)
        if {"type": "null"} in node.get("anyOf", []):
            (kept,) = (each for each in node.pop("anyOf") if each != {"type": "null"})
            return resolve({**kept, **node})
        node = {key: value for key, value in node.items() if key not in ("title", "default")}
        if "patternProperties" in node:
            # pydantic's form of a mapping whose keys have a pattern; this one is easier to read.
            ((pattern, values),) = node.pop("patternProperties").items()
            names = node.get("propertyNames", {})
            node["propertyNames"] = {**names, "pattern": pattern, "type": "string"}
            node["additionalProperties"] = values
        if "description" in node:
            # What a field is stands before what it may hold.
            node = {"description": " ".join(node.pop("description").split()), **node}
        return node

    # A parent first: its children are looked at once it is resolved.
    def walk(node: Schema) -> Schema:
        return _with_children(resolve(node), walk)

    return walk(schema)


def _with_children(node: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return one node with `change` applied to each schema right below it."""

    def changed(key: str, value: Any) -> Any:
        if key in _NAMED:
            return {name: change(child) for name, child in value.items()}
        if isinstance(value, dict):
            return change(value)
        if key == "anyOf":
            return [change(child) for child in value]
        return value

    return {key: changed(key, value) for key, value in node.items()}


def rewritten(node: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return the schema with `change` applied to every node, from the leaves up."""
    return change(_with_children(node, lambda child: rewritten(child, change)))


def structural(node: Schema) -> Schema:
    """Change one node to what a structural schema allows (apiextensions v1)."""
    node = {key: value for key, value in node.items() if key != "propertyNames"}
    if node.get("additionalProperties") is False:
        del node["additionalProperties"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "x-kubernetes-validations" in node:
        # The rules say the same as the pattern, in words.
        node.pop("pattern", None)
    if "x-kubernetes-int-or-string" in node:
        # The only anyOf that is structural is this one, word for word.
        node["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return node


def plain(node: Schema) -> Schema:
    """Change one node to plain JSON schema: no Kubernetes extension."""
    if "x-kubernetes-int-or-string" in node:
        integer, _ = node["anyOf"]
        node = {**node, "type": ["integer", "string"], "minimum": integer["minimum"]}
        del node["anyOf"]
    if node.get("x-kubernetes-list-type") == "set":
        node = {**node, "uniqueItems": True}
    return {key: value for key, value in node.items() if not key.startswith("x-kubernetes-")}


def terse(node: Schema) -> Schema:
    """Change one node to its shortest form: every revision's Secret holds the chart's schema.

    Bounds go too: they are for the cost of CEL rules; where Kubernetes has one, a pattern says it.
    """
    unsaid = {"description", "maxProperties", "maxItems", "maxLength"}
    if "enum" in node:
        unsaid.add("type")
    return {key: value for key, value in plain(node).items() if key not in unsaid}


def shared(schema: Schema) -> Schema:
    """Return the schema with what it says repeatedly said once, under $defs, where that shortens.

    It takes the node that saves most, again and again, until none saves anything.
    """
    definitions: Schema = {}
    for number in count():
        seen: Counter[str] = Counter()

        def note(node: Schema, seen: Counter[str] = seen) -> Schema:
            seen[compact(node)] += 1
            return node

        rewritten({**schema, "$defs": definitions}, note)
        reference = {"$ref": f"#/$defs/{number}"}
        cost = len(compact(reference))

        def saving(text: str, seen: Counter[str] = seen, cost: int = cost) -> int:
            times = seen[text]
            return (times - 1) * len(text) - times * cost - len('"00":,')

        best = max(seen, key=saving)
        if saving(best) <= 0:
            return {**schema, "$defs": definitions} if definitions else schema

        def refer(node: Schema, best: str = best, reference: Schema = reference) -> Schema:
            return reference if compact(node) == best else node

        schema = rewritten(schema, refer)
        definitions = {name: rewritten(each, refer) for name, each in definitions.items()}
        definitions[str(number)] = json.loads(best)
    raise AssertionError("count() has no end")


def compact(data: Any) -> str:
    """Return JSON without blanks."""
    return json.dumps(data, separators=(",", ":"))
