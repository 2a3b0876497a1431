"""Whose a revision is, told by the labels of its Secret alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kvhelm.helm.releases import CHART, HEALTHY, Stamp, revision_from

STAMP = Stamp("spec", "chart", "uid", "kvcachepool-1.2.3")


def secret(number: int, status: str = "deployed", **labels: str) -> dict[str, Any]:
    helms = {"owner": "helm", "name": "p", "status": status, "version": str(number)}
    name = f"sh.helm.release.v1.p.v{number}"
    metadata = {"namespace": "ns", "name": name, "labels": helms | labels}
    since = {"creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7"}
    return {"metadata": metadata | since}


def test_our_revision() -> None:
    revision = revision_from(secret(3, **STAMP.labels(3)))
    assert revision
    assert (revision.number, revision.release, revision.stamp) == (3, "p", STAMP)
    assert not revision.pending


def test_labels_that_helm_carried_on_do_not_count() -> None:
    # After a person's `helm upgrade` or `helm rollback` the labels are those of another revision.
    revision = revision_from(secret(4, **STAMP.labels(3)))
    assert revision
    assert revision.stamp is None
    assert revision.pool_uid == "uid"


def test_the_release_of_someone_else() -> None:
    revision = revision_from(secret(1))
    assert revision
    assert (revision.stamp, revision.pool_uid) == (None, None)


def test_a_revision_that_helm_works_on() -> None:
    for status in ("pending-install", "pending-upgrade", "pending-rollback"):
        revision = revision_from(secret(1, status))
        assert revision
        assert revision.pending


def test_healthy_is_said_of_one_revision_alone() -> None:
    for number, healthy in ((3, True), (4, False)):
        # Helm carries the label on into the next revision.
        revision = revision_from(secret(number, **{HEALTHY: "3"}))
        assert revision
        assert revision.healthy is healthy


def test_when_a_revision_was_made_and_last_written() -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    revision = revision_from(secret(1))
    assert revision
    assert (revision.created, revision.modified) == (made, made)
    later = made + timedelta(seconds=9)
    for label in ("createdAt", "modifiedAt"):
        revision = revision_from(secret(1, **{label: f"{later.timestamp():.0f}"}))
        assert revision
        assert (revision.created, revision.modified) == (made, later)


def test_a_chart_version_that_no_label_can_hold() -> None:
    for reference, label in (("pool-1.2.3+build.7", "pool-1.2.3_build.7"), ("p" * 90, "p" * 63)):
        assert Stamp("s", "c", "u", reference).labels(1)[CHART] == label


def test_secrets_that_only_look_like_helms() -> None:
    assert revision_from({"metadata": {"namespace": "ns", "name": "s"}}) is None
    assert revision_from(secret(1, owner="me")) is None
    assert revision_from(secret(1, version="latest")) is None
