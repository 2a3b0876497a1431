"""A frozen picture of one pool and all that its release made: what decide and report see."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from kvhelm.api.status import FailedAttempt
from kvhelm.controller.objects import ReleaseObject
from kvhelm.controller.pool import Pool
from kvhelm.controller.service_view import ServiceView, claims
from kvhelm.controller.workloads import Pod, RefusedPod, Workload
from kvhelm.helm.origin import Origin
from kvhelm.helm.releases import Revision
from kvhelm.values import Place, place_digest


@dataclass(frozen=True)
class Failure:
    """A step that failed and is tried again by itself."""

    reason: str
    """A word of the conditions, or of the findings of metadata services."""
    message: str
    about: "About"
    """When this changes it is no reason to wait any longer."""


class About(NamedTuple):
    """What a step that failed was about."""

    spec_digest: str
    deleting: bool
    rollback_to: int | None = None
    """Revision that spec.rollbackTo named."""


@dataclass(frozen=True)
class Snapshot:
    """One pool at one moment, from the watch caches alone."""

    pool: Pool
    spec_digest: str
    """Digest of the values that the spec asks for; empty if the spec can't be read."""
    revisions: tuple[Revision, ...]
    """The revisions of the release by number, the highest last."""
    workloads: tuple[Workload, ...]
    pods: tuple[Pod, ...]
    now: datetime
    """The moment of the picture, UTC."""
    asked: str = ""
    """Digest of what the spec itself says of the release, without the operator's defaults."""
    turn: bool = True
    """Whether the pool may be brought on to the chart and the defaults of this operator."""
    refused: RefusedPod | None = None
    objects: tuple[ReleaseObject, ...] = ()
    """Every object of the release that is kept true."""
    fields_verified: str | None = None
    """Digest of who owned which of their fields when all was last seen to be as released."""
    fields_changed: bool = False
    """Whether that changed since the objects were last compared with the release."""
    repair_in: float = 0
    """Seconds until the next repair, if others undo ours without end."""
    namespace_ends: bool = False
    """Whether the namespace was seen to be deleted, when it refused us something."""
    service: ServiceView | None = None
    """The metadata service that the pool brings; None for an etcd of the pool's own."""
    verified: bool = False
    """Whether the uninstall was seen to have left nothing."""
    purged: bool = False
    """Whether the pool's keys are gone from its metadata service, or none of ours."""
    expected_revision: int = 0
    """The revision that our last helm process made: the caches may still be behind it."""
    origin: Origin | None = None
    """Where the current revision comes from, if its payload was read since we started."""
    helm_ended: int = 0
    """The revision that our last helm process was to make, once that has ended in any way."""
    uninstalled: bool = False
    """Whether our last helm process uninstalled the release: the caches may still be behind it."""
    failed: FailedAttempt | None = None
    """The last attempt that failed for good, as remembered or as the status tells."""
    failure: Failure | None = None
    """The last step's failure, if it will be tried again."""
    retry_in: float = 0
    """Seconds until then."""
    recheck_in: float = 0
    """Seconds until the object in the way is looked for again."""
    left_purged: frozenset[Place] = frozenset()
    """Places that the pool has left, and of which no key of its own is left."""
    left_in: float = 0
    """Seconds until the next try to purge one."""
    mended_at: datetime | None = None
    """When the daemons were last restarted because their metadata was lost."""
    volumes: tuple[ReleaseObject, ...] = ()
    """The volume claims of the pool's own etcd."""
    leftovers: tuple[str, ...] = ()
    """KIND/NAME of what is left of a deleted pool, once it takes longer than usual."""
    strays_in: float = 0
    """Seconds until what an uninstall should have deleted is deleted one by one."""

    @cached_property
    def current(self) -> Revision | None:
        """The current revision: the highest, not the one labelled deployed."""
        return self.revisions[-1] if self.revisions else None

    @property
    def claimed(self) -> bool:
        """Whether the pool's place in its metadata service is known to be its own."""
        if self.service is None:
            return False
        return self.service.claimed or claims(self.pool.status, self.service.place)

    @property
    def own_objects(self) -> tuple[ReleaseObject, ...]:
        """The objects that were made for this pool, whoever else's have the labels."""
        return tuple(it for it in self.objects if it.pool_uid == self.pool.uid)

    @property
    def elsewhere(self) -> bool:
        """Whether the release that runs has its metadata elsewhere than the spec says now."""
        stamp = self.current.stamp if self.current else None
        here = place_digest(self.service.place if self.service else None)
        return bool(stamp and stamp.place and stamp.place != here)

    @property
    def foreign(self) -> bool:
        """Whether the release of our name was made for something else."""
        return self.current is not None and self.current.pool_uid != self.pool.uid

    @cached_property
    def daemons(self) -> Workload | None:
        """The StatefulSet of the cache daemons."""
        return next((each for each in self.workloads if each.component == "daemon"), None)

    @cached_property
    def etcd(self) -> Workload | None:
        """The StatefulSet of the pool's own etcd."""
        return next((each for each in self.workloads if each.component == "etcd"), None)
