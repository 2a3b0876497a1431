"""The vineyardd daemons of a pool: `spec.cache`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kvhelm.api.fields import (
    DnsName,
    Image,
    Memory,
    Part,
    ResourceList,
    Text,
    rule,
    rules,
    spelled,
)

CHART_FLAGS = (
    "allocator",
    "etcd_cmd",
    "etcd_endpoint",
    "etcd_prefix",
    "logtostderr",
    "meta",
    "metrics",
    "redis_endpoint",
    "reserve_memory",
    "rpc",
    "rpc_socket_port",
    "size",
    "skip_launch_etcd",
    "socket",
    "spill_lower_rate",
    "spill_path",
    "spill_upper_rate",
    "sync_crds",
    # gflags reads more flags from these, past the checks of this list.
    "flagfile",
    "fromenv",
    "tryfromenv",
)
"""The vineyardd flags that belong to the chart; `extraArgs` may not give one."""

CHART_ENV = ("MY_HOST_NAME", "MY_NODE_NAME", "USER")
"""The environment variables that the chart sets: they make the daemon's registered endpoint."""

# gflags also reads -flag, --no-flag and the value as the next argument: more to look through.
_FLAG = r"^--[a-z][a-z0-9_]*=.*$"
_CLAIMED_FLAG = f"^--(no)?({'|'.join(CHART_FLAGS)})="

# helm applies server-side, and the API server takes no name twice there.
_ONE_FOR_EACH_NAME: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


class SecretReference(Part):
    """The name of a Secret in the pool's namespace."""

    name: DnsName
    """Name of the Secret."""


class KeyReference(Part):
    """One key of a Secret or ConfigMap in the pool's namespace."""

    name: DnsName
    """Name of the object."""
    key: Annotated[
        str,
        spelled(
            r"^[-._a-zA-Z0-9]+$",
            "must be a key of the object's data: letters, digits, '-', '_' and '.'",
            max_length=253,
        ),
    ]
    """Key in its data."""


class EnvSource(Part):
    """Where the value of an environment variable comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "give exactly one of secretKeyRef and configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeyReference | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyReference | None = None
    """A key of a ConfigMap."""


class EnvVar(Part):
    """One environment variable of the daemons."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.value) != has(self.valueFrom)",
                "give exactly one of value and valueFrom",
            ),
            rule(
                f"!(self.name in [{', '.join(repr(name) for name in CHART_ENV)}])",
                f"{', '.join(CHART_ENV)} are set by the chart: leave them out",
            ),
        )
    )

    name: Annotated[
        str,
        spelled(
            r"^[_a-zA-Z][_a-zA-Z0-9]*$",
            "must have letters, digits and '_' only, and not start with a digit",
            max_length=128,
        ),
    ]
    """Name of the variable."""
    value: Text | None = None
    """Its value."""
    value_from: EnvSource | None = None
    """Where its value comes from, instead of `value`."""


_SHARED = "!(name.contains('/') || name.startsWith('hugepages-'))"


class Resources(Part):
    """Requests and limits of a container, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.requests) || !has(self.limits) || self.requests.all(name, "
                "!(name in self.limits) || !isQuantity(string(self.requests[name])) || "
                "!isQuantity(string(self.limits[name])) || "
                "quantity(string(self.requests[name]))"
                ".compareTo(quantity(string(self.limits[name]))) <= 0)",
                "a request must not be more than the limit of the same resource",
            ),
            # Kubernetes never gives these out twice, nor in parts.
            rule(
                f"!has(self.requests) || self.requests.all(name, {_SHARED} || "
                "has(self.limits) && name in self.limits && "
                "string(self.limits[name]) == string(self.requests[name]))",
                "a resource with a domain and hugepages belong in limits; "
                "leave them out of requests, or give the same amount",
            ),
            rule(
                f"!has(self.limits) || self.limits.all(name, {_SHARED} || "
                "!isQuantity(string(self.limits[name])) || "
                "quantity(string(self.limits[name])).isInteger())",
                "a resource with a domain must be a whole number, such as nvidia.com/gpu: 1",
            ),
        )
    )

    requests: ResourceList = {}
    """For example cpu: 500m."""
    limits: ResourceList = {}
    """For example memory: 6Gi."""


class Spill(Part):
    """Objects that don't fit into memory go to the node's disk."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.lowerPercent) ? self.lowerPercent : 30) < "
                "(has(self.upperPercent) ? self.upperPercent : 80)",
                "lowerPercent (30 if left out) must be below upperPercent (80 if left out)",
            )
        )
    )

    size_limit: Memory
    """Disk space (an emptyDir); the kubelet evicts a daemon that uses more."""
    lower_percent: Annotated[int, Field(ge=1, le=99)] = 30
    """Spilling stops when memory is used to this share."""
    upper_percent: Annotated[int, Field(ge=2, le=100)] = 80
    """Spilling starts when memory is used to this share."""


