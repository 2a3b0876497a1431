"""The images that real nodes start with, since no registry can be asked on this machine."""

from pathlib import Path

from kvhelm.local.build import ensure_binary
from kvhelm.local.lock import locked
from kvhelm.local.pins import pins
from kvhelm.local.places import cache_root
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode.oci import Image, write_image
from kvhelm.local.realnode.plan import PAUSE_IMAGE


def ensure_node_images(progress: Progress = SILENT) -> tuple[Path, ...]:
    """Return the archives of all images that every node loads, made where they are missing."""
    return (_pause(progress),)


def _pause(progress: Progress) -> Path:
    module = pins("pause")
    folder = cache_root() / "tools" / "pause" / module.digest()
    program = ensure_binary(folder / "pause", module, ".", "-s -w", progress, "a few seconds")
    image = Image((PAUSE_IMAGE,), {"/pause": program}, entrypoint=("/pause",))
    return ensure_image(folder / "pause.tar", image, progress)


def ensure_image(target: Path, image: Image, progress: Progress) -> Path:
    """Pack the image unless `target` is there."""
    with locked(target.with_suffix(".lock"), progress):
        if not target.exists():
            with progress.during(f"packing {image.names[0]}"):
                write_image(image, target)
    return target
