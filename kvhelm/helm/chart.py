"""The chart that pools are installed from: where it is, and the digest that tells it apart."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kvhelm import assets
from kvhelm.errors import HelmError


@dataclass(frozen=True)
class Chart:
    """A chart on disk. `digest` is 32 hex digits over the files that a release holds."""

    path: Path
    name: str
    version: str
    digest: str
    own: bool = False
    """Whether it is the chart that kvhelm brings, whose schema comes from the models that every
    spec has passed already."""

    @property
    def reference(self) -> str:
        """Return NAME-VERSION, as helm shows it."""
        return f"{self.name}-{self.version}"


def load_chart(path: Path) -> Chart:
    """Return the chart at `path`. Raises HelmError when there is none."""
    manifest = path / "Chart.yaml"
    try:
        described = YAML(typ="safe").load(manifest)
        name, version = str(described["name"]), str(described["version"])
    except OSError as error:
        raise HelmError(f"no chart at {path}: {error.strerror} ({manifest.name})") from None
    except (YAMLError, LookupError, TypeError) as error:
        raise HelmError(
            f"no chart at {path}: {manifest.name}: {' '.join(str(error).split())}"
        ) from None
    parts = hashlib.sha256()
    for file in sorted(_files_of(path)):
        parts.update(f"{file.relative_to(path)}\0".encode())
        parts.update(hashlib.sha256(file.read_bytes()).digest())
    own = path.resolve() == assets.chart_dir()
    return Chart(path, name, version, parts.hexdigest()[:32], own)


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
