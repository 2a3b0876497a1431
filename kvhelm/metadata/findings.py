"""The words for what can be wrong with a metadata service: reason, meaning, remedy, weight.

Consumers match on the reasons; the table in docs/metadata.md is checked against this one.
"""

from dataclasses import dataclass
from enum import StrEnum

from kvhelm.errors import MetadataError


class Reason(StrEnum):
    """One thing that can be wrong; the value is the word that conditions and events carry.

    `blocks`: a pool can't work like that, so it must not be installed; else it is a warning.
    """

    blocks: bool
    meaning: str
    remedy: str

    def __new__(cls, word: str, blocks: bool, meaning: str, remedy: str) -> "Reason":
        """Make a member whose value is the word alone."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.blocks = blocks
        member.meaning = meaning
        member.remedy = remedy
        return member

    # Reaching it
    DIAL_NOT_ALLOWED = (
        "DialNotAllowed",
        True,
        "The operator's settings do not allow this address",
        "use an endpoint that they allow, or have the operator's administrator allow it",
    )
    UNREACHABLE = (
        "Unreachable",
        True,
        "Nothing answers there",
        "check the address, that the service runs, and that no NetworkPolicy is in the way",
    )
    ENDPOINT_DOWN = (
        "EndpointDown",
        False,
        "This endpoint does not answer, others do",
        "start it, or take it out of the list",
    )
    STALLED = (
        "Stalled",
        True,
        "Connections are accepted, but requests are not answered in time",
        "check whether the service is overloaded, stopped, or behind a proxy that leads nowhere",
    )
    TLS_REQUIRED = (
        "TlsRequired",
        True,
        "The service speaks TLS, vineyardd does not",
        "give the service a plain http listener that only the pods reach",
    )
    AUTH_REQUIRED = (
        "AuthRequired",
        True,
        "The service asks for a password, vineyardd sends none",
        "use a service without authentication, and guard it with a NetworkPolicy",
    )

    # etcd
    NOT_ETCD = (
        "NotEtcd",
        True,
        "What answers there is no etcd with the v3 API",
        "use a client URL of an etcd: its client port is mostly 2379",
    )
    VERSION_TOO_OLD = (
        "VersionTooOld",
        True,
        "The etcd is older than 3.4",
        "upgrade it",
    )
    NO_LEADER = (
        "NoLeader",
        True,
        "The etcd has no leader, so it can neither read nor write",
        "bring a majority of its members back",
    )
    UNHEALTHY = (
        "Unhealthy",
        True,
        "The service answers, but not the way it should",
        "look at its log and its health",
    )
    MEMBERS_DISAGREE = (
        "MembersDisagree",
        True,
        "The endpoints belong to different clusters",
        "list endpoints of one cluster alone",
    )
    ADVERTISED_NOTHING = (
        "AdvertisedNothing",
        True,
        "No member of the etcd advertises a client URL, and vineyardd reconnects to those",
        "start the members with --advertise-client-urls",
    )
    ADVERTISED_UNREACHABLE = (
        "AdvertisedUnreachable",
        True,
        "Members advertise client URLs and none of them answers; vineyardd reconnects to those, "
        "whatever the endpoint is",
        "set --advertise-client-urls of each member to an address that the pods reach",
    )
    ADVERTISED_LOOPBACK = (
        "AdvertisedLoopback",
        True,
        "A member advertises a loopback client URL; vineyardd reconnects to it and finds itself",
        "set the member's --advertise-client-urls to an address that the pods reach",
    )
    ADVERTISED_TLS = (
        "AdvertisedTls",
        True,
        "A member advertises a client URL that is not http://HOST:PORT; vineyardd speaks no TLS",
        "set the member's --advertise-client-urls to an http:// URL",
    )
    ADVERTISED_ELSEWHERE = (
        "AdvertisedElsewhere",
        True,
        "A client URL that a member advertises leads to something that is no part of this etcd",
        "set --advertise-client-urls of each member to its own address",
    )
    MEMBER_DOWN = (
        "MemberDown",
        False,
        "A member's advertised client URL does not answer, others do",
        "start the member, or make its --advertise-client-urls reachable from the pods",
    )
    NO_SPACE = (
        "NoSpace",
        True,
        "The space that the service may use is used up, so that it refuses writes (etcd: alarm "
        "NOSPACE; redis: maxmemory)",
        "give it more; an etcd has to be compacted and defragmented, and its alarm disarmed",
    )
    CORRUPT = (
        "Corrupt",
        True,
        "A member of the etcd has found its data corrupt (alarm CORRUPT)",
        "replace the member, then disarm the alarm",
    )
    QUOTA_NEARLY_USED = (
        "QuotaNearlyUsed",
        False,
        "More than 80 % of the etcd's space quota is used",
        "turn auto-compaction on, defragment, or raise --quota-backend-bytes",
    )
    AUTO_COMPACTION_OFF = (
        "AutoCompactionOff",
        False,
        "The etcd holds many revisions and was never compacted: auto-compaction seems to be off "
        "(no etcd tells it; this is an estimate), and each idle daemon adds a revision every few "
        "seconds",
        "start the etcd with --auto-compaction-mode=periodic --auto-compaction-retention=1h",
    )

    # redis
    NOT_REDIS = (
        "NotRedis",
        True,
        "What answers there is no redis",
        "use the address of a redis: its port is mostly 6379",
    )
    NOT_PRIMARY = (
        "NotPrimary",
        True,
        "The redis is a replica, which refuses writes",
        "use the address of the primary",
    )
    LOADING = (
        "Loading",
        True,
        "The redis is still loading its data",
        "wait until it has; this is looked at again",
    )
    EVICTION_ON = (
        "EvictionOn",
        True,
        "The redis may evict keys, and with them the pool's metadata",
        "set maxmemory-policy to noeviction",
    )
    CLUSTER_MODE = (
        "ClusterMode",
        True,
        "The redis runs in cluster mode, which vineyardd does not speak",
        "use a redis with cluster-enabled no",
    )

    # The prefix
    PREFIX_TAKEN = (
        "PrefixTaken",
        True,
        "Another pool has claimed this place",
        "choose another prefix (with redis: another redis, since its keys carry no prefix)",
    )
    PREFIX_OVERLAPS = (
        "PrefixOverlaps",
        True,
        "The prefix holds, or lies under, the prefix of another pool",
        "choose a prefix beside it",
    )
    PREFIX_FOREIGN_KEYS = (
        "PrefixForeignKeys",
        True,
        "There are keys that nobody has claimed",
        "choose another prefix, or delete those keys if they are left over",
    )


@dataclass(frozen=True)
class Finding:
    """One thing that was found wrong, in a sentence that says what to change."""

    reason: Reason
    message: str

    @property
    def blocks(self) -> bool:
        """Whether a pool can't work like that."""
        return self.reason.blocks


def finding(reason: Reason, where: str = "") -> Finding:
    """Word a finding; `where` is an endpoint or prefix as its user wrote it."""
    return Finding(reason, f"{where + ': ' if where else ''}{reason.meaning}: {reason.remedy}.")


class ServiceFailed(MetadataError):
    """A service did not do what was asked; `reason` says why, the text what to change."""

    # All of it can pass by itself or by somebody's hand on the service: asking again is right.
    transient = True

    def __init__(self, reason: Reason, where: str = "") -> None:
        self.finding = finding(reason, where)
        super().__init__(self.finding.message)

    @property
    def reason(self) -> Reason:
        """The word."""
        return self.finding.reason
