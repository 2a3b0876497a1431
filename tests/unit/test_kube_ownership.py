"""Who owns what: what was applied is compared with managedFields, value by value of none."""

from typing import Any

import pytest

from kvhelm.kube.ownership import (
    Ownership,
    foreign_items,
    list_patch_for,
    lost_fields,
    owner_of,
    ownership_for,
    spelled,
)
from kvhelm.kube.resource import Object

PORT_9600 = 'k:{"port":9600,"protocol":"TCP"}'
PORT_9700 = 'k:{"port":9700,"protocol":"TCP"}'
MAIN = 'k:{"name":"main"}'
SIDE = 'k:{"name":"side"}'
A, B = 'k:{"name":"A"}', 'k:{"name":"B"}'

SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "ns", "labels": {"app": "x"}},
    "spec": {
        "selector": {"app": "x"},
        "ports": [{"name": "rpc", "port": 9600, "targetPort": "rpc"}],
    },
}
SERVICE_FIELDS: Object = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:selector": {},
        "f:ports": {PORT_9600: {".": {}, "f:name": {}, "f:port": {}, "f:targetPort": {}}},
    },
}
PODS: Object = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [
            {"name": "main", "image": "a", "env": [{"name": "A", "value": "1"}], "args": ["x"]}
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "tolerations": [{"operator": "Exists"}],
        "finalizers": ["f"],
        "nothing": None,
    },
}
CONTAINER_FIELDS: Object = {
    ".": {},
    "f:name": {},
    "f:image": {},
    "f:args": {},
    "f:env": {A: {".": {}, "f:name": {}, "f:value": {}}},
}
PODS_FIELDS: Object = {
    "f:spec": {
        "f:containers": {MAIN: CONTAINER_FIELDS},
        "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
        "f:tolerations": {},
        "f:finalizers": {'v:"f"': {}},
    }
}


def entry(manager: str, fields: Object, operation: str = "Update", **more: Any) -> Object:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def owned(*entries: Object) -> Ownership:
    return ownership_for({"managedFields": list(entries)}, "helm", "mender")


def applied(fields: Object) -> Object:
    return entry("helm", fields, "Apply")


def without(fields: Object, *path: str) -> Object:
    """Return fields without one of them, and without what is empty by that (as the API does)."""
    first, *rest = path
    inner = without(fields[first], *rest) if rest else {}
    kept = {key: value for key, value in fields.items() if key != first}
    return kept | ({first: inner} if inner else {})


@pytest.mark.parametrize(("obj", "fields"), [(SERVICE, SERVICE_FIELDS), (PODS, PODS_FIELDS)])
def test_what_is_applied_and_untouched_has_lost_nothing(obj: Object, fields: Object) -> None:
    assert lost_fields(obj, owned(applied(fields))) == []


@pytest.mark.parametrize(
    ("obj", "fields", "path", "told"),
    [
        (SERVICE, SERVICE_FIELDS, ("f:metadata", "f:labels", "f:app"), "metadata.labels"),
        (SERVICE, SERVICE_FIELDS, ("f:spec", "f:selector"), "spec.selector"),
        (
            SERVICE,
            SERVICE_FIELDS,
            ("f:spec", "f:ports", PORT_9600, "f:targetPort"),
            "spec.ports[port=9600,protocol=TCP].targetPort",
        ),
        (SERVICE, SERVICE_FIELDS, ("f:spec", "f:ports", PORT_9600), "spec.ports"),
        (
            PODS,
            PODS_FIELDS,
            ("f:spec", "f:containers", MAIN, "f:image"),
            "spec.containers[name=main].image",
        ),
        (
            PODS,
            PODS_FIELDS,
            ("f:spec", "f:containers", MAIN, "f:env", A, "f:value"),
            "spec.containers[name=main].env[name=A].value",
        ),
        (PODS, PODS_FIELDS, ("f:spec", "f:finalizers", 'v:"f"'), "spec.finalizers"),
        (
            PODS,
            PODS_FIELDS,
            ("f:spec", "f:volumes", 'k:{"name":"tmp"}', "f:emptyDir"),
            "spec.volumes[name=tmp].emptyDir",
        ),
    ],
)
def test_what_others_take_is_lost(
    obj: Object, fields: Object, path: tuple[str, ...], told: str
) -> None:
    lost = lost_fields(obj, owned(applied(without(fields, *path))))
    assert [spelled(each) for each in lost] == [told]


