"""Where a revision comes from, as far as only its description tells.

`helm rollback` carries the labels of its target on, so they can't tell whose work it was: ours
says so in its description, and so does anyone else's, in helm's own words.
"""

from collections.abc import Mapping
from typing import Any

from kvhelm.helm.payload import release_from

OURS = "kvhelm: "
"""How every description begins that kvhelm gives."""


def description_of(secret: Mapping[str, Any]) -> str:
    """Return what helm, or who ran it, said of the revision. Raises HelmFailed."""
    return str(release_from(secret).get("info", {}).get("description", ""))


def is_ours(description: str) -> bool:
    """Tell whether a description is one that kvhelm gave."""
    return description.startswith(OURS)
