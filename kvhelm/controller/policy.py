"""What every decision depends on besides the picture of the pool."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """The same for all pools of a controller."""

    chart_digest: str
    """Of the chart that the controller brings."""
    helm_gone_after: float
    """Seconds after a write of helm from which on it can't be at work any more."""