def test_only_what_the_applier_applied_counts() -> None:
    updated = owned(entry("helm", SERVICE_FIELDS), entry("other", SERVICE_FIELDS, "Apply"))
    assert [spelled(path) for path in lost_fields(SERVICE, updated)] == ["metadata.labels", "spec"]
    assert lost_fields(SERVICE, owned()) == lost_fields(SERVICE, updated)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"f:spec": {"f:containers": {SIDE: {".": {}}}}}, ["spec.containers[name=side]"]),
        # of a foreign container only the container is told
        (
            {"f:spec": {"f:containers": {SIDE: {".": {}, "f:env": {A: {".": {}}}}}}},
            ["spec.containers[name=side]"],
        ),
        (
            {"f:spec": {"f:containers": {MAIN: {"f:env": {B: {".": {}, "f:name": {}}}}}}},
            ["spec.containers[name=main].env[name=B]"],
        ),
        # a field of an applied item that was not applied
        ({"f:spec": {"f:containers": {MAIN: {"f:lifecycle": {}}}}}, []),
        # a list that was not applied
        ({"f:spec": {"f:initContainers": {SIDE: {".": {}}}}}, []),
        ({"f:metadata": {"f:ownerReferences": {'k:{"uid":"1"}': {}}}}, []),
        # owned by both
        ({"f:spec": {"f:containers": {MAIN: {".": {}, "f:name": {}}}}}, []),
    ],
)
def test_items_of_others_in_lists_that_were_applied(fields: Object, told: list[str]) -> None:
    ownership = owned(applied(PODS_FIELDS), entry("someone", fields))
    assert [spelled(path) for path in foreign_items(PODS, ownership)] == told
    assert lost_fields(PODS, ownership) == []


def test_a_key_that_was_left_out_has_its_default() -> None:
    udp = 'k:{"port":9600,"protocol":"UDP"}'
    ownership = owned(
        applied(SERVICE_FIELDS), entry("someone", {"f:spec": {"f:ports": {udp: {".": {}}}}})
    )
    assert [path[-1] for path in foreign_items(SERVICE, ownership)] == [udp]


def test_a_status_is_no_business_of_the_applier() -> None:
    status: Object = {"f:status": {"f:conditions": {'k:{"type":"X"}': {}}}}
    assert owned(
        applied(SERVICE_FIELDS), entry("controller", status, subresource="status")
    ) == owned(applied(SERVICE_FIELDS))


def test_what_a_repair_left_is_seen() -> None:
    ports: Object = {"f:spec": {"f:ports": {PORT_9600: {".": {}}}}}
    assert owned(applied(SERVICE_FIELDS), entry("mender", ports)).leftover
    assert not owned(applied(SERVICE_FIELDS), entry("someone", ports)).leftover


def test_a_changed_key_comes_back_in_one_patch() -> None:
    port = {"name": "rpc", "port": 9700, "targetPort": "rpc", "protocol": "TCP"}
    live = {"spec": {"ports": [port]}}
    patch = list_patch_for(live, SERVICE, [("f:spec", "f:ports", PORT_9700)])
    assert patch == [{"op": "replace", "path": "/spec/ports", "value": SERVICE["spec"]["ports"]}]


def test_only_what_is_foreign_goes() -> None:
    own: Object = {"name": "main", "image": "a", "lifecycle": {"stopSignal": "SIGINT"}}
    own["env"] = [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]
    live = {"spec": {"containers": [{"name": "side"}, own]}}
    items = [
        ("f:spec", "f:containers", MAIN, "f:env", B),
        ("f:spec", "f:containers", SIDE),
    ]
    inner, outer = list_patch_for(live, PODS, items)
    assert inner == {
        "op": "replace",
        "path": "/spec/containers/1/env",
        "value": [{"name": "A", "value": "1"}],
    }
    assert outer["path"] == "/spec/containers"
    assert [it["name"] for it in outer["value"]] == ["main"]


def test_who_did_it() -> None:
    side: Object = {"f:spec": {"f:containers": {SIDE: {".": {}}}}}
    fields = [
        applied(PODS_FIELDS),
        entry("before", side, time="2026-01-01T00:00:00Z"),
        entry("after", side, time="2026-01-02T00:00:00Z"),
        entry("labeller", {"f:metadata": {"f:labels": {"f:mine": {}}}}),
    ]
    assert owner_of(fields, ("f:spec", "f:containers", SIDE), "helm") == "after"
    # Who removes leaves no trace.
    assert owner_of(fields, ("f:metadata", "f:labels", "f:app"), "helm") == ""


def test_how_people_write_it() -> None:
    path = ("f:metadata", "f:labels", "f:helm.sh/chart")
    assert spelled(path) == "metadata.labels[helm.sh/chart]"
    assert spelled(("f:spec", "f:finalizers", 'v:"a"')) == 'spec.finalizers["a"]'
