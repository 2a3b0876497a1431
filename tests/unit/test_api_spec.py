"""The controller's own reading of a spec: what it takes, and the field that it names if not."""

from typing import Any

import pytest
from pydantic import ValidationError

from kvhelm.api.v1alpha1 import PoolSpec, parse_spec


def refused_at(spec: Any) -> list[str]:
    """Return the paths of the fields that are refused, as people write them."""
    with pytest.raises(ValidationError) as refused:
        parse_spec(spec)
    return [".".join(str(part) for part in error["loc"]) for error in refused.value.errors()]


def test_an_image_is_all_that_a_pool_needs() -> None:
    spec = parse_spec({"cache": {"image": "vineyardd:1"}})
    assert spec.replicas == 1
    assert spec.cache.memory == "1Gi"
    assert spec.service.allow_from is None
    assert spec.metadata is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "cache"),
        ({"cache": {}}, "cache.image"),
        ({"cache": {"image": "v:1", "imge": "v:1"}}, "cache.imge"),
        ({"cache": {"image": "v:1"}, "replicas": 1001}, "replicas"),
        ({"cache": {"image": "v:1"}, "revisionHistoryLimit": 0}, "revisionHistoryLimit"),
        ({"cache": {"image": "v:1", "imagePullPolicy": "Never ever"}}, "cache.imagePullPolicy"),
        ({"cache": {"image": "v:1"}, "service": {"nodePort": 0}}, "service.nodePort"),
        (
            {"cache": {"image": "v:1"}, "metadata": {"etcd": {"endpoints": ["https://e:1"]}}},
            "metadata.etcd.endpoints.0",
        ),
    ],
    ids=str,
)
def test_the_field_is_named_as_people_write_it(spec: Any, field: str) -> None:
    assert refused_at(spec) == [field]


@pytest.mark.parametrize("memory", ["lots", "-1", "1.Gi", "4gi", 1024, 1.5, None])
def test_an_amount_that_is_none_is_refused(memory: Any) -> None:
    assert all(
        field.startswith("cache.memory")
        for field in refused_at({"cache": {"image": "v:1", "memory": memory}})
    )


def test_every_mistake_is_told_at_once() -> None:
    spec = {"cache": {"image": "no image"}, "replicas": -1, "sclae": 3}
    assert refused_at(spec) == ["replicas", "cache.image", "sclae"]


def test_a_spec_is_never_changed_in_place() -> None:
    spec = parse_spec({"cache": {"image": "v:1"}})
    with pytest.raises(ValidationError):
        spec.replicas = 2  # type: ignore[misc]


def test_what_is_read_is_written_the_same_way() -> None:
    spec = {
        "cache": {"image": "v:1", "extraArgs": ["--v=1"], "spill": {"sizeLimit": "1Gi"}},
        "scheduler": {"nodeSelector": {"a": ""}, "tolerations": [{"tolerationSeconds": 1}]},
        "service": {"allowFrom": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]},
    }
    model = PoolSpec.model_validate(spec)
    assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == spec
