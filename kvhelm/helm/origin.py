"""Where a revision comes from, as far as only its description tells.

`helm rollback` carries the labels of its target on, so they can't tell whose work it was: ours
says so in its description, and so does anyone else's, in helm's own words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvhelm.helm.payload import release_from

OURS = "kvhelm: "
"""How every description begins that kvhelm gives."""

_LONGEST = 256
"""Characters of a description that helm takes."""

_TARGET = re.compile(r"(kvhelm: rollback|Rollback) to (\d+)\b")


@dataclass(frozen=True)
class Origin:
    """Where a revision comes from that is not told by labels."""

    uid: str
    """Of the revision's Secret."""
    target: int | None
    """The revision that it is a copy of, if it is a rollback."""
    ours: bool


def rollback_description(to: int, why: str) -> str:
    """Return how a rollback of ours is described."""
    said = f"{OURS}rollback to {to}: {why}"
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."


def origin_of(secret: Mapping[str, Any]) -> Origin:
    """Return where a revision comes from. Raises HelmFailed."""
    description = description_of(secret)
    found = _TARGET.match(description)
    uid = str(secret["metadata"]["uid"])
    return Origin(uid, int(found[2]) if found else None, is_ours(description))


def description_of(secret: Mapping[str, Any]) -> str:
    """Return what helm, or who ran it, said of the revision. Raises HelmFailed."""
    return str(release_from(secret).get("info", {}).get("description", ""))


def is_ours(description: str) -> bool:
    """Tell whether a description is one that kvhelm gave."""
    return description.startswith(OURS)
