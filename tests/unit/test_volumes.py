"""Which volumes the claims of a cluster with real nodes get, and when they go."""

import json
from typing import Any

from kvhelm.kube.resource import Object
from kvhelm.local.realnode.volumes import (
    RULES,
    STORAGE_CLASS,
    is_done_with,
    node_of,
    volume_for,
)


def claim(*, node: str | None = "node-2", **spec: Any) -> Object:
    chosen = {"volume.kubernetes.io/selected-node": node} if node else {}
    return {
        "metadata": {"name": "c", "namespace": "n", "uid": "1-2-3", "annotations": chosen},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "node-disk",
            "volumeMode": "Filesystem",
            **spec,
        },
    }


def made() -> Object:
    volume = volume_for(claim())
    assert volume
    return volume


def test_a_volume_is_its_claims_and_on_the_node_of_its_pod() -> None:
    volume = made()
    assert node_of(volume) == "node-2"
    assert volume["spec"]["claimRef"]["uid"] == "1-2-3"
    # Of the type that kubelet gives to a pod's fsGroup.
    assert volume["spec"]["local"]["path"].endswith("/pvc-1-2-3")


def test_a_claim_waits_for_its_pod() -> None:
    assert STORAGE_CLASS["volumeBindingMode"] == "WaitForFirstConsumer"
    assert volume_for(claim(node=None)) is None


def test_other_claims_are_left_alone() -> None:
    assert volume_for(claim(storageClassName="somebody-elses")) is None
    assert volume_for(claim(volumeName="bound")) is None
    assert volume_for(claim(volumeMode="Block")) is None


def test_a_volume_goes_when_its_claim_has_gone() -> None:
    assert not is_done_with(made() | {"status": {"phase": "Bound"}})
    assert is_done_with(made() | {"status": {"phase": "Released"}})


def test_a_volume_that_a_person_keeps_stays() -> None:
    kept = made() | {"status": {"phase": "Released"}}
    kept["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not is_done_with(kept)
    foreign = made() | {"status": {"phase": "Released"}}
    foreign["metadata"]["annotations"] = {}
    assert not is_done_with(foreign)


def test_whoever_makes_volumes_may_do_that_alone() -> None:
    assert "*" not in json.dumps(RULES)
    assert {resource for rule in RULES for resource in rule["resources"]} == {
        "persistentvolumeclaims",
        "persistentvolumes",
    }
