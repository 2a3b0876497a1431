"""A Python and its packages as files of an image: those of the interpreter that runs this.

No registry brings a base image here, so the image has this machine's files: the interpreter, its
standard library, and the shared libraries that they are linked with.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from kvhelm.local.realnode.oci import Content, Tree

_HOME = "/usr/local"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = f"{_HOME}/bin/{_VERSION}"
"""The interpreter in the image."""

PACKAGES = f"{_HOME}/lib/{_VERSION}/site-packages"
"""Where its packages belong."""

# Parts of the standard library that need a display, or are for its developers.
_WITHOUT = (
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo"),
    *("ensurepip", "lib2to3", "config-*", "*.opt-?.pyc"),
)


def interpreter() -> dict[str, Content]:
    """Return the interpreter with its standard library and shared libraries."""
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    return {
        PROGRAM: program,
        f"{_HOME}/lib/{_VERSION}": Tree(library, _WITHOUT),
        **libraries_of([program, *sorted(library.glob("lib-dynload/*.so"))]),
    }


def libraries_of(programs: Iterable[Path], besides: Path | None = None) -> dict[str, Path]:
    """Return the shared libraries that programs of this machine load, where they look for them.

    Without those below `besides`. One that is not linked dynamically has none.
    """
    found: dict[str, Path] = {}
    for program in programs:
        done = subprocess.run(
            ["ldd", program], capture_output=True, text=True, timeout=30, check=False
        )
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            path = Path(os.path.normpath(library))
            if besides is None or not path.is_relative_to(besides):
                found[library] = path
    return found


def distribution_files(name: str, at: str = PACKAGES) -> dict[str, Path]:
    """Return the files of an installed distribution and of all that it requires."""
    found: dict[str, Path] = {}
    for distribution in _closure(name):
        for file in distribution.files or ():
            # Programs, manual pages and the like are outside of the packages' folder.
            if file.parts[0] != ".." and Path(str(distribution.locate_file(file))).is_file():
                found[f"{at}/{file}"] = Path(str(distribution.locate_file(file)))
    extensions = [file for file in found.values() if file.suffix == ".so"]
    return {**found, **libraries_of(extensions, besides=Path(sysconfig.get_path("purelib")))}


def _closure(name: str) -> Iterable[importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [name]
    while waiting:
        key = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if key in found:
            continue
        try:
            found[key] = importlib.metadata.distribution(key)
        except importlib.metadata.PackageNotFoundError:
            continue  # required elsewhere, or by an extra, only
        for requirement in found[key].requires or ():
            named = re.match(r"[A-Za-z0-9._-]+", requirement)
            if named and "extra ==" not in requirement:
                waiting.append(named[0])
    return found.values()


def environment() -> Mapping[str, str]:
    """Return the variables that the interpreter needs in an image."""
    return {
        "PATH": f"{_HOME}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib"),
        "PYTHONUNBUFFERED": "1",
    }
