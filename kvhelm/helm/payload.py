"""What stands in a release Secret: the whole release, as JSON, compressed, twice in base64.

The Secret's own base64 holds helm's base64 of a gzip of the JSON (helm 4.3): name, version, info,
config, chart with all its templates, and `manifest`, the rendered objects.
"""

import gzip
import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any
from zlib import error as ZlibError

import yaml

from kvhelm.api.conditions import Reason
from kvhelm.helm.errors import HelmFailed

Release = dict[str, Any]
"""A release as helm stores it."""

_COMPRESSED = b"\x1f\x8b"


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Reads YAML in libyaml: 4 ms for a pool's manifest, a twelfth of what Python takes.

    As in helm, there are no timestamps: what looks like a date is text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML declares it
        first: [(tag, form) for tag, form in known if not tag.endswith(":timestamp")]
        for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def release_from(secret: Mapping[str, Any]) -> Release:
    """Return the release that a Secret holds. Raises HelmFailed if it holds none."""
    try:
        stored = b64decode(b64decode(secret["data"]["release"], validate=True), validate=True)
        # Helm reads releases of its early days as well, which were not compressed.
        text = gzip.decompress(stored) if stored.startswith(_COMPRESSED) else stored
        release = json.loads(text)
    except (LookupError, TypeError, ValueError, OSError, EOFError, Base64Error, ZlibError):
        release = None
    if not isinstance(release, dict):
        raise _unreadable(
            f"the Secret {secret['metadata']['name']} holds no release that can be read"
        )
    return release


def data_for(release: Release) -> dict[str, str]:
    """Return the `data` of the Secret that holds a release."""
    text = json.dumps(release, separators=(",", ":"), ensure_ascii=False).encode()
    # Without a time of its own, so that the same release is the same data.
    return {"release": b64encode(b64encode(gzip.compress(text, mtime=0))).decode()}


def manifest_of(release: Release) -> tuple[dict[str, Any], ...]:
    """Return the objects that a release renders to, without what helm adds when it applies them.

    Raises HelmFailed if they cannot be read.
    """
    try:
        documents = list(yaml.load_all(release["manifest"], Loader=_Loader))
    except (LookupError, TypeError, AttributeError, yaml.YAMLError):
        raise _unreadable(f"the manifest of release {release.get('name')} cannot be read") from None
    return tuple(document for document in documents if isinstance(document, dict))


def _unreadable(message: str) -> HelmFailed:
    return HelmFailed(message, Reason.RELEASE_UNREADABLE, transient=True)
