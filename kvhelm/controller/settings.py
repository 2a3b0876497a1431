"""What a person may set when the controller starts."""

from dataclasses import dataclass, field
from pathlib import Path

from kvhelm.controller.waves import Waves
from kvhelm.metadata.policy import DialPolicy
from kvhelm.values import Defaults


@dataclass(frozen=True)
class Settings:
    """The controller's settings; times are in seconds."""

    chart: Path
    """Folder of the chart that pools are installed from."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to watch; all of them if empty."""
    kubeconfig: Path | None = None
    """kubectl's rules if None, and a service account's own inside a pod."""
    context: str | None = None
    """Context of the kubeconfig; its current one if None."""
    lease_namespace: str = "kvhelm-system"
    """Namespace of the Lease by which one of several controllers leads."""
    lease_name: str = "kvhelm"
    """Name of that Lease."""
    helm: str = "helm"
    """The helm executable."""
    helm_processes: int = 4
    """How many helm processes run at a time."""
    helm_deadline: float = 120
    """How long one may run."""
    listen: str = "127.0.0.1:8080"
    """HOST:PORT of liveness, readiness and metrics."""
    defaults: Defaults = field(default_factory=Defaults)
    """Settings that take the place of chart defaults."""
    waves: Waves = field(default_factory=Waves)
    """How many pools a new chart comes to at a time."""
    dial: DialPolicy = field(default_factory=DialPolicy)
    """Which endpoints of metadata services may be dialled."""
