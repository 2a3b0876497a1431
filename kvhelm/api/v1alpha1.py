"""KVCachePool, `kvcache.aibrix.ai/v1alpha1`: the spec that people write.

The defaults below are the chart's (`make generate` writes them to chart/values.yaml), not the
CRD's: a default in a CRD changes what every stored object reads as, without a new generation.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from kvhelm.api.fields import (
    DnsName,
    EtcdEndpoint,
    Image,
    KeyPrefix,
    LabelKey,
    LabelValue,
    Memory,
    Part,
    Quantity,
    Text,
    rule,
    rules,
)

GROUP = "kvcache.aibrix.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "KVCachePool"
PLURAL = "kvcachepools"
SHORT_NAME = "kvcp"

CHART_FLAGS = (
    "allocator",
    "etcd_cmd",
    "etcd_endpoint",
    "etcd_prefix",
    "meta",
    "metrics",
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
"""The vineyardd flags that belong to the chart; `extraArgs` may not repeat one."""

CHART_ENV = ("MY_HOST_NAME", "MY_NODE_NAME", "USER")
"""The environment variables that the chart sets: they make the daemon's registered endpoint."""

_CLAIMED_FLAG = f"^--(no)?({'|'.join(CHART_FLAGS)})(=|$)"


class PodSelector(Part):
    """Labels that a pod or a namespace carries."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)]
    """Labels that must all be there."""


class IPBlock(Part):
    """A range of addresses."""

    cidr: Annotated[str, StringConstraints(max_length=49, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
    """For example 10.0.0.0/8."""


class Peer(Part):
    """Who may connect: pods, namespaces (both must match if both are given) or addresses."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.podSelector) || has(self.namespaceSelector) || has(self.ipBlock)",
                "give podSelector, namespaceSelector or ipBlock",
            ),
            rule(
                "!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
                "ipBlock stands alone: put the selectors in an entry of their own",
            ),
        )
    )

    pod_selector: PodSelector | None = None
    """Pods by their labels; in the pool's namespace unless namespaceSelector is given."""
    namespace_selector: PodSelector | None = None
    """Namespaces by their labels."""
    ip_block: IPBlock | None = None
    """A range of addresses outside the cluster."""


class Service(Part):
    """How engines reach the pool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')",
                "nodePort needs type NodePort or LoadBalancer",
            )
        )
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the client Service."""
    port: Annotated[int, Field(ge=1, le=65535)] = 9600
    """Port of the client Service; the daemons always listen on 9600."""
    node_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port on every node, for the types NodePort and LoadBalancer."""
    annotations: Annotated[dict[LabelKey, Text], Field(max_length=32)] = {}
    """Annotations of the client Service, such as a cloud's load balancer settings."""
    allow_from: Annotated[list[Peer], Field(max_length=32)] | None = None
    """Who may connect besides the pool itself; the pool's own namespace if left out, nobody if
    empty."""


class SecretReference(Part):
    """The name of a Secret in the pool's namespace."""

    name: DnsName
    """Name of the Secret."""


class KeyReference(Part):
    """One key of a Secret or ConfigMap in the pool's namespace."""

    name: DnsName
    """Name of the object."""
    key: Annotated[
        str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")
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
                f"{', '.join(CHART_ENV)} are set by the chart",
            ),
        )
    )

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=128, pattern=r"^[_a-zA-Z][_a-zA-Z0-9]*$")
    ]
    """Name of the variable."""
    value: Text | None = None
    """Its value."""
    value_from: EnvSource | None = None
    """Where its value comes from, instead of `value`."""


class Resources(Part):
    """Requests and limits of a container, as in a pod."""

    requests: Annotated[dict[LabelKey, Quantity], Field(max_length=8)] = {}
    """For example cpu: 500m."""
    limits: Annotated[dict[LabelKey, Quantity], Field(max_length=8)] = {}
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


