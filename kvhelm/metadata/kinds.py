"""The services that there are: one line each."""

from collections.abc import Callable, Sequence

from kvhelm.errors import MetadataError
from kvhelm.metadata.etcd import EtcdService
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.redis import RedisService
from kvhelm.metadata.service import MetadataService

SERVICES: dict[str, Callable[[Sequence[str], DialPolicy], MetadataService]] = {
    "etcd": EtcdService,
    "redis": RedisService,
}


def service_for(kind: str, endpoints: Sequence[str], policy: DialPolicy) -> MetadataService:
    """Make a service of that kind; nothing is dialled yet.

    Raises MetadataError for a kind that there is not, no endpoints, or one that can't be read.
    """
    if kind not in SERVICES:
        raise MetadataError(f"{kind!r} is no metadata service; there are {', '.join(SERVICES)}")
    if not endpoints:
        raise MetadataError("a metadata service needs an endpoint")
    return SERVICES[kind](endpoints, policy)
