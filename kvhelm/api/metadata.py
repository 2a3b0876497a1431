"""Where the daemons of a pool find each other and their objects: `spec.metadata`."""

from typing import Annotated

from pydantic import ConfigDict, Field

from kvhelm.api.fields import EtcdEndpoint, Image, KeyPrefix, Part, rule, rules


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
                "has(self.etcd) != has(self.managed)",
                "give exactly one of etcd and managed; without metadata the pool gets an etcd of "
                "its own",
            )
        )
    )

    etcd: Etcd | None = None
    """An etcd that you run."""
    managed: ManagedEtcd | None = None
    """An etcd of the pool's own, with one member; its data is lost with its pod."""
