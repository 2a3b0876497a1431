"""The chart that pools are installed from: where it is, and the digest that tells it apart."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from kvhelm.errors import HelmError


@dataclass(frozen=True)
class Chart:
    """A chart on disk. `digest` is 32 hex digits over the files that a release holds."""

    path: Path
    name: str
    version: str
    digest: str

    @property
    def reference(self) -> str:
        """Return NAME-VERSION, as helm shows it."""
        return f"{self.name}-{self.version}"


def load_chart(path: Path) -> Chart:
    """Return the chart at `path`. Raises HelmError when there is none."""
    manifest = path / "Chart.yaml"
    try:
        described = YAML(typ="safe").load(manifest)
    except OSError as error:
        raise HelmError(f"no chart at {path}: {error.strerror} ({manifest.name})") from None
    parts = hashlib.sha256()
    for file in sorted(_files_of(path)):
        parts.update(f"{file.relative_to(path)}\0".encode())
        parts.update(hashlib.sha256(file.read_bytes()).digest())
    return Chart(path, described["name"], str(described["version"]), parts.hexdigest()[:32])


def _files_of(path: Path) -> list[Path]:
    """Return the files whose change makes another release; notes for readers are not among them."""
    return [
        path / "Chart.yaml",
        path / "values.yaml",
        *(file for file in [path / "values.schema.json"] if file.exists()),
        *(
            file
            for folder in ("templates", "charts")
            for file in (path / folder).rglob("*")
            if file.is_file()
        ),
    ]
