"""The images of real nodes, made on this machine: no registry can be asked by its tests.

They bear the names that manifests use, and are what they say: vineyardd is the one on PyPI, etcd
and etcdctl are built by Go, kvhelm is this one.
"""

import compileall
import hashlib
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib import metadata
from pathlib import Path

from kvhelm import assets
from kvhelm.errors import LocalError
from kvhelm.local.build import ensure_binary
from kvhelm.local.lock import locked
from kvhelm.local.pins import pins
from kvhelm.local.places import cache_root
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode import python
from kvhelm.local.realnode.oci import Content, Image, write_image
from kvhelm.local.realnode.plan import PAUSE_IMAGE
from kvhelm.local.realnode.pypi import run_pip
from kvhelm.local.tools import HELM, RECIPES, Recipe, ensure_helm, etcd_fits

VINEYARDD_IMAGES = (
    "aibrix-container-registry-cn-beijing.cr.volces.com/aibrix/vineyardd:20241120",
    "docker.io/vineyardcloudnative/vineyardd:v0.24.2",
)
ETCD_IMAGE = "registry.k8s.io/etcd:3.6.6-0"
"""What the pools' chart runs as the etcd of a pool that brings none."""

OPERATOR_IMAGE = f"docker.io/library/kvhelm:{metadata.version('kvhelm')}"
"""What the operator's chart runs by default."""

_VINEYARDD = Path(__file__).with_name("vineyardd.txt")
_PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
_USER = "65532:65532"
# Seconds for a wheel of kvhelm to be built.
_TIMEOUT = 600.0
# Seconds that an archive is kept for after its last use.
_KEPT = 3600.0
ETCD = next(recipe for recipe in RECIPES if recipe.name == "etcd")
ETCDCTL = Recipe(
    name="etcdctl",
    module="etcd",
    pinned=ETCD.pinned,
    package="go.etcd.io/etcd/etcdctl/v3",
    takes="the first time about 30 seconds",
    fits=etcd_fits,
)


def ensure_node_images(progress: Progress = SILENT) -> tuple[Path, ...]:
    """Return the archives of what every node has from its start, made where they are missing.

    Raises LocalError when Go or PyPI does not give what they need.
    """
    return (_pause(progress), _vineyardd(progress), _etcd(progress))


def ensure_operator_image(progress: Progress = SILENT) -> Path:
    """Return the archive of OPERATOR_IMAGE with this kvhelm; made again for every change of it."""
    with tempfile.TemporaryDirectory(prefix="kvhelm-image-") as folder:
        own = _own_files(Path(folder))
        helm = ensure_helm(progress)
        programs = {
            f"/usr/bin/{name}": Path(found)
            for name in ("setpriv", "timeout")
            if (found := shutil.which(name))
        }
        files: dict[str, Content] = {
            **python.interpreter(),
            **_without_paths(python.distribution_files("kvhelm")),
            **own,
            "/usr/local/bin/helm": helm,
            **programs,
            **python.libraries_of(programs.values()),
            "/etc/passwd": "kvhelm:x:65532:65532:kvhelm:/tmp:/sbin/nologin\n",
        }
        image = Image(
            (OPERATOR_IMAGE,),
            files,
            entrypoint=(python.PROGRAM, "-m", "kvhelm"),
            environment=python.environment(),
            user=_USER,
        )
        digest = hashlib.sha256(f"{sys.version}\0{HELM.cached}".encode())
        for at, content in sorted(own.items()):
            digest.update(f"{at}\0".encode())
            digest.update(content.read_bytes() if isinstance(content, Path) else b"")
        for at in sorted(files):
            digest.update(f"{at}\0".encode())
        return ensure_image(archive_of("kvhelm", digest.hexdigest()), image, progress)


def ensure_image(target: Path, image: Image, progress: Progress = SILENT) -> Path:
    """Pack the image unless its archive is there."""
    with locked(target.with_suffix(".lock"), progress):
        if target.exists():
            target.touch()  # in use
        else:
            _forget_unused(target.parent)
            with progress.during(f"packing {image.names[0]}"):
                write_image(image, target)
    return target


