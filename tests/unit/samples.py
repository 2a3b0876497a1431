"""The sample pools of tests/samples."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SAMPLES = {
    path.stem: path for path in sorted((Path(__file__).parents[1] / "samples").glob("*.yaml"))
}


def read(name: str) -> dict[str, Any]:
    """Return the manifest of a sample."""
    manifest: dict[str, Any] = YAML(typ="safe").load(SAMPLES[name])
    return manifest
