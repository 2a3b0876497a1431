import json

from bench.pools import (
    IMAGES,
    daemons_of,
    is_ready,
    manifest_for,
    names_for,
    nodes_for,
    pool_for,
    spec_for,
)
from kvhelm.api.v1alpha1 import parse_spec


def test_both_specs_are_such_as_a_user_writes() -> None:
    own = parse_spec(spec_for("http://etcd:2379"))
    assert own.metadata is not None
    assert own.metadata.etcd is not None
    managed = parse_spec(spec_for(None))
    assert managed.metadata is None
    assert managed.cache.image == IMAGES[0]


def test_one_manifest_holds_all_pools() -> None:
    spec = spec_for("http://etcd:2379")
    names = names_for(3)
    manifest = json.loads(manifest_for(pool_for(name, "ns", spec) for name in names))
    assert manifest["kind"] == "List"
    assert [item["metadata"]["name"] for item in manifest["items"]] == names
    assert len(set(names)) == 3
    assert daemons_of(names[0]) == "pool-0000-daemon"


def test_nodes_have_room_for_all_pods_and_one_to_spare() -> None:
    assert len(nodes_for(100, managed_etcd=False)) == 2
    assert len(nodes_for(200, managed_etcd=False)) == 3
    assert len(nodes_for(200, managed_etcd=True)) == 5


def test_ready_counts_only_for_the_generation_that_is_waited_for() -> None:
    def pool(status: str, observed: int) -> dict[str, object]:
        ready = {"type": "Ready", "status": status, "observedGeneration": observed}
        return {"status": {"conditions": [{"type": "Stalled", "status": "True"}, ready]}}

    assert is_ready(pool("True", 1))
    assert not is_ready(pool("False", 1))
    assert not is_ready(pool("True", 1), generation=2)
    assert is_ready(pool("True", 2), generation=2)
    assert not is_ready({})
    assert not is_ready(None)
