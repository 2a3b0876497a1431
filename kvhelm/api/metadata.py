"""Where the daemons of a pool find each other and their objects: `spec.metadata`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kvhelm.api.fields import EtcdEndpoint, Image, KeyPrefix, Part, RedisEndpoint, rule, rules


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


class ManagedEtcd(Part):
    """An etcd of the pool's own, in the same release."""

    image: Image | None = None
    """Image of etcd, with etcd and etcdctl on its PATH; an etcd 3.6 of the chart's choice if left
    out."""


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
    """An etcd of the pool's own, with one member; its data is lost with its pod."""
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
