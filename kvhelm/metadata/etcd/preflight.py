"""Can a pool work with this etcd? Every endpoint is asked, and every URL that members advertise."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kvhelm.errors import MetadataError
from kvhelm.metadata.dial import Endpoint, endpoint_in, resolve
from kvhelm.metadata.etcd import claims
from kvhelm.metadata.etcd.client import EtcdEndpoint, Peer, Status
from kvhelm.metadata.findings import Finding, Reason, ServiceFailed, finding
from kvhelm.metadata.policy import Address

OLDEST = (3, 4)
# Kubernetes' own etcd is compacted every 5 minutes, and holds fewer.
MANY_REVISIONS = 10_000
_MUCH_OF_QUOTA = 0.8
# An etcd has up to nine members; what claims more of them is not to be followed everywhere.
_MOST_URLS = 20
_GONE = frozenset({Reason.UNREACHABLE, Reason.STALLED})

Connect = Callable[[Endpoint], EtcdEndpoint]


@dataclass(frozen=True)
class Asked:
    """What came back from one URL: a status, or why not."""

    endpoint: Endpoint
    status: Status | None = None
    failure: Finding | None = None


async def check_cluster(endpoints: Iterable[EtcdEndpoint], connect: Connect) -> tuple[Finding, ...]:
    """Return what is wrong for whoever would use this etcd. Raises nothing but bugs."""
    given = list(endpoints)
    asked = await asyncio.gather(*(_ask(each) for each in given))
    found = reached(asked)
    up = [each for each, answer in zip(given, asked, strict=True) if answer.status]
    if up and not any(each.blocks for each in found):
        found += await _beyond([each.endpoint for each in given], up[0], asked, connect)
        found += await _asked_further(up[0])
    return tuple(found)


async def check_prefix(etcd: EtcdEndpoint, prefix: str, uid: str) -> tuple[Finding, ...]:
    """Return what is wrong with a prefix for who claims as `uid`."""
    standing = await claims.standing(etcd, prefix, uid)
    return (standing,) if standing else ()


def sorted_findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, what blocks first."""
    return tuple(sorted(dict.fromkeys(found), key=lambda each: not each.blocks))


def reached(asked: Iterable[Asked]) -> list[Finding]:
    """Judge what the endpoints answered."""
    asked = list(asked)
    statuses = [each.status for each in asked if each.status]
    found = [_weighed(each.failure, each, bool(statuses)) for each in asked if each.failure]
    if len({each.cluster for each in statuses}) > 1:
        found.append(finding(Reason.MEMBERS_DISAGREE))
    for each in asked:
        if each.status:
            found += [finding(reason, str(each.endpoint)) for reason in judged(each.status)]
    return found


def judged(status: Status) -> list[Reason]:
    """Judge what one member says of itself."""
    reasons = sorted(status.alarms)
    if not status.leader:
        reasons.append(Reason.NO_LEADER)
    if status.version is None:
        reasons.append(Reason.NOT_ETCD)
    elif tuple(int(part) for part in status.version.split(".")[:2]) < OLDEST:
        reasons.append(Reason.VERSION_TOO_OLD)
    if status.quota and status.size > _MUCH_OF_QUOTA * status.quota:
        reasons.append(Reason.QUOTA_NEARLY_USED)
    return reasons


def _weighed(failure: Finding, asked: Asked, others: bool) -> Finding:
    """Make a silent endpoint beside others that answer a warning; a wrong one never is."""
    silent = failure.reason in _GONE
    return finding(Reason.ENDPOINT_DOWN, str(asked.endpoint)) if silent and others else failure


async def _ask(etcd: EtcdEndpoint) -> Asked:
    try:
        return Asked(etcd.endpoint, status=await etcd.status())
    except ServiceFailed as failure:
        return Asked(etcd.endpoint, failure=failure.finding)


async def _asked_further(etcd: EtcdEndpoint) -> list[Finding]:
    """Ask for what needs a leader: alarms, the age of the history."""
    try:
        found = [finding(reason) for reason in sorted(await etcd.alarms())]
        page = await etcd.read(b"\0")
        if page.revision > MANY_REVISIONS and not await etcd.ever_compacted():
            found.append(finding(Reason.AUTO_COMPACTION_OFF))
    except ServiceFailed as failure:
        return [failure.finding]
    return found


async def _beyond(
    given: list[Endpoint], etcd: EtcdEndpoint, asked: Iterable[Asked], connect: Connect
) -> list[Finding]:
    """Ask the URLs that the members advertise: vineyardd leaves the endpoints for those."""
    try:
        peers = await etcd.peers()
    except ServiceFailed as failure:
        return [failure.finding]
    cluster = next(each.status.cluster for each in asked if each.status)
    own = {address for each in given for address in await _addresses(each)}
    urls = [url for peer in peers for url in peer.urls][:_MOST_URLS]
    answers = await asyncio.gather(*(_follow(url, own, connect, cluster) for url in urls))
    return advertised(peers, answers)


def advertised(peers: Iterable[Peer], answers: Iterable[Reason | None]) -> list[Finding]:
    """Judge what the advertised URLs answered: None for well, else what was wrong.

    The findings name no URL: a URL is what an endpoint answered.
    """
    answers = list(answers)
    if not answers:
        return [finding(Reason.ADVERTISED_NOTHING)]
    wrong = {answer for answer in answers if answer not in (None, *_GONE)}
    if any(answer in _GONE for answer in answers):
        mild = any(answer is None for answer in answers)
        wrong.add(Reason.MEMBER_DOWN if mild else Reason.ADVERTISED_UNREACHABLE)
    return [finding(reason) for reason in sorted(each for each in wrong if each)]


async def _follow(url: str, own: set[Address], connect: Connect, cluster: int) -> Reason | None:
    try:
        endpoint = endpoint_in(url)
    except MetadataError:
        return Reason.ADVERTISED_TLS
    if endpoint.scheme != "http":
        return Reason.ADVERTISED_TLS
    if any(_is_local(each) and each not in own for each in await _addresses(endpoint)):
        return Reason.ADVERTISED_LOOPBACK
    etcd = connect(endpoint)
    try:
        status = await etcd.status()
    except ServiceFailed as failure:
        return failure.reason if failure.reason in _GONE else _other(failure.reason)
    finally:
        await etcd.close()
    return None if status.cluster == cluster else Reason.ADVERTISED_ELSEWHERE


def _other(reason: Reason) -> Reason:
    """Translate what an endpoint's trouble is called when the endpoint is an advertised URL."""
    if reason is Reason.TLS_REQUIRED:
        return Reason.ADVERTISED_TLS
    return reason if reason is Reason.DIAL_NOT_ALLOWED else Reason.ADVERTISED_ELSEWHERE


def _is_local(address: Address) -> bool:
    return address.is_loopback or address.is_unspecified


async def _addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    try:
        return await resolve(endpoint)
    except ServiceFailed:
        return ()
