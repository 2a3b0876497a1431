"""The objects of a release: what helm applied of them, and what of that is told to people."""

from dataclasses import replace

from kvhelm.controller.objects import (
    HELM,
    MENDER,
    Deviation,
    ReleaseObject,
    applied_for,
    deviation_for,
    fields_digest,
    release_object_from,
    sentence_for,
)
from kvhelm.kube.ownership import Ownership
from kvhelm.kube.resource import Object

LABELS = {"app.kubernetes.io/instance": "p", "app.kubernetes.io/component": "daemon"}
MANIFEST: Object = {
    "kind": "StatefulSet",
    "metadata": {"name": "p-daemon", "labels": LABELS, "annotations": {"a": "b"}},
    "spec": {"replicas": 0, "serviceName": "p"},
}
FIELDS: Object = {
    "f:metadata": {
        "f:labels": {f"f:{name}": {} for name in (*LABELS, "app.kubernetes.io/managed-by")},
        "f:annotations": {
            "f:a": {},
            "f:meta.helm.sh/release-name": {},
            "f:meta.helm.sh/release-namespace": {},
        },
    },
    "f:spec": {"f:serviceName": {}},
}
LIVE: Object = {
    "metadata": {
        "name": "p-daemon",
        "namespace": "ns",
        "uid": "1",
        "labels": LABELS,
        "managedFields": [{"manager": HELM, "operation": "Apply", "fieldsV1": FIELDS}],
    }
}
KNOWN = release_object_from("StatefulSet", LIVE)
APPLIED = applied_for(MANIFEST, "p", "ns")


def test_helms_marks_are_part_of_what_it_applied() -> None:
    metadata = APPLIED["metadata"]
    assert metadata["labels"] == {**LABELS, "app.kubernetes.io/managed-by": "Helm"}
    assert metadata["annotations"] == {
        "a": "b",
        "meta.helm.sh/release-name": "p",
        "meta.helm.sh/release-namespace": "ns",
    }


def test_replicas_of_daemons_are_ours_and_those_of_the_etcd_helms() -> None:
    assert APPLIED["spec"] == {"serviceName": "p"}
    etcd = {"metadata": {"name": "e", "labels": {"app.kubernetes.io/component": "etcd"}}}
    assert applied_for({**MANIFEST, **etcd}, "p", "ns")["spec"]["replicas"] == 0


def test_what_is_as_released_deviates_in_nothing() -> None:
    assert not deviation_for(APPLIED, KNOWN)
    assert not deviation_for(APPLIED, replace(KNOWN, ending=True))


def test_what_stops_helm() -> None:
    lost = deviation_for(APPLIED, replace(KNOWN, ownership=Ownership("")))
    assert lost
    assert not lost.blocks_helm
    assert deviation_for(APPLIED, None).blocks_helm
    leftover = replace(KNOWN.ownership, leftover=True)
    assert deviation_for(APPLIED, replace(KNOWN, ownership=leftover)).blocks_helm


def digest(*objects: ReleaseObject, revision: int = 1) -> str:
    return fields_digest(revision, objects)


def test_the_digest_tells_everything_that_may_be_drift() -> None:
    service = replace(KNOWN, kind="Service", name="p")
    known = digest(KNOWN, service)
    assert digest(service, KNOWN) == known
    items = replace(KNOWN.ownership, items=(("f:spec", "k:{}"),))
    others = {
        digest(KNOWN),
        digest(KNOWN, service, revision=2),
        digest(KNOWN, replace(service, name="q")),
        digest(KNOWN, replace(service, ending=True)),
        digest(KNOWN, replace(service, ownership=Ownership(""))),
        digest(KNOWN, replace(service, ownership=items)),
        digest(KNOWN, replace(service, ownership=replace(KNOWN.ownership, leftover=True))),
    }
    assert len(others | {known}) == 8


def test_people_are_told_object_field_and_manager() -> None:
    fields: Object = {"f:spec": {"f:serviceName": {}}}
    live = {
        "metadata": {
            "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": fields}]
        }
    }
    taken = Deviation(lost=(("f:spec", "f:serviceName"), ("f:metadata", "f:labels", "f:a")))
    assert sentence_for(APPLIED, taken, live) == (
        "StatefulSet p-daemon: spec.serviceName written by kubectl; metadata.labels.a removed: "
        "put right"
    )
    assert sentence_for(APPLIED, Deviation(missing=True), None) == (
        "StatefulSet p-daemon was deleted: made again"
    )
    assert sentence_for(APPLIED, Deviation(leftover=True), live) == (
        "StatefulSet p-daemon: a repair was cut off: put right"
    )


def test_a_repair_that_was_cut_off_is_seen() -> None:
    entries = [
        *LIVE["metadata"]["managedFields"],
        {"manager": MENDER, "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}},
    ]
    live = {"metadata": {**LIVE["metadata"], "managedFields": entries}}
    assert deviation_for(APPLIED, release_object_from("StatefulSet", live)).leftover
