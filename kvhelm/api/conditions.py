"""The words of a pool's conditions: types, reasons, and what each reason means to a person.

Consumers match on types and reasons, so they change only with the API's version. The docs' table
of reasons is generated from here.
"""

from enum import StrEnum


class ConditionType(StrEnum):
    """The conditions of a pool. Ready, Reconciling and Stalled are kstatus' own."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    METADATA_READY = "MetadataReady"
    SCHEDULED = "Scheduled"


class Reason(StrEnum):
    """Why a condition is as it is: the value is the word, `meaning` the sentence for the docs."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> "Reason":
        """Make a member whose value is the word alone."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    @classmethod
    def named(cls, word: str) -> "Reason":
        """Return the reason of that word; a word of another version of kvhelm is ObjectRefused."""
        return next((reason for reason in cls if reason.value == word), cls.OBJECT_REFUSED)

    # Ready
    POOL_READY = "PoolReady", "The release of this generation runs and every daemon is ready."
    INSTALLING = "Installing", "The first revision of the release is being installed."
    ROLLING_BACK = "RollingBack", "The release is going back to an earlier revision."
    UPGRADING = "Upgrading", "A new revision of the release is being rolled out."
    SCALING = "Scaling", "Daemons are being added or removed."
    PODS_NOT_READY = "PodsNotReady", "The release is deployed; not every daemon is ready."
    SUSPENDED = "Suspended", "spec.suspend is true: kvhelm changes nothing until it is false."
    DELETING = "Deleting", "The pool is being deleted: its release is uninstalled first."
    DONE = "Done", "Nothing is left to do."

    # Ready (pinned by spec.rollbackTo) or Stalled (gone back by itself)
    ROLLED_BACK = (
        "RolledBack",
        "Ready: the release is at the revision that spec.rollbackTo names. Stalled: an upgrade "
        "whose daemons did not get ready was taken back, and waits for a changed spec.",
    )

    # Stalled: only a person can mend it
    HELD_BY_HELM_ROLLBACK = (
        "HeldByHelmRollback",
        "Someone went back with `helm rollback`: the release stays there until the spec changes.",
    )
    REVISION_GONE = "RevisionGone", "The revision that spec.rollbackTo names is not there."
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "The daemons of a new revision did not get ready in time, and there is nothing to go back "
        "to (or spec.upgrade.onFailure is Keep).",
    )
    SPEC_INVALID = "SpecInvalid", "The stored spec does not fit this version of kvhelm."
    VALUES_REFUSED = "ValuesRefused", "The chart's schema refuses the values."
    RENDER_FAILED = "RenderFailed", "A template of the chart fails."
    OBJECT_REFUSED = "ObjectRefused", "The API server refuses an object of the release."
    IMMUTABLE_FIELD = "ImmutableField", "The change touches a field that Kubernetes never changes."
    FIELD_CONFLICT = "FieldConflict", "Another field manager owns a field and is not given way to."
    OBJECT_IN_THE_WAY = (
        "ObjectInTheWay",
        "An object of that name exists and belongs to someone else; it is never adopted silently.",
    )
    RELEASE_IN_THE_WAY = (
        "ReleaseInTheWay",
        "A Helm release of that name exists and was not made for this pool.",
    )
    PODS_FORBIDDEN = (
        "PodsForbidden",
        "Pod Security refuses the daemons' pods; the message names the remedy.",
    )
    QUOTA_EXCEEDED = "QuotaExceeded", "A ResourceQuota of the namespace refuses an object or pod."
    BUILT_WITHOUT_REDIS = (
        "BuiltWithoutRedis",
        "The image's vineyardd knows no redis, and the pool's metadata is to lie in one.",
    )

    # Reconciling goes on by itself
    HELM_UNUSABLE = (
        "HelmUnusable",
        "helm is missing, too old, or ended in a way kvhelm doesn't know.",
    )
    FORBIDDEN = "Forbidden", "kvhelm's service account lacks a right; the message names it."
    API_UNAVAILABLE = "ApiUnavailable", "The Kubernetes API did not answer."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "A helm process did not end within its deadline."
    RELEASE_LOCKED = "ReleaseLocked", "Another helm process works on the release."
    RELEASE_UNREADABLE = (
        "ReleaseUnreadable",
        "A release Secret holds no release that can be read; the message names it.",
    )
    CHART_UNUSABLE = "ChartUnusable", "The chart that the operator brings can't be loaded."

    # A container that does not run; the message has the pod, and the kubelet's or its own words
    IMAGE_UNAVAILABLE = "ImageUnavailable", "An image can't be pulled."
    CONTAINER_NOT_STARTED = (
        "ContainerNotStarted",
        "The kubelet can't start a container, mostly since a ConfigMap or Secret is missing that "
        "cache.env names.",
    )
    CRASHING = "Crashing", "A container ends again and again; the message has its last words."
    OUT_OF_MEMORY = "OutOfMemory", "A container was killed at its memory limit."
    ETCD_OUT_OF_REACH = (
        "EtcdOutOfReach",
        "A daemon ended because its etcd did not answer it, whatever kvhelm sees of that etcd.",
    )

    # Available, MetadataReady, Scheduled
    DAEMONS_SERVE = "DaemonsServe", "At least one daemon serves."
    NO_DAEMON = "NoDaemon", "No daemon serves."
    ETCD_READY = "EtcdReady", "The pool's own etcd is ready (judged by its StatefulSet)."
    ETCD_NOT_READY = "EtcdNotReady", "The pool's own etcd is not ready."
    ETCD_MEMBER_LOST = (
        "EtcdMemberLost",
        "A member of the pool's own etcd came back without its data; the others go on without it.",
    )
    SERVICE_HEALTHY = "ServiceHealthy", "The metadata service does what the daemons need."
    NOT_PROBED = "NotProbed", "kvhelm has not asked this metadata service yet."
    UNTESTED = (
        "Untested",
        "The service is healthy; a running vineyardd on redis is untested, and needs an image "
        "built with redis.",
    )
    METADATA_LOST = (
        "MetadataLost",
        "The pool's keys in the metadata service are gone: kvhelm restarts the daemons, at most "
        "once in 10 minutes.",
    )
    DAEMONS_CUT_OFF = (
        "DaemonsCutOff",
        "Daemons run that the metadata service has not heard of for minutes, since its address "
        "changed or something keeps them from it: kvhelm restarts them, at most once in 10 "
        "minutes.",
    )
    METADATA_WAITING = (
        "MetadataWaiting",
        "The deleted pool's keys can't be purged yet; the message says what waits and how to let "
        "go.",
    )
    PODS_SCHEDULED = "PodsScheduled", "Every pod has a node."
    UNSCHEDULABLE = "Unschedulable", "A pod has no node; the message is the scheduler's own."
    NO_PODS = "NoPods", "There are no pods to schedule yet."
    SCALED_TO_ZERO = "ScaledToZero", "spec.replicas is 0."
    NOT_INSTALLED = "NotInstalled", "The release is not installed yet."
