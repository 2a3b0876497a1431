"""What is known of the metadata service that a pool brings."""

from dataclasses import dataclass
from datetime import datetime

from kvhelm.api.status import PoolStatus
from kvhelm.controller.registered import Registered
from kvhelm.values import Place


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong with a metadata service: a reason word and what to change."""

    reason: str
    message: str
    blocks: bool


@dataclass(frozen=True)
class ServiceView:
    """What is known of the metadata service that a pool brings."""

    place: Place
    healthy: bool | None = None
    """As last probed; None before that."""
    trouble: Trouble | None = None
    """Why it is not healthy."""
    version: str | None = None
    cluster_id: str | None = None
    latency: float | None = None
    """Seconds."""
    last_success: datetime | None = None
    found: tuple[Trouble, ...] | None = None
    """What the last preflight found, worst first; None if there was none."""
    outdated: bool = False
    """Whether that may have changed since."""
    claimed: bool = False
    """Whether we claimed the place since we started."""
    observable: bool = False
    """Whether it can tell which daemons registered there."""
    registered: Registered | None = None
    """Which did; None if not known (yet)."""

    @property
    def blocker(self) -> Trouble | None:
        """The worst finding, if it makes the service useless to a pool."""
        return self.found[0] if self.found and self.found[0].blocks else None


def claims(status: PoolStatus, place: Place) -> bool:
    """Tell whether a status says that the pool holds this place."""
    known = status.metadata
    return (
        known is not None
        and known.prefix == place.prefix
        and tuple(known.endpoints) == place.endpoints
    )
