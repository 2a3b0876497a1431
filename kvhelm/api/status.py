"""A pool's status: what people, HPAs, kstatus and engines read. Written by the controller alone."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from kvhelm.api.fields import Part

Name = Annotated[str, StringConstraints(max_length=253)]
Message = Annotated[str, StringConstraints(max_length=2048)]
Digest = Annotated[str, StringConstraints(max_length=32)]


class Condition(Part):
    """One condition, in the form of all Kubernetes objects."""

    type: Annotated[str, StringConstraints(max_length=63)]
    """Ready, Reconciling, Stalled, Available, MetadataReady or Scheduled."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, StringConstraints(max_length=63)]
    """One word for programs."""
    message: Message = ""
    """A sentence for people."""
    last_transition_time: datetime
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)]
    """The metadata.generation that this was judged for."""


class Digested(Part):
    """What speaks of one release: of certain values and a certain chart."""

    spec_digest: Digest
    """Digest of the values."""
    chart_digest: Digest
    """Digest of the chart."""

    @property
    def digests(self) -> tuple[str, str]:
        """Both: who shares them is the same release."""
        return self.spec_digest, self.chart_digest


class FailedAttempt(Digested):
    """A release that could not be made; it is not tried again until one of the digests changes."""

    reason: Annotated[str, StringConstraints(max_length=63)]
    """Reason word of the failure."""
    message: Message
    """What helm or the API server said."""
    in_the_way: Annotated[str, StringConstraints(max_length=512)] | None = None
    """The foreign object in the way, as KIND/NAME."""


class Pin(Digested):
    """The revision that spec.rollbackTo names, as it was when that was set."""

    revision: Annotated[int, Field(ge=1)]
    """Its number."""


class Rejected(Digested):
    """An upgrade that was given up; it is not tried again until one of the digests changes."""

    revision: Annotated[int, Field(ge=1)]
    """The revision whose daemons did not get ready."""
    message: Message
    """Why they did not."""


class Held(Part):
    """A revision that a person made with `helm rollback`; it stays until the spec changes."""

    revision: Annotated[int, Field(ge=1)]
    """The revision that it made."""
    to: Annotated[int, Field(ge=1)]
    """The revision that it went back to."""
    spec_digest: Digest
    """Digest of the values that the spec asked for then."""


class ReleaseStatus(Part):
    """The Helm release of the pool."""

    name: Name
    """Name of the release: `helm history NAME`."""
    revision: Annotated[int, Field(ge=0)] | None = None
    """The current revision; none before the first install."""
    chart: Annotated[str, StringConstraints(max_length=128)] | None = None
    """Chart and version of that revision."""
    fields_digest: Digest | None = None
    """Digest of who owned which fields of the release's objects when they were last seen to be as
    the revision applied them: after a restart nothing that still has it is compared again."""
    pinned: Pin | None = None
    """The revision that spec.rollbackTo names."""
    rejected: Rejected | None = None
    """The upgrade that the release went back from by itself."""
    held: Held | None = None
    """A person's `helm rollback`, which the spec does not undo until it changes."""
    failed: FailedAttempt | None = None
    """The last attempt, if it failed for a reason that only a person can mend."""


class RolloutStatus(Part):
    """Where the pool stands with the chart that the operator brings."""

    chart: Annotated[str, StringConstraints(max_length=128)]
    """That chart and its version."""
    standing: Literal[
        "Current", "Moving", "Waiting", "Unready", "Failed", "Pinned", "Held", "Suspended"
    ]
    """Current: it runs it. Moving: on its way. Waiting: for its turn. Unready: moved last, since it
    was not ready before. Failed: it failed here, and the chart goes no further. Pinned, Held,
    Suspended: left out."""


