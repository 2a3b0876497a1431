"""Names and labels: any legal release name gives legal objects, and no two releases ever meet."""

import re
from collections.abc import Iterator

import pytest

from tests.chart.rendering import Object, Rendered, render

RFC1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
SHARED_START = "aibrix-model-deepseek-coder-33b-instruct-kvcache-eu"

RELEASES = [
    *(("pool-" * 11)[:length].replace("-", "x") for length in (1, 2, 44, 45, 46, 52, 53)),
    f"{'a' * 35}--{'b' * 16}",
    "9lives",
    "team.pool",
    "team-pool",
    "1e3",
    f"9.{'z' * 51}",
    f"{SHARED_START}-1",
    f"{SHARED_START}-2",
    # What the objects of the release "my-pool" are called.
    "my-pool",
    "my-pool-rpc",
    "my-pool-daemon",
    "my-pool-etcd",
    "my-pool-connection",
]


def names(pool: Rendered) -> Iterator[tuple[str, str]]:
    for each in pool.objects:
        yield each["kind"], each["metadata"]["name"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_name_gives_names_that_kubernetes_takes(release: str) -> None:
    pool = render(release=release)
    for kind, name in names(pool):
        if kind == "ConfigMap":
            assert len(name) <= 253
        else:
            assert RFC1035.fullmatch(name), name
        if kind == "StatefulSet":
            # The label controller-revision-hash is this and 11 characters more; labels end at 63.
            assert len(name) <= 52
    for each in pool.objects:
        for value in each["metadata"]["labels"].values():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)


def test_no_two_releases_meet_in_an_object() -> None:
    owned = [pair for release in RELEASES for pair in names(render(release=release))]
    assert len(owned) == len(set(owned))


def test_a_name_that_fits_is_kept() -> None:
    assert dict(names(render(release="my-pool")))["ConfigMap"] == "my-pool-connection"
    assert render(release="p" * 45).get("StatefulSet", "daemon")["metadata"]["name"] == (
        f"{'p' * 45}-daemon"
    )


def test_the_address_that_people_type_keeps_the_whole_name() -> None:
    sample = "test-aibrix-model-deepseek-coder-33b-instruct-kvcache"
    pool = render(release=sample, namespace="default")
    assert pool.get("Service", "rpc")["metadata"]["name"] == f"{sample}-rpc"
    assert pool.connection["VINEYARD_RPC_ENDPOINT"] == f"{sample}-rpc.default.svc:9600"


def selectors(pool: Rendered) -> Iterator[tuple[Object, dict[str, str]]]:
    for each in pool.objects:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Service":
                yield each, spec["selector"]
            case "NetworkPolicy":
                yield each, spec["podSelector"]["matchLabels"]
            case "StatefulSet" | "PodDisruptionBudget":
                yield each, spec["selector"]["matchLabels"]


def test_every_selector_takes_the_pods_of_one_component_of_one_release() -> None:
    pool = render()
    found = list(selectors(pool))
    assert len(found) == 9
    for each, selector in found:
        component = "etcd" if "-etcd" in each["metadata"]["name"] else "daemon"
        # A member's own Service takes no more than its pod.
        one = selector.get("statefulset.kubernetes.io/pod-name", "")
        assert one == (each["metadata"]["name"] if each["metadata"]["name"].endswith("-0") else "")
        assert {key: value for key, value in selector.items() if value != one} == {
            "app.kubernetes.io/name": "kvcachepool",
            "app.kubernetes.io/instance": "my-pool",
            "app.kubernetes.io/component": component,
        }
        if each["kind"] == "StatefulSet":
            assert each["spec"]["template"]["metadata"] == {"labels": selector}
            assert each["spec"]["serviceName"] == each["metadata"]["name"]
            assert pool.find("Service", component)


def test_every_object_tells_its_pool_and_chart() -> None:
    name = f"a.pool.{'x' * 240}"
    for each in render({"pool": {"name": name}}).objects:
        metadata = each["metadata"]
        assert metadata["namespace"] == "models"
        assert metadata["annotations"]["kvcache.aibrix.ai/pool"] == name
        assert metadata["labels"]["app.kubernetes.io/instance"] == "my-pool"
        assert metadata["labels"]["helm.sh/chart"].startswith("kvcachepool-")
    for each in render().objects:
        assert each["metadata"]["annotations"]["kvcache.aibrix.ai/pool"] == "my-pool"