class Cache(Part):
    """The vineyardd daemons."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.resources) || !has(self.resources.limits) || "
                "!('memory' in self.resources.limits) || "
                "quantity(string(self.resources.limits['memory'])).isGreaterThan("
                "quantity(has(self.memory) ? string(self.memory) : '1Gi'))",
                "resources.limits.memory must be more than memory (1Gi if left out): "
                "the daemon needs some for itself; leave it out and the chart adds the headroom",
            )
        )
    )

    image: Image
    """Image of vineyardd."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes pull the image."""
    image_pull_secrets: Annotated[list[SecretReference], Field(max_length=8)] = []
    """Secrets for a registry that asks for a login."""
    memory: Memory = "1Gi"
    """Memory for cached objects in each daemon; the container's limit is a tenth more, at least
    256Mi."""
    resources: Resources = Resources()
    """Requests and limits of the daemon, besides the memory that `memory` implies."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
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
                StringConstraints(min_length=4, max_length=256, pattern=r"^--[a-z][a-z0-9_]*=.*$"),
                Field(
                    json_schema_extra=rules(
                        rule(
                            r"self.matches(r'^--[a-z][a-z0-9_]*=.*$')",
                            "must be written --flag=value",
                        ),
                        rule(
                            f"!self.matches(r'{_CLAIMED_FLAG}')",
                            "this flag is set by the chart (flagfile, fromenv and tryfromenv could "
                            "set any): use the field of the spec for it",
                        ),
                    )
                ),
            ]
        ],
        Field(max_length=32),
    ] = []
    """Further vineyardd flags, each `--flag=value`; none that the chart sets."""


class Toleration(Part):
    """A taint that the pods bear, as in a pod."""

    key: LabelKey | None = None
    """Key of the taint; all taints if left out with operator Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Equal if left out."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """All effects if left out."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long a NoExecute taint is borne, in seconds; for ever if left out."""


class Scheduler(Part):
    """On which nodes the daemons run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.gpuTypeLabel) || has(self.gpuType)",
                "gpuTypeLabel needs gpuType",
            ),
            rule(
                "has(self.affinityWorkload) || "
                "!(has(self.affinity) || has(self.affinityWorkloadLabel))",
                "affinity and affinityWorkloadLabel need affinityWorkload",
            ),
        )
    )

    gpu_type: LabelValue | None = None
    """The daemons run only on nodes with this GPU, such as NVIDIA-A10, and bear the taint
    nvidia.com/gpu."""
    gpu_type_label: LabelKey = "nvidia.com/gpu.product"
    """Node label that holds the GPU's type."""
    affinity_workload: LabelValue | None = None
    """The daemons go to nodes that run pods of this workload, so that engines use the IPC socket.
    """
    affinity_workload_label: LabelKey = "model.aibrix.ai/name"
    """Pod label that holds the workload's name."""
    affinity: Literal["Preferred", "Required"] = "Preferred"
    """Required keeps daemons pending until the workload runs: a deadlock if the workload waits for
    its cache."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = {}
    """Further labels that the nodes must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that the daemons bear."""
    spread_policy: Literal["Node", "Zone", "None"] = "Node"
    """Node: one daemon of the pool a node. Zone: that, and evenly over zones where possible.
    None: daemons may share a node (with socket EmptyDir only: two would fight over the socket's
    path)."""
    priority_class_name: DnsName | None = None
    """PriorityClass of the daemons."""
    scheduler_name: DnsName | None = None
    """Scheduler of the daemons; the cluster's default if left out."""


class Etcd(Part):
    """An etcd that the user runs."""

    endpoints: Annotated[list[EtcdEndpoint], Field(min_length=1, max_length=9)]
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
            rule("has(self.etcd) != has(self.managed)", "give exactly one of etcd and managed")
        )
    )

    etcd: Etcd | None = None
    """An etcd that you run."""
    managed: ManagedEtcd | None = None
    """An etcd of the pool's own, with one member; its data is lost with its pod."""


class PoolSpec(Part):
    """What a pool shall be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.scheduler) || !has(self.scheduler.spreadPolicy) || "
                "self.scheduler.spreadPolicy != 'None' || "
                "(has(self.cache.socket) && self.cache.socket == 'EmptyDir')",
                "scheduler.spreadPolicy None needs cache.socket EmptyDir: "
                "two daemons on one node would fight over the socket's path",
            )
        )
    )

    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of daemons; 0 is legal."""
    suspend: bool = False
    """Leave everything of the pool as it is; only status and deletion go on."""
    service: Service = Service()
    """How engines reach the pool."""
    cache: Cache
    """The vineyardd daemons."""
    scheduler: Scheduler = Scheduler()
    """On which nodes the daemons run."""
    metadata: Metadata | None = None
    """The metadata service; an etcd of the pool's own (managed) if left out."""
    revision_history_limit: Annotated[int, Field(ge=1, le=50)] = 5
    """How many Helm revisions are kept, the current one included."""


CONTROLLER_FIELDS = frozenset({"suspend", "revision_history_limit"})
"""Fields that steer the controller; no part of the chart's values."""


def parse_spec(spec: Any) -> PoolSpec:
    """Return the spec of a pool as read from the API server.

    Raises pydantic.ValidationError, whose entries name the field.
    """
    return PoolSpec.model_validate(spec)
