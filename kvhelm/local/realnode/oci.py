"""Container images made of files of this machine: one layer each, in the archive that ctr imports.

The same contents give the same bytes, whenever and by whomever they are packed.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """What an image holds: {path in it: a file or folder of this machine, or a text}."""

    names: tuple[str, ...]
    files: Mapping[str, Path | str]
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


def write_image(image: Image, target: Path) -> None:
    """Write the image as an OCI archive; `target` is there as a whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    layer = target.with_suffix(".layer")
    part = target.with_suffix(".part")
    try:
        with layer.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            _fill(tar, image)
        digest, size = _digest(layer)
        config = {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest]},
            "config": {
                "Entrypoint": list(image.entrypoint),
                "Env": [f"{name}={value}" for name, value in image.environment.items()],
                "User": image.user,
                "WorkingDir": "/",
            },
        }
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            _add_bytes(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            with layer.open("rb") as content:
                info = tarfile.TarInfo(_blob(digest))
                info.size = size
                tar.addfile(info, content)
            kind = "application/vnd.oci.image"
            described = {"mediaType": f"{kind}.layer.v1.tar", "digest": digest, "size": size}
            manifest = {
                "schemaVersion": 2,
                "mediaType": f"{kind}.manifest.v1+json",
                "config": _add_blob(tar, config, f"{kind}.config.v1+json"),
                "layers": [described],
            }
            pointer = _add_blob(tar, manifest, f"{kind}.manifest.v1+json")
            index = {
                "schemaVersion": 2,
                "manifests": [
                    {**pointer, "annotations": {"io.containerd.image.name": name}}
                    for name in image.names
                ],
            }
            _add_bytes(tar, "index.json", json.dumps(index).encode())
        part.replace(target)
    finally:
        layer.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def _fill(tar: tarfile.TarFile, image: Image) -> None:
    """Add the contents, each path once and its folders before it."""
    entries: dict[str, Path | str | None] = {"tmp": None}
    for at, source in image.files.items():
        for path, file in _expanded(at.lstrip("/"), source):
            entries.setdefault(path, file)
    folders = {
        str(parent)
        for path in (*entries, *_stripped(image.links))
        for parent in PurePosixPath(path).parents
    } - {"."}
    for folder in sorted(folders | {"tmp"}):
        info = _clean(tarfile.TarInfo(folder))
        info.type = tarfile.DIRTYPE
        info.mode = 0o1777 if folder == "tmp" else 0o755
        tar.addfile(info)
    for path, content in sorted(entries.items()):
        if isinstance(content, str):
            _add_bytes(tar, path, content.encode())
        elif content is not None:
            info = tarfile.TarInfo(path)
            status = content.stat()
            info.size = status.st_size
            info.mode = 0o755 if status.st_mode & 0o111 else 0o644
            with content.open("rb") as opened:
                tar.addfile(_clean(info), opened)
    for path, to in sorted(_stripped(image.links).items()):
        info = _clean(tarfile.TarInfo(path))
        info.type = tarfile.SYMTYPE
        info.linkname = to
        tar.addfile(info)


def _expanded(at: str, source: Path | str) -> Iterator[tuple[str, Path | str]]:
    """Yield the files of a folder; symbolic links become what they lead to."""
    if isinstance(source, str) or not source.is_dir():
        yield at, source
        return
    for file in sorted(source.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{at}/{file.relative_to(source)}", file


def _stripped(links: Mapping[str, str]) -> dict[str, str]:
    return {path.lstrip("/"): to for path, to in links.items()}


def _clean(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.mtime = 0
    return info


def _add_bytes(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    info = _clean(tarfile.TarInfo(path))
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))


def _add_blob(tar: tarfile.TarFile, content: object, kind: str) -> dict[str, object]:
    data = json.dumps(content, sort_keys=True).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _add_bytes(tar, _blob(digest), data)
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(file: Path) -> tuple[str, int]:
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}", file.stat().st_size


__all__ = ["Image", "write_image"]
