"""What the cluster says of a release: its revisions, read from the labels of their Secrets.

Helm writes the labels `owner`, `name`, `status`, `version` and carries all others on into later
revisions. So ours count only where `stamp` equals the revision's own number: any other revision is
someone else's work (facts of helm 4.3; no payload is read).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105
"""Type of the Secrets that hold revisions."""

SPEC_DIGEST = "kvcache.aibrix.ai/spec-digest"
CHART_DIGEST = "kvcache.aibrix.ai/chart-digest"
STAMP = "kvcache.aibrix.ai/stamp"
POOL_UID = "kvcache.aibrix.ai/pool-uid"

PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})


@dataclass(frozen=True)
class Stamp:
    """What a revision was made from: digests of the values and the chart, and the pool's uid."""

    spec_digest: str
    chart_digest: str
    pool_uid: str

    def labels(self, revision: int) -> dict[str, str]:
        """Return the labels for the release Secret of the given revision."""
        return {
            SPEC_DIGEST: self.spec_digest,
            CHART_DIGEST: self.chart_digest,
            POOL_UID: self.pool_uid,
            STAMP: str(revision),
        }


@dataclass(frozen=True)
class Revision:
    """One revision of a release. `stamp` is None unless this very revision is ours."""

    namespace: str
    release: str
    number: int
    status: str
    secret: str
    pool_uid: str | None
    stamp: Stamp | None

    @property
    def pending(self) -> bool:
        """Tell whether helm works on it, or was killed while it did."""
        return self.status in PENDING


def revision_from(secret: Mapping[str, Any]) -> Revision | None:
    """Return the revision that a release Secret's metadata tells of; None if it is not helm's."""
    metadata = secret["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get("owner") != "helm" or not labels.get("version", "").isdigit():
        return None
    number = int(labels["version"])
    ours = labels.get(STAMP) == str(number)
    return Revision(
        namespace=metadata["namespace"],
        release=labels["name"],
        number=number,
        status=labels.get("status", "unknown"),
        secret=metadata["name"],
        pool_uid=labels.get(POOL_UID),
        stamp=Stamp(
            labels.get(SPEC_DIGEST, ""), labels.get(CHART_DIGEST, ""), labels.get(POOL_UID, "")
        )
        if ours
        else None,
    )
