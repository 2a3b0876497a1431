"""On which nodes the daemons of a pool run: `spec.scheduler`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kvhelm.api.fields import DnsName, LabelKey, Labels, LabelValue, Part, rule, rules


class Toleration(Part):
    """A taint that the pods bear, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "give key, or operator Exists to bear every taint",
            ),
            rule(
                "!has(self.operator) || self.operator != 'Exists' || "
                "!has(self.value) || self.value == ''",
                "operator Exists takes no value: leave value out, or use Equal",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds needs effect NoExecute",
            ),
        )
    )

    key: LabelKey | None = None
    """Key of the taint; all taints if left out with operator Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Equal if left out."""
    value: LabelValue | None = None
    """Value of the taint, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """All effects if left out."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
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

    gpu_type: Annotated[LabelValue, Field(min_length=1)] | None = None
    """The daemons run only on nodes with this GPU, such as NVIDIA-A10, and bear the taint
    nvidia.com/gpu."""
    gpu_type_label: LabelKey = "nvidia.com/gpu.product"
    """Node label that holds the GPU's type."""
    affinity_workload: Annotated[LabelValue, Field(min_length=1)] | None = None
    """The daemons go to nodes that run pods of this workload, so that engines use the IPC socket.
    """
    affinity_workload_label: LabelKey = "model.aibrix.ai/name"
    """Pod label that holds the workload's name."""
    affinity: Literal["Preferred", "Required"] = "Preferred"
    """Required keeps daemons pending until the workload runs: a deadlock if the workload waits for
    its cache."""
    node_selector: Labels = {}
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
