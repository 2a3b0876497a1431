"""A release Secret's payload is read and written as helm does it."""

import gzip
import json
from base64 import b64encode
from typing import Any

import pytest

from kvhelm.errors import HelmError
from kvhelm.helm.payload import data_for, manifest_of, release_from

RELEASE = {
    "name": "p",
    "version": 3,
    "info": {"status": "deployed", "description": "Größe ≥ 1"},
    "manifest": (
        "---\n# Source: a.yaml\nkind: Service\nmetadata: {name: a}\n---\n# nothing\n"
        '---\nkind: ConfigMap\ndata: {port: "9600", day: 2026-01-01}\n'
    ),
}


def secret(data: Any) -> dict[str, Any]:
    return {"metadata": {"name": "sh.helm.release.v1.p.v3"}, "data": data}


def as_helm_stores(text: bytes) -> str:
    return b64encode(b64encode(text)).decode()


def test_what_helm_stored_is_read() -> None:
    stored = as_helm_stores(gzip.compress(json.dumps(RELEASE).encode()))
    assert release_from(secret({"release": stored})) == RELEASE


def test_what_an_old_helm_stored_uncompressed_is_read() -> None:
    stored = as_helm_stores(json.dumps(RELEASE).encode())
    assert release_from(secret({"release": stored})) == RELEASE


def test_what_is_written_is_read_again_and_always_the_same() -> None:
    assert release_from(secret(data_for(RELEASE))) == RELEASE
    assert data_for(RELEASE) == data_for(dict(RELEASE))


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"release": None},
        {"release": "?"},
        {"release": b64encode(b"?").decode()},
        {"release": as_helm_stores(b"")},
        {"release": as_helm_stores(b"\x1f\x8b?")},
        {"release": as_helm_stores(gzip.compress(b"{}")[:12])},
        {"release": as_helm_stores(b"[]")},
    ],
)
def test_what_holds_no_release_is_one_clear_error(data: Any) -> None:
    with pytest.raises(HelmError, match=r"release\.v1\.p\.v3 holds no release"):
        release_from(secret(data))


def test_the_objects_of_a_manifest() -> None:
    assert manifest_of(RELEASE) == (
        {"kind": "Service", "metadata": {"name": "a"}},
        {"kind": "ConfigMap", "data": {"port": "9600", "day": "2026-01-01"}},
    )


@pytest.mark.parametrize("manifest", ["a: [", None])
def test_a_manifest_that_cannot_be_read(manifest: str | None) -> None:
    with pytest.raises(HelmError, match="release p cannot be read"):
        manifest_of({"name": "p", "manifest": manifest})
