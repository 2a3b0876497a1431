"""What the controller can do for a pool next: one type a step, each with its reason.

`decide` chooses one, `act` carries it out.
"""

from dataclasses import dataclass
from typing import ClassVar

from kvhelm.api.conditions import Reason
from kvhelm.controller.objects import ReleaseObject
from kvhelm.controller.workloads import Pod
from kvhelm.metadata.service import Member
from kvhelm.values import Place


@dataclass(frozen=True)
class Step:
    """One thing to do, and why."""

    why: str
    before_report: ClassVar[bool] = False
    """Whether it is done before the status is written: it finds out what there is to say."""


@dataclass(frozen=True)
class Nothing(Step):
    """The cluster is as the spec asks, as far as it is for us to act."""


@dataclass(frozen=True)
class Wait(Step):
    """Something is under way: look again when a watch tells, or after `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Stall(Step):
    """Only a person can mend it. Look again after `seconds`, if any: the cause may have gone."""

    reason: Reason
    seconds: float = 0


@dataclass(frozen=True)
class Recheck(Step):
    """Look whether the foreign object in the way (KIND/NAME) has gone."""

    in_the_way: str


@dataclass(frozen=True)
class AddFinalizer(Step):
    """Hold the pool until its release is uninstalled."""


@dataclass(frozen=True)
class MetadataStep(Step):
    """A step that asks the pool's metadata service for something."""


@dataclass(frozen=True)
class Preflight(MetadataStep):
    """Check the metadata service before anything is built on it."""


@dataclass(frozen=True)
class Claim(MetadataStep):
    """Claim the pool's place in its metadata service."""


@dataclass(frozen=True)
class PurgeMetadata(MetadataStep):
    """Delete the pool's keys from its metadata service."""


@dataclass(frozen=True)
class PurgeLeft(MetadataStep):
    """Delete the pool's keys from a place that it has left."""

    place: Place


@dataclass(frozen=True)
class LookAtRegistered(MetadataStep):
    """Read again who is registered."""


@dataclass(frozen=True)
class RemoveRegistration(MetadataStep):
    """Delete an entry that no daemon answers for, if it has not moved."""

    member: Member


@dataclass(frozen=True)
class MendMetadata(MetadataStep):
    """Restart the daemons: their metadata was lost, and they don't register again."""


@dataclass(frozen=True)
class RestartDaemons(MetadataStep):
    """Restart daemons that the metadata service does not know, and won't by themselves."""

    pods: tuple[Pod, ...]


@dataclass(frozen=True)
class ReleaseStep(Step):
    """A step that concerns the Helm release itself, or the Secrets of its revisions."""


@dataclass(frozen=True)
class Install(ReleaseStep):
    """Make the first revision; `parked` creates the StatefulSet at 0 daemons."""

    parked: bool


@dataclass(frozen=True)
class Upgrade(ReleaseStep):
    """Make the next revision from the spec."""

    revision: int


@dataclass(frozen=True)
class Rollback(ReleaseStep):
    """Make the next revision, a copy of an earlier one."""

    to: int
    revision: int


@dataclass(frozen=True)
class ReadOrigin(ReleaseStep):
    """Find out where the current revision comes from, since its labels don't tell."""

    before_report = True


@dataclass(frozen=True)
class StampRevision(ReleaseStep):
    """Note on the current revision, a rollback, what it was made from."""

    before_report = True


@dataclass(frozen=True)
class Unlock(ReleaseStep):
    """Free the current revision, which a killed helm has left pending.

    `own_child`: known from our own process that has ended, whatever the clock says.
    """

    own_child: bool


@dataclass(frozen=True)
class Scale(Step):
    """Write the StatefulSet's replicas as the field manager `kvhelm`."""

    statefulset: str
    replicas: int


@dataclass(frozen=True)
class MarkHealthy(ReleaseStep):
    """Note on the current revision that all of its daemons are ready."""

    before_report = True


@dataclass(frozen=True)
class Repair(Step):
    """Compare the release's objects with what it applied, and put right what others changed.

    `for_helm`: only what would make the upgrade fail that is to follow.
    """

    for_helm: bool = False
    before_report = True


@dataclass(frozen=True)
class ReplaceStuckPod(Step):
    """Delete the pod that the StatefulSet would wait for for ever."""

    pod: str
    uid: str


@dataclass(frozen=True)
class PruneHistory(ReleaseStep):
    """Delete the Secrets of the oldest revisions."""

    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Uninstall(ReleaseStep):
    """Uninstall the release with its history."""


@dataclass(frozen=True)
class DeleteStrays(Step):
    """Delete objects that no release knows any more."""

    strays: tuple[ReleaseObject, ...]


@dataclass(frozen=True)
class VerifyUninstalled(Step):
    """Look whether the uninstall left anything."""


@dataclass(frozen=True)
class RemoveFinalizer(Step):
    """Let the pool go."""
