"""Which versions of the tools kvhelm wants: the committed go.mod files alone say it."""

import hashlib
import platform
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kvhelm.errors import LocalError

_GOMOD = Path(__file__).resolve().parent / "gomod"

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Pins:
    """One committed Go module: what it builds from, down to every checksum."""

    directory: Path

    @property
    def name(self) -> str:
        """The module's short name: kubernetes, etcd, kwok, helm, containerd or coredns."""
        return self.directory.name

    @cached_property
    def text(self) -> str:
        """The go.mod file."""
        return (self.directory / "go.mod").read_text()

    def version(self, path: str) -> Version:
        """Return the pinned version of the Go module `path`."""
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(path)} v(\S+)", self.text, re.MULTILINE)
        if found is None:
            raise LocalError(f"{self.directory / 'go.mod'} does not require {path}")
        return version_in(found[1])

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All that a build starts from: the pins, and the module's own Go files, if any."""
        sources = sorted(self.directory.glob("*.go"))
        return (self.directory / "go.mod", self.directory / "go.sum", *sources)

    @property
    def go(self) -> Version:
        """The oldest Go that builds this module."""
        found = re.search(r"^go (\S+)$", self.text, re.MULTILINE)
        if found is None:
            raise LocalError(f"{self.directory / 'go.mod'} names no Go version")
        return version_in(found[1])

    def digest(self, *also: str) -> str:
        """Return a short hash of all that decides what a build gives: the pins, and `also`."""
        parts = (*(file.read_text() for file in self.files), platform.machine(), *also)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def pins(name: str) -> Pins:
    """Return the committed module of that name."""
    return Pins(_GOMOD / name)


def version_in(text: str) -> Version:
    """Return the first version in what a tool prints: `Kubernetes v1.37.2` is (1, 37, 2).

    Raises LocalError when there is none.
    """
    found = re.search(r"(?<![\w.])(?:v|go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        raise LocalError(f"no version in {text.strip()[:100]!r}")
    major, minor, patch = found.groups(default="0")
    return int(major), int(minor), int(patch)


def written(version: Version) -> str:
    """Return the version as Go and its tools write it: v1.37.2."""
    return "v" + ".".join(map(str, version))
