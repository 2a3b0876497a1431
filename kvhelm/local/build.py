"""Go builds what is pinned: visible, one builder at a time, moved into place at once."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.lock import locked
from kvhelm.local.pins import Pins, version_in, written
from kvhelm.local.progress import Progress

_TAIL = 15
# Seconds that built programs are kept for after their last use.
_KEPT = 30 * 24 * 3600.0


def ensure_binary(
    target: Path, pins: Pins, package: str, ldflags: str, progress: Progress, hint: str
) -> Path:
    """Build the Go `package` as `target`, unless it is there; `hint` says how long it may take.

    What other pins were built to goes once it has not been asked for in 30 days. Raises LocalError
    when Go is missing or too old, or with the end of what a failed build said.
    """
    if target.exists():
        with suppress(OSError):  # a cache that somebody else made may be read-only
            os.utime(target.parent)
        return target
    with locked(target.parent.with_suffix(".lock"), progress):
        if target.exists():  # somebody else built it while we waited
            return target
        with _module(pins) as module:
            part = target.with_name(target.name + ".part")
            target.parent.mkdir(parents=True, exist_ok=True)
            with progress.during(f"building {target.name}", hint):
                _go(
                    ["build", "-trimpath", f"-ldflags={ldflags}", "-o", str(part), package],
                    module,
                    f"building {target.name}",
                )
            part.replace(target)
    _forget_unused(target.parent)
    return target


def _forget_unused(kept: Path) -> None:
    for folder in kept.parent.iterdir():
        if folder.is_dir() and folder != kept and time.time() - folder.stat().st_mtime > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)


def ensure_module_files(
    target: Path, pins: Pins, path: str, folders: Sequence[str], kind: str, progress: Progress
) -> Path:
    """Join the objects of one kind in `folders` of the Go module `path` as one file, `target`.

    Does nothing if it is there. Raises LocalError like ensure_binary.
    """
    if target.exists():
        return target
    with locked(target.parent.with_suffix(".lock"), progress):
        with _module(pins) as module, progress.during(f"fetching {target.name} of {path}"):
            answer = _go(["mod", "download", "-json", path], module, f"fetching {path}")
        source = Path(json.loads(answer)["Dir"])
        files = [file for folder in folders for file in sorted((source / folder).glob("*.yaml"))]
        texts = [text for file in files if kind_of(text := file.read_text()) == kind]
        part = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(joined(texts))
        part.replace(target)
    return target


def kind_of(document: str) -> str | None:
    """Return the kind of a YAML file that holds one Kubernetes object."""
    found = re.search(r"^kind:\s*(\w+)\s*$", document, re.MULTILINE)
    return found and found[1]


def joined(documents: Sequence[str]) -> str:
    """Join YAML files so that each stays a document of its own.

    Some have no final newline: joined as they are, they would swallow the next separator.
    """
    return "\n---\n".join(text.strip().removeprefix("---").strip() for text in documents) + "\n"


@contextmanager
def _module(pins: Pins) -> Iterator[Path]:
    """Give Go a writable copy of the module: an installed kvhelm may be read-only."""
    _check_go(pins)
    with tempfile.TemporaryDirectory(prefix="kvhelm-build-") as folder:
        for file in pins.files:
            shutil.copyfile(file, Path(folder, file.name))
        yield Path(folder)


def _check_go(pins: Pins) -> None:
    needed = f"Go {written(pins.go)[1:]} or newer builds {pins.name} (https://go.dev/dl/)"
    if shutil.which("go") is None:
        raise LocalError(f"there is no `go` on PATH; {needed}")
    # GOTOOLCHAIN=local: the Go that is here, not one that it could download.
    with tempfile.TemporaryDirectory(prefix="kvhelm-build-") as outside_of_modules:
        answer = _go(
            ["env", "GOVERSION"], Path(outside_of_modules), "go env", {"GOTOOLCHAIN": "local"}
        )
    if version_in(answer) < pins.go:
        raise LocalError(f"{answer.strip()} on PATH is too old; {needed}")


def _go(
    arguments: Sequence[str], directory: Path, doing: str, extra: Mapping[str, str] | None = None
) -> str:
    """Run go, return its standard output; its whole process group dies with this call."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", **(extra or {})}
    process = subprocess.Popen(
        ["go", *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode != 0:
        said = (errors + output).splitlines()
        lines = [line for line in said if not line.startswith("go: downloading ")]
        raise LocalError(f"{doing} failed; go said:\n" + "\n".join(lines[-_TAIL:]))
    return output
