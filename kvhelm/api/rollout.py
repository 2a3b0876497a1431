"""How a new revision of a pool's release is rolled out, and back: `spec.upgrade`, `rollbackTo`."""

from typing import Annotated, Literal

from pydantic import Field

from kvhelm.api.fields import Part


class RollbackTo(Part):
    """The revision that the pool goes back to, and stays at while this stands."""

    revision: Annotated[int, Field(ge=1, le=1_000_000)]
    """Number of the revision: status.history and `kvhelm history` list them."""


class Upgrade(Part):
    """What becomes of an upgrade whose daemons do not get ready."""

    on_failure: Literal["Rollback", "Keep"] = "Rollback"
    """Rollback: go back to the last revision that was healthy, and don't try this one again until
    the spec or the chart changes. Keep: leave it as it is. Rollback if left out."""
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """Seconds in which the next daemon must be ready; 600 if left out."""
