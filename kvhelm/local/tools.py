"""The programs that a local cluster is made of: the user's own where they fit, else built by Go.

Looked for in $KUBEBUILDER_ASSETS (envtest's convention), then on PATH, then in kvhelm's cache.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.build import ensure_binary, ensure_module_files
from kvhelm.local.pins import Pins, Version, pins, version_in, written
from kvhelm.local.places import cache_root
from kvhelm.local.progress import SILENT, Progress

# Seconds that a program may take to tell its version.
_VERSION_TIMEOUT = 10.0


@dataclass(frozen=True)
class Tools:
    """Where the programs are, and kwok's Stages in one file."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kubectl: Path
    helm: Path
    kwok: Path
    kwok_stages: Path


def same_minor(pinned: Version, found: Version) -> bool:
    """Kubernetes promises no more between its parts than the same minor; kwok promises nothing."""
    return found[:2] == pinned[:2]


def etcd_fits(pinned: Version, found: Version) -> bool:
    """Kubernetes 1.37 works with etcd 3.5 and newer; another major would be another etcd."""
    return found[0] == pinned[0] and found[:2] >= (3, 5)


def helm_fits(pinned: Version, found: Version) -> bool:
    """Helm adds flags in minors, and takes none away within a major."""
    return found[0] == pinned[0] and found[:2] >= pinned[:2]


@dataclass(frozen=True)
class Recipe:
    """How one program is known, and built."""

    name: str
    module: str  # the folder in gomod/
    pinned: str  # the Go module whose version is the program's
    package: str
    takes: str  # the first time, on two cores
    fits: Callable[[Version, Version], bool]
    ask: tuple[str, ...] = ("--version",)
    stamps: tuple[str, ...] = ()  # variables that get the version; {v}, {major}, {minor}

    @property
    def pins(self) -> Pins:
        """The committed module that this is built from."""
        return pins(self.module)

    @property
    def version(self) -> Version:
        """The version that is pinned."""
        return self.pins.version(self.pinned)

    @property
    def ldflags(self) -> str:
        """The linker's flags: no debug tables, and the version, which clients parse."""
        major, minor, _ = self.version
        stamps = (s.format(v=written(self.version), major=major, minor=minor) for s in self.stamps)
        return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])

    @property
    def cached(self) -> Path:
        """Where the built program belongs."""
        # Those of RECIPES lie side by side in the folder of their module.
        own = () if self in RECIPES else (self.ldflags,)
        return _module_cache(self.module, *own) / self.name


_COMPONENT = "k8s.io/component-base/version"
_KUBERNETES_STAMPS = (
    f"{_COMPONENT}.gitVersion={{v}}",
    f"{_COMPONENT}.gitMajor={{major}}",
    f"{_COMPONENT}.gitMinor={{minor}}",
)


def kubernetes_recipe(name: str, takes: str, **more: tuple[str, ...]) -> Recipe:
    """Return the recipe of a program of Kubernetes itself."""
    return Recipe(
        name=name,
        module="kubernetes",
        pinned="k8s.io/kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        takes=takes,
        fits=same_minor,
        **{"stamps": _KUBERNETES_STAMPS, **more},
    )


HELM = Recipe(
    name="helm",
    module="helm",
    pinned="helm.sh/helm/v4",
    package="helm.sh/helm/v4/cmd/helm",
    takes="the first time about 2 minutes",
    fits=helm_fits,
    ask=("version", "--short"),
    stamps=("helm.sh/helm/v4/internal/version.version={v}",),
)
RECIPES = (
    Recipe(
        name="etcd",
        module="etcd",
        pinned="go.etcd.io/etcd/server/v3",
        package="go.etcd.io/etcd/server/v3",
        takes="the first time about 1 minute",
        fits=etcd_fits,
    ),
    HELM,
    kubernetes_recipe("kube-apiserver", "the first time about 4 minutes"),
    kubernetes_recipe("kube-controller-manager", "the first time about 2 minutes"),
    kubernetes_recipe("kube-scheduler", "the first time up to 1 minute"),
    kubernetes_recipe(
        "kubectl",
        "the first time up to 1 minute",
        ask=("version", "--client"),
        stamps=(*_KUBERNETES_STAMPS, "k8s.io/client-go/pkg/version.gitVersion={v}"),
    ),
    Recipe(
        name="kwok",
        module="kwok",
        pinned="sigs.k8s.io/kwok",
        package="sigs.k8s.io/kwok/cmd/kwok",
        takes="the first time about 1 minute",
        fits=same_minor,
        stamps=("sigs.k8s.io/kwok/pkg/consts.Version={v}",),
    ),
)
# Nodes that are Ready at once and stay so, pods that run at once, volumes that bind without a disk.
STAGES = tuple(
    f"kustomize/stage/{folder}"
    for folder in ("node/fast", "node/heartbeat-with-lease", "pod/fast", "volume/fast")
)


def ensure_tools(progress: Progress = SILENT) -> Tools:
    """Return all programs of a local cluster, building those that are missing.

    The first build takes about 10 minutes on two cores. Raises LocalError with what is missing.
    """
    paths = {recipe.name: ensure_tool(recipe, progress) for recipe in RECIPES}
    kwok = pins("kwok")
    stages = ensure_module_files(
        _module_cache("kwok") / "stages.yaml", kwok, "sigs.k8s.io/kwok", STAGES, "Stage", progress
    )
    return Tools(
        **{name.replace("-", "_"): path for name, path in paths.items()}, kwok_stages=stages
    )


def ensure_helm(progress: Progress = SILENT) -> Path:
    """Return helm alone, building it if it is missing (about 2 minutes)."""
    return ensure_tool(HELM, progress)


def ensure_tool(recipe: Recipe, progress: Progress = SILENT) -> Path:
    """Return one program: the user's own if it fits, else kvhelm's build."""
    for candidate in _candidates(recipe.name):
        version = _version_of(candidate, recipe)
        if version is not None and recipe.fits(recipe.version, version):
            progress.say(f"using {candidate} ({written(version)})")
            return candidate
    return ensure_binary(
        recipe.cached, recipe.pins, recipe.package, recipe.ldflags, progress, recipe.takes
    )


def _candidates(name: str) -> Iterator[Path]:
    """Yield the user's own programs of that name, best first; links to kvhelm's are not theirs."""
    cache = cache_root().resolve()
    for places in (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH")):
        found = shutil.which(name, path=places) if places else None
        if found is not None and not Path(found).resolve().is_relative_to(cache):
            yield Path(found).absolute()


def _version_of(program: Path, recipe: Recipe) -> Version | None:
    """Ask a program for its version; one that can't tell is of no use."""
    try:
        asked = subprocess.run(
            [program, *recipe.ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT,
            check=False,
        )
        return version_in(asked.stdout)
    except (OSError, subprocess.TimeoutExpired, LocalError):
        return None


def _module_cache(module: str, *also: str) -> Path:
    recipes = [recipe for recipe in RECIPES if recipe.module == module]
    digest = pins(module).digest(*STAGES, *(recipe.ldflags for recipe in recipes), *also)
    return cache_root() / "tools" / module / digest
