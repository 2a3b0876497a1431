"""Who owns which fields of an object, read from its managedFields: pure.

The API server notes for each field manager which fields it set (`fieldsV1`). Whoever changes,
takes or removes a field that was applied takes it out of the applier's entry, so that what was
applied and the entry alone tell whether all of it still stands; no value is compared. What others
add shrinks nothing: it shows as an item of a list with merge keys that only they own.

Facts of Kubernetes 1.37: an entry says `f:NAME` for a field, `k:{KEYS}` for an item of a list with
merge keys, `v:VALUE` for one of a set, and `{}` for what is owned as a whole (a scalar, an atomic
list or map). Name and namespace are in no entry.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvhelm.kube.resource import Object

Path = tuple[str, ...]
"""A field as fieldsV1 spells it: ("f:spec", "f:ports", 'k:{"port":1,"protocol":"TCP"}')."""

_KEY_DEFAULTS = {"protocol": "TCP"}
"""Merge keys that may be left out (ports of Services and containers)."""

_METADATA = ("f:metadata",)
_UNOWNED = frozenset({"apiVersion", "kind", "metadata.name", "metadata.namespace"})


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one applier owns of an object, and which list items only others own."""

    applied: str
    """fieldsV1 of the applier's entry as canonical JSON; empty if there is none."""
    items: tuple[Path, ...] = ()
    """Items of lists with merge keys that are in others' entries and not in the applier's."""
    leftover: bool = False
    """Whether the helper of a repair that was cut off still owns something."""


def ownership_for(metadata: Mapping[str, Any], applier: str, helper: str) -> Ownership:
    """Return what `applier` owns, from an object's metadata.

    `helper` is the field manager that puts lists right for it (see `list_patch_for`).
    """
    applied: Mapping[str, Any] = {}
    others = []
    leftover = False
    for entry in metadata.get("managedFields") or ():
        if entry.get("subresource"):
            continue  # a status, or replicas written through `scale`
        if entry["manager"] == applier and entry["operation"] == "Apply":
            applied = entry.get("fieldsV1") or {}
        else:
            others.append(entry.get("fieldsV1") or {})
            leftover = leftover or entry["manager"] == helper
    items = {path for fields in others for path in _items_in(fields) if not _holds(applied, path)}
    # Pools of one shape have the same entries: interned, a thousand of them are kept once.
    text = sys.intern(json.dumps(applied, sort_keys=True, separators=(",", ":")))
    return Ownership(text if applied else "", tuple(sorted(items)), leftover)


def lost_fields(applied: Object, ownership: Ownership) -> list[Path]:
    """Return the fields of what was applied that the applier does not own any more."""
    fields = json.loads(ownership.applied or "{}")
    return list(_lost(fields, applied, ()))


def foreign_items(applied: Object, ownership: Ownership) -> list[Path]:
    """Return the items of others in lists that were applied and do not have them.

    Items of other lists, and fields of the applied items that were not applied, are none of the
    applier's business.
    """
    return [
        path
        for path in ownership.items
        if isinstance(items := _value_at(applied, path[:-1]), list)
        and _index(items, path[-1]) is None
    ]


def list_patch_for(live: Object, applied: Object, items: Sequence[Path]) -> list[Object]:
    """Return the JSON patch that takes `items` out of their lists and puts applied ones back.

    Server-side apply can neither remove an item of someone else nor add one beside it that
    collides (a port's number changed under the same name). A list may not be empty in between, so
    what was applied and is missing comes back in the same request; whoever sends it owns those
    items then, and is to be taken out of managedFields once they are applied.
    """
    operations: list[Object] = []
    for at in sorted({path[:-1] for path in items}, key=len, reverse=True):
        found = _value_at(live, at)
        wanted = _value_at(applied, at)
        gone = [path[-1] for path in items if path[:-1] == at]
        if not isinstance(found, list) or not isinstance(wanted, list):
            continue
        names = list(json.loads(gone[0][2:]))
        kept = [item for item in found if not any(_fits(item, key) for key in gone)]
        keys = [_key_of(item, names) for item in kept]
        kept += [item for item in wanted if _key_of(item, names) not in keys]
        operations.append({"op": "replace", "path": _pointer(live, at), "value": kept})
    return operations


