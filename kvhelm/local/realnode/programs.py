"""The programs of a real node: built by Go like the control plane's; runc and nft from Debian."""

import os
from dataclasses import dataclass
from pathlib import Path

from kvhelm.local.build import ensure_binary
from kvhelm.local.progress import SILENT, Progress
from kvhelm.local.realnode.debian import System, ensure_programs
from kvhelm.local.tools import Recipe, kubernetes_recipe, same_minor


def _containerd(name: str, package: str, takes: str = "a few seconds") -> Recipe:
    return Recipe(
        name=name,
        module="containerd",
        pinned="github.com/containerd/containerd/v2",
        package=package,
        takes=takes,
        fits=same_minor,
    )


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"
RECIPES = (
    kubernetes_recipe("kubelet", "the first time about 1 minute"),
    kubernetes_recipe("kube-proxy", "the first time up to 1 minute"),
    _containerd("containerd", f"{_CONTAINERD}/containerd", "the first time about 1 minute"),
    _containerd("containerd-shim-runc-v2", f"{_CONTAINERD}/containerd-shim-runc-v2"),
    _containerd("ctr", f"{_CONTAINERD}/ctr"),
    _containerd("loopback", f"{_CNI}/main/loopback"),
    _containerd("ptp", f"{_CNI}/main/ptp"),
    _containerd("host-local", f"{_CNI}/ipam/host-local"),
    Recipe(
        name="coredns",
        module="coredns",
        pinned="github.com/coredns/coredns",
        package=".",
        takes="the first time about 1 minute",
        fits=same_minor,
    ),
)
# C programs: no Go module has them. nft is what kube-proxy writes its rules with.
PACKAGES = {"runc": "runc", "nft": "nftables"}


@dataclass(frozen=True)
class Programs:
    """Where the programs of a real node are."""

    kubelet: Path
    kube_proxy: Path
    containerd: Path
    ctr: Path
    coredns: Path
    runc: Path
    system: System

    @property
    def all(self) -> dict[str, Path]:
        """The programs by name."""
        return {name: path for name, path in vars(self).items() if isinstance(path, Path)}

    @property
    def cni(self) -> Path:
        """The folder of the CNI plugins: containerd's own."""
        return self.containerd.parent

    def environment(self) -> dict[str, str]:
        """Return the variables that let containerd find its shim, and kube-proxy nft."""
        paths = (self.containerd.parent, *self.system.paths)
        made = {"PATH": ":".join([*map(str, paths), os.environ.get("PATH", os.defpath)])}
        if self.system.libraries:
            made["LD_LIBRARY_PATH"] = ":".join(map(str, self.system.libraries))
        return made


def ensure_node_programs(progress: Progress = SILENT) -> Programs:
    """Return the programs of real nodes, building and unpacking those that are missing.

    The first time takes about 4 minutes on two cores, beside what the control plane takes.
    Raises LocalError with what is missing.
    """
    system = ensure_programs(PACKAGES, progress)
    paths = {
        recipe.name: ensure_binary(
            recipe.cached, recipe.pins, recipe.package, recipe.ldflags, progress, recipe.takes
        )
        for recipe in RECIPES
    }
    return Programs(
        kubelet=paths["kubelet"],
        kube_proxy=paths["kube-proxy"],
        containerd=paths["containerd"],
        ctr=paths["ctr"],
        coredns=paths["coredns"],
        runc=system.which("runc"),
        system=system,
    )
