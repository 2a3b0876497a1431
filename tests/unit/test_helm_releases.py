"""Whose a revision is, told by the labels of its Secret alone."""

from typing import Any

from kvhelm.helm.releases import Stamp, revision_from

STAMP = Stamp("spec", "chart", "uid")


def secret(number: int, status: str = "deployed", **labels: str) -> dict[str, Any]:
    helms = {"owner": "helm", "name": "p", "status": status, "version": str(number)}
    name = f"sh.helm.release.v1.p.v{number}"
    return {"metadata": {"namespace": "ns", "name": name, "labels": helms | labels}}


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


def test_secrets_that_only_look_like_helms() -> None:
    assert revision_from({"metadata": {"namespace": "ns", "name": "s"}}) is None
    assert revision_from(secret(1, owner="me")) is None
    assert revision_from(secret(1, version="latest")) is None
