"""A revision that a killed helm has left pending is freed: whose it was, and how it is written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kvhelm.helm.origin import OURS
from kvhelm.helm.payload import data_for, release_from

_FREED = f"{OURS}freed, since the helm process that worked on it has ended"


def freeing_patch(secret: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the merge patch that makes a pending revision a failed one, for this very version.

    Label and payload say the same then, as if helm had done it. Raises HelmFailed.
    """
    release = release_from(secret)
    info = {**release.get("info", {}), "status": "failed", "description": _FREED}
    return {
        "metadata": {
            "resourceVersion": secret["metadata"]["resourceVersion"],
            "labels": {"status": "failed", "modifiedAt": f"{now.timestamp():.0f}"},
        },
        "data": data_for({**release, "info": info}),
    }
