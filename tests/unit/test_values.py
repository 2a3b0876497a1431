"""From a pool to its release: names that never meet, values that are the spec, stable digests."""

import re
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kvhelm.api.v1alpha1 import parse_spec
from kvhelm.values import Defaults, digest, metadata_prefix, release_name, values_for

SAMPLE = Path(__file__).parents[1] / "samples" / "seed-pool.yaml"
UID = "11111111-2222-3333-4444-555555555555"

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
POOL_NAMES = st.from_regex(rf"\A{LABEL}(\.{LABEL}){{0,3}}\Z").filter(lambda name: len(name) <= 253)


def values(spec: dict[str, Any], **defaults: str) -> dict[str, Any]:
    return values_for(
        parse_spec(spec),
        name="p",
        namespace="ns",
        uid=UID,
        defaults=Defaults.model_validate(defaults),
    )


@given(POOL_NAMES)
@example("a" * 253)
@example("9")
@example("a.b")
@example("x" * 44 + "-" + "y" * 20)
def test_every_legal_pool_name_gives_a_legal_release_name(name: str) -> None:
    release = release_name(name)
    assert len(release) <= 53
    # A Service's name: RFC 1035.
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", release)


@given(POOL_NAMES, POOL_NAMES)
@example("a.b", "a-b")
@example("x" * 60, "x" * 61)
@example("9", "p-9")
def test_two_pools_never_meet_in_one_release(one: str, other: str) -> None:
    assert (release_name(one) == release_name(other)) == (one == other)


def test_the_sample_keeps_its_name() -> None:
    sample = YAML(typ="safe").load(SAMPLE)
    name = sample["metadata"]["name"]
    assert len(name) == 53
    assert release_name(name) == name


def test_the_values_are_the_spec_word_for_word() -> None:
    spec = YAML(typ="safe").load(SAMPLE)["spec"]
    made = values(spec)
    identity = made.pop("pool")
    assert made == {key: value for key, value in spec.items() if key != "replicas"}
    assert identity["prefix"] == "/kvhelm/ns/p/11111111"


def test_a_scale_and_a_suspension_make_no_new_release() -> None:
    spec = {"cache": {"image": "v:1"}}
    changed = {**spec, "replicas": 7, "suspend": True, "revisionHistoryLimit": 9}
    assert digest(values(spec)) == digest(values(changed))


def test_a_changed_image_makes_one() -> None:
    assert digest(values({"cache": {"image": "v:1"}})) != digest(
        values({"cache": {"image": "v:2"}})
    )


def test_the_operators_labels_count_where_the_pool_sets_none() -> None:
    spec = {"cache": {"image": "v:1"}, "scheduler": {"gpuType": "A", "affinityWorkload": "w"}}
    made = values(spec, gpuTypeLabel="example.com/gpu", affinityWorkloadLabel="example.com/model")
    assert made["scheduler"]["gpuTypeLabel"] == "example.com/gpu"
    assert made["scheduler"]["affinityWorkloadLabel"] == "example.com/model"
    own = {**spec, "scheduler": {"gpuType": "A", "gpuTypeLabel": "own"}}
    assert values(own, gpuTypeLabel="example.com/gpu")["scheduler"]["gpuTypeLabel"] == "own"


def test_a_pool_made_again_has_another_prefix() -> None:
    assert metadata_prefix("ns", "p", UID) != metadata_prefix("ns", "p", "9" + UID[1:])
