"""The docs' tables: every field of a pool's spec, and every reason of its conditions."""

from collections.abc import Iterable, Iterator
from typing import Any

from kvhelm.api import v1alpha1 as api
from kvhelm.api.conditions import ConditionType, Reason
from kvhelm.generate.schemas import Schema, compact, inlined
from kvhelm.generate.values import chart_values


def _type(node: Schema) -> str:
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    if "enum" in node:
        return " \\| ".join(f"`{each}`" for each in node["enum"])
    if node["type"] == "array":
        return f"list ({_type(node['items'])})"
    if node["type"] == "object" and isinstance(node["additionalProperties"], dict):
        return f"map ({_type(node['additionalProperties'])})"
    if "maximum" in node:
        return f"{node['type']}, {node['minimum']} to {node['maximum']}"
    return str(node["type"])


def _fields(node: Schema, defaults: Any, above: str = "") -> Iterator[tuple[str, ...]]:
    """Yield path, type, default and description of each field, a parent before its children."""
    for name, child in node["properties"].items():
        default = defaults.get(name) if isinstance(defaults, dict) else None
        listed = child.get("type") == "array"
        item = child["items"] if listed else child
        holds_fields = "properties" in item
        said = f"`{compact(default)}`" if default is not None and not holds_fields else ""
        if name in node.get("required", ()):
            said = "required"
        yield f"`{above}{name}`", _type(child), said, child["description"]
        if holds_fields:
            yield from _fields(item, default, f"{above}{name}{'[]' if listed else ''}.")


def _table(*rows: Iterable[str]) -> str:
    head, *rest = rows
    head = list(head)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rest))


def spec_page(note: str) -> str:
    """Return docs/spec.md."""
    fields = _fields(inlined(api.PoolSpec), chart_values())
    return (
        f"<!-- {note} -->\n"
        "# The spec of a KVCachePool\n"
        f"`{api.KIND}`, `{api.API_VERSION}`. The same fields, but for "
        f"{' and '.join(sorted(f'`{_alias(name)}`' for name in api.CONTROLLER_FIELDS))}, "
        "are the values of the chart. A quantity without a unit is a number of bytes, or of cores "
        "for cpu.\n\n" + _table(("Field", "Type", "Default", "What it means"), *fields)
    )


def _alias(field: str) -> str:
    return str(api.PoolSpec.model_fields[field].alias)


def conditions_page(note: str) -> str:
    """Return docs/conditions.md."""
    reasons = ((f"`{reason}`", reason.meaning) for reason in Reason)
    return (
        f"<!-- {note} -->\n"
        "# Conditions of a KVCachePool\n"
        f"A pool has {', '.join(f'`{kind}`' for kind in ConditionType)}. Each carries the "
        "generation that it was judged for (`observedGeneration`), a message for people, and one "
        "of these reasons for programs.\n\n" + _table(("Reason", "What it means"), *reasons)
    )
