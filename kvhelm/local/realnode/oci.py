"""Container images made of files of this machine, one layer each, as archives for ctr."""

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Tree:
    """A folder of this machine, without files and folders of such names (patterns)."""

    folder: Path
    without: tuple[str, ...] = ()


Content = Path | str | Tree


@dataclass(frozen=True)
class Image:
    """What an image holds: {path in it: a file or folder of this machine, or a text}."""

    names: tuple[str, ...]
    files: Mapping[str, Content]
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


def write_image(image: Image, target: Path) -> None:
    """Write the image as an OCI archive; `target` is there as a whole, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    try:
        with part.open("wb") as file:
            digest, size = _write_layer(file, image)
            with tarfile.open(fileobj=file, mode="w") as tar:
                _describe(tar, image, digest, size)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _write_layer(file: BinaryIO, image: Image) -> tuple[str, int]:
    """Write the layer as the archive's first entry; return its digest and size.

    Both are part of the entry's header, which is written last: layers can be large.
    """
    file.seek(tarfile.BLOCKSIZE)
    layer = _Hashed(file)
    # The mode for streams: it writes in order, and never looks back.
    with tarfile.open(fileobj=layer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _fill(tar, image)
    digest = f"sha256:{layer.hash.hexdigest()}"
    header = tarfile.TarInfo(_blob(digest))
    header.size = layer.size
    file.seek(0)
    file.write(header.tobuf())
    file.seek(tarfile.BLOCKSIZE + layer.size)  # a whole number of blocks, like every archive
    return digest, layer.size


class _Hashed(io.RawIOBase):
    """A file that knows the digest and size of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.hash.update(data)
        self.size += len(data)
        return len(data)


def _describe(tar: tarfile.TarFile, image: Image, digest: str, size: int) -> None:
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
    _add_bytes(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _add_blob(tar, config, f"{kind}.config.v1+json"),
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": digest, "size": size}],
    }
    pointer = _add_blob(tar, manifest, f"{kind}.manifest.v1+json")
    index = {
        "schemaVersion": 2,
        "manifests": [
            {**pointer, "annotations": {"io.containerd.image.name": name}} for name in image.names
        ],
    }
    _add_bytes(tar, "index.json", json.dumps(index).encode())


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
            # Python takes compiled files for those of this very source by its time.
            info.mtime = int(status.st_mtime)
            with content.open("rb") as opened:
                tar.addfile(_clean(info), opened)
    for path, to in sorted(_stripped(image.links).items()):
        info = _clean(tarfile.TarInfo(path))
        info.type = tarfile.SYMTYPE
        info.linkname = to
        tar.addfile(info)


def _expanded(at: str, source: Content) -> Iterator[tuple[str, Path | str]]:
    """Yield the files of a folder; symbolic links become what they lead to."""
    if not isinstance(source, Tree):
        yield at, source
        return
    for folder, folders, files in os.walk(source.folder):
        folders[:] = [name for name in sorted(folders) if not _matches(name, source.without)]
        below = PurePosixPath(folder).relative_to(source.folder)
        for name in sorted(files):
            if _matches(name, source.without):
                continue
            if (file := Path(folder, name)).is_file():
                yield str(PurePosixPath(at) / below / name), file


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _stripped(links: Mapping[str, str]) -> dict[str, str]:
    return {path.lstrip("/"): to for path, to in links.items()}


def _clean(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
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