def _forget_unused(folder: Path) -> None:
    """Remove archives unused for an hour: every change of kvhelm makes another one."""
    for archive in folder.glob("*.tar"):
        if time.time() - archive.stat().st_mtime > _KEPT:
            archive.unlink(missing_ok=True)


def archive_of(name: str, digest: str) -> Path:
    """Return where the archive of an image belongs; `digest` tells its contents from others."""
    return cache_root() / "images" / f"{name}-{digest[:12]}.tar"


def _pause(progress: Progress) -> Path:
    module = pins("pause")
    folder = cache_root() / "tools" / "pause" / module.digest()
    program = ensure_binary(folder / "pause", module, ".", "-s -w", progress, "a few seconds")
    image = Image((PAUSE_IMAGE,), {"/pause": program}, entrypoint=("/pause",))
    return ensure_image(archive_of("pause", module.digest()), image, progress)


def _etcd(progress: Progress) -> Path:
    programs: dict[str, Content] = {
        f"/usr/local/bin/{recipe.name}": ensure_binary(
            recipe.cached, recipe.pins, recipe.package, recipe.ldflags, progress, recipe.takes
        )
        for recipe in (ETCD, ETCDCTL)
    }
    image = Image((ETCD_IMAGE,), programs, environment=_PATH)
    digest = ETCD.pins.digest(ETCD_IMAGE, ETCD.ldflags, ETCDCTL.ldflags)
    return ensure_image(archive_of("etcd", digest), image, progress)


def _vineyardd(progress: Progress) -> Path:
    """Return the archive of vineyardd as PyPI has it, with this machine's C library."""
    digest = hashlib.sha256(_VINEYARDD.read_bytes() + " ".join(VINEYARDD_IMAGES).encode())
    target = archive_of("vineyardd", digest.hexdigest())
    if target.exists():
        target.touch()
        return target
    with tempfile.TemporaryDirectory(prefix="kvhelm-image-") as folder:
        with progress.during("fetching vineyardd from PyPI"):
            program = _wheel(_VINEYARDD, Path(folder)) / "vineyard" / "bdist" / "vineyardd"
        program.chmod(0o755)
        files: dict[str, Content] = {
            "/usr/local/bin/vineyardd": program,
            **python.libraries_of([program]),
            "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n",
            "/etc/nsswitch.conf": "hosts: files dns\n",
        }
        image = Image(VINEYARDD_IMAGES, files, environment=_PATH)
        return ensure_image(target, image, progress)


def _wheel(lock: Path, folder: Path) -> Path:
    """Download the one wheel that `lock` pins, and return the folder that it is unpacked in."""
    run_pip("download", lock, "--only-binary=:all:", "--dest", folder / "wheels")
    (wheel,) = (folder / "wheels").glob("*.whl")
    return _unpacked(wheel, folder / "unpacked")


def _unpacked(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _without_paths(files: dict[str, Path]) -> dict[str, Path]:
    """Leave out what leads to a checkout, which the image does not have."""
    return {at: content for at, content in files.items() if not at.endswith(".pth")}


def _own_files(folder: Path) -> dict[str, Content]:
    """Return kvhelm itself as its wheel has it, which a checkout builds in `folder`."""
    checkout = Path(assets.__file__).parents[1]
    if not (checkout / "pyproject.toml").exists():
        return {}  # installed: its files are those of its distribution
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={folder}"],
        cwd=checkout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"kvhelm's own wheel can't be built: {done.stderr.strip()[-500:]}")
    (wheel,) = folder.glob("*.whl")
    files = _unpacked(wheel, folder / "unpacked")
    # The image's file system is read-only to it: what is not compiled now is so at each start.
    compileall.compile_dir(
        files,
        quiet=2,
        stripdir=str(files),
        prependdir=python.PACKAGES,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return {
        f"{python.PACKAGES}/{file.relative_to(files)}": file
        for file in sorted(files.rglob("*"))
        if file.is_file()
    }
