"""Is this etcd well right now? One answer for all its endpoints."""

import asyncio
import time
from collections.abc import Iterable

from kvhelm.metadata.etcd.client import EtcdEndpoint, Page, Status
from kvhelm.metadata.etcd.keys import CLAIMS
from kvhelm.metadata.findings import Finding, Reason, ServiceFailed, finding
from kvhelm.metadata.service import Probe

# What keeps all endpoints from working comes before what keeps one.
_LEAST_TELLING = (Reason.UNREACHABLE, Reason.STALLED)


async def probe(endpoints: Iterable[EtcdEndpoint], deadline: float) -> Probe:
    """Ask all endpoints at once; one that answers a read by majority is enough, as for vineyardd.

    Ends within `deadline` seconds.
    """
    given = list(endpoints)
    try:
        async with asyncio.timeout(deadline):
            answers = await asyncio.gather(*(_ask(each) for each in given))
    except TimeoutError:
        return Probe(finding(Reason.STALLED, str(given[0].endpoint)))
    clusters = {each.cluster_id for each in answers if each.cluster_id}
    if len(clusters) > 1:
        return Probe(finding(Reason.MEMBERS_DISAGREE))
    healthy = [each for each in answers if each.healthy]
    if healthy:
        return min(healthy, key=lambda each: each.latency or 0.0)
    return min(answers, key=_how_telling)


async def _ask(etcd: EtcdEndpoint) -> Probe:
    start = time.monotonic()
    try:
        status = await etcd.status()
    except ServiceFailed as failure:
        return Probe(failure.finding)
    if not status.leader:
        return _probe(status, finding(Reason.NO_LEADER, str(etcd.endpoint)))
    try:
        page = await etcd.read(CLAIMS.encode())
    except ServiceFailed as failure:
        return _probe(status, failure.finding)
    if status.alarms:
        return _probe(status, finding(min(status.alarms), str(etcd.endpoint)), page)
    return _probe(status, None, page, time.monotonic() - start)


def _probe(
    status: Status, wrong: Finding | None, page: Page | None = None, latency: float | None = None
) -> Probe:
    return Probe(
        wrong,
        latency=latency,
        version=status.version,
        cluster_id=f"{status.cluster:x}",
        revision=page.revision if page else None,
        leader=f"{status.leader:x}" if status.leader else None,
    )


def _how_telling(probe: Probe) -> bool:
    return probe.finding is not None and probe.finding.reason in _LEAST_TELLING