class HistoryEntry(Part):
    """One revision of the release that is kept."""

    revision: Annotated[int, Field(ge=1)]
    """Its number: `helm history`, `helm get all --revision`."""
    outcome: Annotated[str, StringConstraints(max_length=63)]
    """Helm's own word for what became of it: deployed, superseded, failed."""
    healthy: bool
    """Whether all daemons were ready with it once."""
    time: datetime
    """When it was made."""
    chart: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Chart and version; none for a revision that someone else made."""
    spec_digest: Digest | None = None
    """Digest of its values: revisions that share both digests are the same release."""
    chart_digest: Digest | None = None
    """Digest of its chart."""


class MetadataStatus(Part):
    """The metadata service that the pool uses. Numbers are those of when MetadataReady turned."""

    kind: Literal["etcd", "redis", "managed"]
    """etcd, redis: the user's own. managed: an etcd of the pool's own."""
    endpoints: Annotated[
        list[Annotated[str, StringConstraints(max_length=512)]], Field(max_length=9)
    ]
    """URLs that the daemons were given."""
    prefix: Annotated[str, StringConstraints(max_length=330)] | None = None
    """Prefix of the pool's keys, once it is claimed for this pool."""
    version: Annotated[str, StringConstraints(max_length=32)] | None = None
    """Version of the service."""
    cluster_id: Annotated[str, StringConstraints(max_length=32)] | None = None
    """Which data set it is: another one when the service was wiped or replaced."""
    held_by: (
        Annotated[list[Annotated[str, StringConstraints(max_length=63)]], Field(max_length=9)]
        | None
    ) = None
    """Uids of what holds the data of an etcd of the pool's own: volume claims, or its pod."""
    latency_milliseconds: Annotated[int, Field(ge=0)] | None = None
    """How long a read took."""
    last_success: datetime | None = None
    """When it was last seen healthy."""
    mended_at: datetime | None = None
    """When the daemons were last restarted because their metadata was lost."""


class LeftPlace(Part):
    """A place that the pool has left, and whose keys are still to be deleted."""

    kind: Literal["etcd", "redis"]
    """Kind of the service."""
    endpoints: Annotated[
        list[Annotated[str, StringConstraints(max_length=512)]], Field(max_length=9)
    ]
    """Its URLs."""
    prefix: Annotated[str, StringConstraints(max_length=330)]
    """Prefix of the keys."""


class MemberStatus(Part):
    """A daemon: a pod that exists, joined with what vineyardd registered."""

    pod: Name | None = None
    """Name of the pod; none for an entry that no pod answers for."""
    node: Name | None = None
    """Name of its node."""
    rpc_endpoint: Annotated[str, StringConstraints(max_length=512)] | None = None
    """HOST:PORT that the daemon registered."""
    instance: Annotated[int, Field(ge=0)] | None = None
    """Number under which it is registered; another one each time the daemon starts."""
    state: Literal[
        "Serving", "NotReady", "CutOff", "NotRegistered", "Stale", "Duplicate", "Unobserved"
    ]
    """Serving: registered, and its pod is ready. NotReady: registered, its pod is not ready.
    CutOff: registered, and not heard of for minutes while the service is there.
    NotRegistered: the pod is there, its entry is not. Stale: the entry is there, its pod is not.
    Duplicate: an older entry of a daemon that started again in its pod. Unobserved: kvhelm does not
    look into this kind of metadata service."""


class PoolStatus(Part):
    """What a pool is."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The metadata.generation that the status speaks of."""
    replicas: Annotated[int, Field(ge=0)] | None = None
    """Daemon pods that exist."""
    ready_replicas: Annotated[int, Field(ge=0)] | None = None
    """Daemons that serve."""
    selector: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Label selector of the daemons' pods, for HPAs."""
    endpoint: Annotated[str, StringConstraints(max_length=512)] | None = None
    """HOST:PORT of the client Service, for VINEYARD_RPC_ENDPOINT."""
    release: ReleaseStatus | None = None
    """The Helm release."""
    rollout: RolloutStatus | None = None
    """The way of the operator's chart; none while the pool has a change of its own to get done."""
    history: Annotated[list[HistoryEntry], Field(max_length=64)] = []
    """Revisions of the release that are kept, the newest last."""
    metadata: MetadataStatus | None = None
    """The metadata service."""
    left: Annotated[list[LeftPlace], Field(max_length=8)] = []
    """Places where the metadata lay before the pool moved: they are purged when every daemon has
    left them."""
    members: Annotated[list[MemberStatus], Field(max_length=1000)] = []
    """The daemons, pods in order; then entries that no pod answers for."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = []
    """Ready, Reconciling, Stalled, Available, MetadataReady, Scheduled."""

    def as_object(self) -> dict[str, Any]:
        """Return the status as JSON values, without what is not known."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