def owner_of(managed_fields: Sequence[Mapping[str, Any]], path: Path, applier: str) -> str:
    """Return the manager that owns a field now; empty if none does: who removes leaves no trace."""
    others = [entry for entry in managed_fields if entry["manager"] != applier]
    others.sort(key=lambda entry: str(entry.get("time", "")), reverse=True)
    return next(
        (str(entry["manager"]) for entry in others if _holds(entry.get("fieldsV1") or {}, path)), ""
    )


def spelled(path: Path) -> str:
    """Return a path as people write it: spec.ports[port=9600,protocol=TCP]."""
    words = ""
    for part in path:
        if part.startswith("f:"):
            name = part[2:]
            words += f"[{name}]" if "." in name or "/" in name else f".{name}"
        elif part.startswith("k:"):
            keys = json.loads(part[2:])
            words += f"[{','.join(f'{key}={value}' for key, value in keys.items())}]"
        else:
            words += f"[{part[2:]}]"
    return words.removeprefix(".")


def _lost(fields: Mapping[str, Any], value: Any, path: Path) -> Iterator[Path]:
    for name, wanted in value.items():
        if wanted is None or ".".join((*(part[2:] for part in path), name)) in _UNOWNED:
            continue
        here = (*path, f"f:{name}")
        owned = fields.get(f"f:{name}")
        if owned is None and here == _METADATA:
            yield from _lost({}, wanted, here)  # its name alone is in no entry
        elif owned is None:
            yield here
        elif isinstance(wanted, dict) and owned:
            yield from _lost(owned, wanted, here)
        elif isinstance(wanted, list) and owned:
            yield from _lost_items(owned, wanted, here)


def _lost_items(fields: Mapping[str, Any], items: list[Any], path: Path) -> Iterator[Path]:
    keyed = [part for part in fields if part.startswith("k:")]
    for item in items:
        if not isinstance(item, dict):
            part = f"v:{json.dumps(item)}"
            if part not in fields:
                yield (*path, part)
            continue
        found = next((part for part in keyed if _fits(item, part)), None)
        if found is None:
            yield path  # its key cannot be told: no item of this list may be left to tell it by
        else:
            yield from _lost(fields[found], item, (*path, found))


def _items_in(fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    for part, inner in fields.items():
        here = (*path, part)
        if part.startswith("k:"):
            yield here
        if inner:
            yield from _items_in(inner, here)


def _holds(fields: Mapping[str, Any], path: Path) -> bool:
    for part in path:
        if part not in fields:
            return False
        fields = fields[part]
    return True


def _value_at(value: Any, path: Path) -> Any:
    for part in path:
        if part.startswith("f:") and isinstance(value, dict):
            value = value.get(part[2:])
        elif part.startswith("k:") and isinstance(value, list):
            index = _index(value, part)
            value = None if index is None else value[index]
        else:
            return None
    return value


def _index(items: list[Any], part: str) -> int | None:
    return next((index for index, item in enumerate(items) if _fits(item, part)), None)


def _fits(item: Any, part: str) -> bool:
    keys = json.loads(part[2:])
    return isinstance(item, dict) and _key_of(item, list(keys)) == list(keys.values())


def _key_of(item: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return [item.get(name, _KEY_DEFAULTS.get(name)) for name in names]


def _pointer(value: Any, path: Path) -> str:
    """Return the JSON pointer (RFC 6901) of a path that is there."""
    words = []
    for part in path:
        if part.startswith("k:"):
            index = _index(value, part)
            assert index is not None  # noqa: S101 - the caller found a value there
            words.append(str(index))
            value = value[index]
        else:
            words.append(part[2:].replace("~", "~0").replace("/", "~1"))
            value = value[part[2:]]
    return "/" + "/".join(words)
