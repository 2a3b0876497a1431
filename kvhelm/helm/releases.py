"""What the cluster says of a release: its revisions, read from the labels of their Secrets.

Helm writes the labels `owner`, `name`, `status`, `version`, `createdAt` and `modifiedAt`, and
carries all others on into later revisions. So ours count only where they equal the revision's own
number: any other revision is someone else's work, or a rollback (facts of helm 4.3; no payload is
read here).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kvhelm.values import Digests

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105
"""Type of the Secrets that hold revisions."""

SPEC_DIGEST = "kvcache.aibrix.ai/spec-digest"
CHART_DIGEST = "kvcache.aibrix.ai/chart-digest"
CHART = "kvcache.aibrix.ai/chart"
PARKED = "kvcache.aibrix.ai/parked"
PORT = "kvcache.aibrix.ai/port"
PLACE = "kvcache.aibrix.ai/place"
ASKED = "kvcache.aibrix.ai/asked-digest"
STAMP = "kvcache.aibrix.ai/stamp"
POOL_UID = "kvcache.aibrix.ai/pool-uid"
HEALTHY = "kvcache.aibrix.ai/healthy"

PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})


@dataclass(frozen=True)
class Stamp:
    """What a revision was made from: digests of the values and the chart, and the pool's uid."""

    spec_digest: str
    chart_digest: str
    pool_uid: str
    chart: str = ""
    """NAME-VERSION of the chart; empty if it is not known."""
    parked: bool = False
    """Whether it holds the daemons at 0 itself: a rollback to it would end them."""
    port: int | None = None
    """Port of the client Service, if it is known."""
    place: str = ""
    """Digest of where its metadata lies; empty if it is not known."""
    asked: str = ""
    """Digest of the pool's own words, without the operator's defaults; empty if not known."""

    @property
    def digests(self) -> Digests:
        """Return the digests alone: revisions that share them are the same release."""
        return Digests(self.spec_digest, self.chart_digest)

    def labels(self, revision: int) -> dict[str, str]:
        """Return the labels for the release Secret of the given revision."""
        # A version's build (+...) can't stand in a label.
        chart = re.sub(r"[^A-Za-z0-9._-]", "_", self.chart)[:63].rstrip("._-")
        return {
            SPEC_DIGEST: self.spec_digest,
            CHART_DIGEST: self.chart_digest,
            CHART: chart,
            POOL_UID: self.pool_uid,
            STAMP: str(revision),
            **({PARKED: str(revision)} if self.parked else {}),
            **({PORT: str(self.port)} if self.port else {}),
            **({PLACE: self.place} if self.place else {}),
            **({ASKED: self.asked} if self.asked else {}),
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
    created: datetime
    modified: datetime
    """When helm last wrote it, by the clock of its machine."""
    resource_version: str = ""
    healthy: bool = False
    """Whether all daemons of this very revision have been ready once."""
    uid: str = ""
    """Of the Secret: numbers begin anew when a release is installed again."""
    carried: "tuple[int, Stamp] | None" = None
    """If it is not ours: the revision of ours whose labels it carries, and what they say."""

    @property
    def chart(self) -> str | None:
        """NAME-VERSION of its chart, as far as its labels tell."""
        stamp = self.stamp or (self.carried[1] if self.carried else None)
        return (stamp.chart or None) if stamp else None

    @property
    def pending(self) -> bool:
        """Tell whether helm works on it, or was killed while it did."""
        return self.status in PENDING


def revision_from(secret: Mapping[str, Any]) -> Revision | None:
    """Return the revision that a release Secret's metadata tells of; None if it is not helm's."""
    metadata = secret["metadata"]
    labels = metadata.get("labels") or {}
    version = labels.get("version", "")
    if labels.get("owner") != "helm" or not version.isdigit():
        return None
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    stamped, stamp = labels.get(STAMP, ""), _stamp_from(labels)
    return Revision(
        namespace=metadata["namespace"],
        release=labels["name"],
        number=int(version),
        status=labels.get("status", "unknown"),
        secret=metadata["name"],
        pool_uid=labels.get(POOL_UID),
        stamp=stamp if stamped == version else None,
        created=created,
        # The first writing of a revision has createdAt alone.
        modified=_time(labels.get("modifiedAt") or labels.get("createdAt")) or created,
        resource_version=metadata["resourceVersion"],
        healthy=labels.get(HEALTHY) == version,
        uid=metadata.get("uid", ""),
        carried=(int(stamped), stamp) if stamped != version and stamped.isdigit() else None,
    )


def _stamp_from(labels: Mapping[str, str]) -> Stamp:
    return Stamp(
        labels.get(SPEC_DIGEST, ""),
        labels.get(CHART_DIGEST, ""),
        labels.get(POOL_UID, ""),
        labels.get(CHART, ""),
        labels.get(PARKED, "") == labels.get(STAMP),
        int(port) if (port := labels.get(PORT, "")).isdigit() else None,
        labels.get(PLACE, ""),
        labels.get(ASKED, ""),
    )


def _time(seconds: str | None) -> datetime | None:
    """Return the time that a label of helm tells: whole seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC) if seconds and seconds.isdigit() else None
