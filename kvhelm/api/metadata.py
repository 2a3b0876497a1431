"""Where the daemons of a pool find each other and their objects: `spec.metadata`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kvhelm.api.fields import (
    DnsName,
    EtcdEndpoint,
    Image,
    KeyPrefix,
    Part,
    RedisEndpoint,
    VolumeSize,
    rule,
    rules,
)


class Etcd(Part):
    """An etcd that the user runs."""

    endpoints: Annotated[
        list[EtcdEndpoint],
        Field(min_length=1, max_length=9, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """Client URLs. The URLs that the etcd members advertise must be reachable from the pods as
    well."""
    prefix: KeyPrefix | None = None
    """Prefix of the pool's keys; one of its own for each pool if left out."""


class Redis(Part):
    """A redis that the user runs, for one pool alone: vineyardd's keys in it carry no prefix.

    Needs an image whose vineyardd was built with redis (the stock images are not); with a running
    vineyardd this is untested.
    """

    endpoint: RedisEndpoint
    """URL of the redis."""


class Storage(Part):
    """A volume for each member, deleted with the pool."""

    size: VolumeSize
    """Size of each volume."""
    storage_class_name: DnsName | None = None
    """The StorageClass; the cluster's default if left out."""


class ManagedEtcd(Part):
    """An etcd of the pool's own, in the same release."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.replicas) || self.replicas == 1 || has(self.storage)",
                "replicas 3 needs storage: a member that comes back without its data is refused "
                "by the others for ever",
            )
        )
    )

    image: Image | None = None
    """Image of etcd 3.5.11 or newer, with etcd and etcdctl on its PATH (a shell is not needed); an
    etcd 3.6 of the chart's choice if left out."""
    replicas: Literal[1, 3] = 1
    """Number of members: one, or three that outlive the loss of one. Never changes."""
    storage: Storage | None = None
    """What keeps the data when a pod is made again. If left out nothing does: the metadata, and
    with it what the pool has cached, is lost with the etcd's pod. Never changes."""


class Metadata(Part):
    """Where the daemons of a pool find each other and their objects."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.etcd) ? 1 : 0) + (has(self.redis) ? 1 : 0) + "
                "(has(self.managed) ? 1 : 0) == 1",
                "give exactly one of etcd, redis and managed; without metadata the pool gets an "
                "etcd of its own",
            )
        )
    )

    etcd: Etcd | None = None
    """An etcd that you run."""
    redis: Redis | None = None
    """A redis that you run."""
    managed: ManagedEtcd | None = None
    """An etcd of the pool's own, with one member and no disk unless it says otherwise."""
    preflight: Literal["Enforce", "Warn"] = "Enforce"
    """Enforce: nothing is installed while the service fails its checks. Warn: install all the
    same; the operator may sit on another side of a NetworkPolicy than the daemons."""

    @property
    def external(self) -> tuple[str, tuple[str, ...]] | None:
        """Return kind and endpoints of a service that the user runs; None for a managed one."""
        if self.etcd:
            return "etcd", tuple(self.etcd.endpoints)
        if self.redis:
            return "redis", (self.redis.endpoint,)
        return None


class Deletion(Part):
    """What happens to what a deleted pool has left outside the cluster."""

    metadata: Literal["Purge", "Retain"] = "Purge"
    """Purge: its keys in your etcd are deleted once its pods are gone. Retain: they stay."""


# In a rule of the spec: leaving `managed` or `metadata` out is a change like any other. The etcd of
# a pool that moves to or from a service of the user's own goes, or is a new one.
_BROUGHT = "{0}.?metadata.?etcd.hasValue() || {0}.?metadata.?redis.hasValue()"
_MOVES = f"{_BROUGHT.format('self')} || {_BROUGHT.format('oldSelf')}"
_MANAGED = "has({0}.metadata) && has({0}.metadata.managed)"
_MEMBERS = (
    f"({_MANAGED} && has({{0}}.metadata.managed.replicas) ? {{0}}.metadata.managed.replicas : 1)"
)
# (As text: the API server reckons that comparing the whole of it could cost too much.)
_STORAGE = (
    f"({_MANAGED} && has({{0}}.metadata.managed.storage) ? "
    "string({0}.metadata.managed.storage.size) + ' ' + "
    "(has({0}.metadata.managed.storage.storageClassName) ? "
    "{0}.metadata.managed.storage.storageClassName : '') : '')"
)

SETTLED_MEMBERS = tuple(
    rule(
        f"{_MOVES} || {value.format('self')} == {value.format('oldSelf')}",
        f"metadata.managed.{field} can't change, nor be left out once given: members and volumes "
        "of an etcd are settled when it is made; make the pool anew",
    )
    for field, value in (("replicas", _MEMBERS), ("storage", _STORAGE))
)
"""Rules of the spec: the members and volumes of an etcd of the pool's own never change."""
