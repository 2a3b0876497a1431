"""KVCachePool, `kvcache.aibrix.ai/v1alpha1`: the spec that people write.

The defaults of the models are the chart's (`make generate` writes them to chart/values.yaml), not
the CRD's: a default in a CRD changes what every stored object reads as, without a new generation.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from kvhelm.api.cache import CHART_ENV, CHART_FLAGS, Cache, Spill
from kvhelm.api.fields import Part, rule, rules
from kvhelm.api.metadata import SETTLED_MEMBERS, Deletion, Metadata
from kvhelm.api.rollout import RollbackTo, Upgrade
from kvhelm.api.scheduler import Scheduler
from kvhelm.api.service import Service

__all__ = [
    "API_VERSION",
    "CHART_ENV",
    "CHART_FLAGS",
    "CONTROLLER_FIELDS",
    "GROUP",
    "KIND",
    "PLURAL",
    "SHORT_NAME",
    "VERSION",
    "Cache",
    "Deletion",
    "Metadata",
    "PoolSpec",
    "RollbackTo",
    "Scheduler",
    "Service",
    "Spill",
    "Upgrade",
    "parse_spec",
]

GROUP = "kvcache.aibrix.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "KVCachePool"
PLURAL = "kvcachepools"
SHORT_NAME = "kvcp"


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
            ),
            rule(
                "!has(self.deletion) || !has(self.deletion.metadata) || "
                "self.deletion.metadata != 'Retain' || "
                "(has(self.metadata) && !has(self.metadata.managed))",
                "deletion.metadata Retain needs a metadata service of your own: the pool's own "
                "etcd is deleted with the pool",
            ),
            *SETTLED_MEMBERS,
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
    rollback_to: RollbackTo | None = None
    """Go back to a revision of the release, and stay there: other changes of the spec wait until
    this is taken away, but for replicas."""
    upgrade: Upgrade = Upgrade()
    """What becomes of an upgrade whose daemons do not get ready."""
    revision_history_limit: Annotated[int, Field(ge=1, le=50)] = 5
    """How many Helm revisions are kept, the current one included."""
    deletion: Deletion = Deletion()
    """What happens to what a deleted pool has left outside the cluster."""


CONTROLLER_FIELDS: dict[str, Any] = {
    "suspend": True,
    "rollback_to": True,
    "upgrade": True,
    "revision_history_limit": True,
    "deletion": True,
    "metadata": {"preflight": True},
}
"""Fields that steer the controller; no part of the chart's values. In the form that pydantic's
`exclude` takes: True is the whole field."""


def parse_spec(spec: Any) -> PoolSpec:
    """Return the spec of a pool as read from the API server.

    Raises pydantic.ValidationError, whose entries name the field.
    """
    return PoolSpec.model_validate(spec)