_NO_MEMORY = "!has(self.resources.{0}) || !('memory' in self.resources.{0})"
_SIZE = "quantity(has(self.memory) ? string(self.memory) : '1Gi')"


class Cache(Part):
    """The vineyardd daemons."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!has(self.resources) || {_NO_MEMORY.format('limits')} || "
                f"quantity(string(self.resources.limits['memory'])).isGreaterThan({_SIZE})",
                "resources.limits.memory must be more than memory (1Gi if left out): "
                "the daemon needs some for itself; leave it out and the chart adds the headroom",
            ),
            # The chart's own limit is a tenth more than memory, at least 256Mi.
            rule(
                f"!has(self.resources) || !({_NO_MEMORY.format('limits')}) || "
                f"{_NO_MEMORY.format('requests')} || "
                f"!quantity(string(self.resources.requests['memory']))"
                f".isGreaterThan({_SIZE}.add(quantity('256Mi'))) || "
                "quantity(string(self.resources.requests['memory'])).asApproximateFloat() <= "
                f"{_SIZE}.asApproximateFloat() * 1.1",
                "resources.requests.memory must not be more than the limit, which is a tenth more "
                "than memory, at least 256Mi: give resources.limits.memory too, or leave it out",
            ),
        )
    )

    image: Image
    """Image of vineyardd."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes pull the image."""
    image_pull_secrets: Annotated[
        list[SecretReference], Field(max_length=8, json_schema_extra=_ONE_FOR_EACH_NAME)
    ] = []
    """Secrets for a registry that asks for a login."""
    memory: Memory = "1Gi"
    """Memory for cached objects in each daemon; the container's limit is a tenth more, at least
    256Mi."""
    resources: Resources = Resources()
    """Requests and limits of the daemon, besides the memory that `memory` implies."""
    env: Annotated[list[EnvVar], Field(max_length=64, json_schema_extra=_ONE_FOR_EACH_NAME)] = []
    """Further environment variables of the daemon."""
    spill: Spill | None = None
    """Spilling to the node's disk; none if left out."""
    socket: Literal["HostPath", "EmptyDir"] = "HostPath"
    """HostPath: engines on the same node share the daemon's IPC socket and memory (the daemon runs
    as root without capabilities, since the folder is root's). EmptyDir: access over the network
    only; fits the restricted Pod Security profile."""
    metrics: bool = False
    """Print vineyardd's metrics to the daemon's log (it has no HTTP port for them)."""
    extra_args: Annotated[
        list[
            Annotated[
                str,
                Field(
                    min_length=4,
                    max_length=256,
                    pattern=_FLAG,
                    json_schema_extra=rules(
                        rule(
                            f"self.matches(r'{_FLAG}')",
                            "must be written --flag=value, on one line, with '_' within the flag's "
                            "name, and --flag=false instead of --noflag",
                        ),
                        rule(
                            f"!self.matches(r'{_CLAIMED_FLAG}')",
                            "this flag belongs to the chart (flagfile, fromenv and tryfromenv "
                            "could set any): use the field of the spec for it",
                        ),
                    ),
                ),
            ]
        ],
        Field(max_length=32),
    ] = []
    """Further vineyardd flags, each `--flag=value`; none that the chart sets."""
