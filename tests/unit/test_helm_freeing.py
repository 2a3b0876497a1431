"""How a revision is freed that a killed helm has left pending."""

from datetime import UTC, datetime

from kvhelm.helm.freeing import freeing_patch
from kvhelm.helm.origin import description_of, is_ours
from kvhelm.helm.payload import data_for, release_from

RELEASE = {
    "name": "p",
    "info": {"status": "pending-upgrade", "description": "Preparing upgrade", "notes": "ü"},
    "manifest": "kind: Service",
    "version": 2,
}


def test_a_freed_revision_has_failed_and_keeps_everything_else() -> None:
    metadata = {"namespace": "ns", "name": "sh.helm.release.v1.p.v2", "resourceVersion": "7"}
    before = {"metadata": metadata, "data": data_for(RELEASE)}
    assert description_of(before) == "Preparing upgrade"
    patch = freeing_patch(before, datetime(2026, 1, 1, tzinfo=UTC))
    assert patch["metadata"] == {
        "resourceVersion": "7",
        "labels": {"status": "failed", "modifiedAt": "1767225600"},
    }
    after = release_from({"metadata": metadata, "data": patch["data"]})
    assert after["info"].pop("status") == "failed"
    assert is_ours(after["info"].pop("description"))
    assert after == {**RELEASE, "info": {"notes": "ü"}}
