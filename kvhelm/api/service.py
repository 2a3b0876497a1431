"""How engines reach a pool: `spec.service`."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kvhelm.api.fields import Annotations, Cidr, Labels, Part, rule, rules


class PodSelector(Part):
    """Labels that a pod or a namespace carries."""

    match_labels: Labels = {}
    """Labels that must all be there; if left out every one is selected."""


class IPBlock(Part):
    """A range of addresses."""

    cidr: Cidr
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
    annotations: Annotations = {}
    """Annotations of the client Service, such as a cloud's load balancer settings."""
    allow_from: Annotated[list[Peer], Field(max_length=32)] | None = None
    """Who may connect besides the pool itself; the pool's own namespace if left out, nobody if
    empty."""
