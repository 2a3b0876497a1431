"""Which pod is which registered daemon, whose entries nobody answers for, and what to do. Pure."""

from collections.abc import Iterator

from kvhelm.api.status import MemberStatus
from kvhelm.controller.own_etcd import decide_own_etcd, mend_in, mended_at
from kvhelm.controller.registered import SILENT_AFTER, Registration
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.steps import (
    Claim,
    LookAtRegistered,
    MendMetadata,
    RemoveRegistration,
    RestartDaemons,
    Step,
    Wait,
)
from kvhelm.controller.workloads import Pod
from kvhelm.metadata.loss import LossSign, Verdict

STILL = 60.0
"""Seconds for which an entry of nobody stands still before it is removed: vineyardd rewrites a
timestamp about every 10 seconds, and peers that live remove entries after 34 to 40 (measured)."""

_LIMIT = 1000


def members_for(snapshot: Snapshot) -> list[MemberStatus]:
    """Return the pool's daemons: its pods in order, then entries that no pod answers for."""
    pods = sorted(_daemons(snapshot), key=lambda pod: (len(pod.name), pod.name))
    registered = snapshot.service.registered if snapshot.service else None
    silent = daemons_cut_off(snapshot)
    if registered is None:
        # Who can look and has not yet takes what was seen before: a restart is no news.
        looks = snapshot.service is not None and snapshot.service.observable
        before = {each.pod: each for each in snapshot.pool.status.members if looks}
        return [before.get(pod.name) or _member(pod, None, "Unobserved") for pod in pods][:_LIMIT]
    newest = _newest(registered.entries)
    members = []
    for pod in pods:
        entry = newest.get(pod.ip) if pod.ip else None
        state = "NotRegistered" if entry is None else "Serving" if pod.ready else "NotReady"
        if pod in silent:
            state = "CutOff"
        members.append(_member(pod, entry, state))
    homes = {pod.ip: pod for pod in pods if pod.ip}
    for entry in entries_of_nobody(snapshot):
        home = homes.get(entry.member.hostname)
        members.append(_member(home, entry, "Duplicate" if home else "Stale"))
    return members[:_LIMIT]


def entries_of_nobody(snapshot: Snapshot) -> Iterator[Registration]:
    """Yield the entries that no daemon of a pod which exists answers for, as far as pods tell.

    A pod that is gone leaves one, and so does a daemon that was started again in its pod. Of a pod
    that is not known yet the entry looks the same: its timestamp moves.
    """
    registered = snapshot.service.registered if snapshot.service else None
    if registered is None:
        return
    newest = _newest(registered.entries)
    answered = {newest.get(pod.ip) for pod in _daemons(snapshot) if pod.ip}
    yield from (entry for entry in registered.entries if entry not in answered)


def daemons_cut_off(snapshot: Snapshot) -> list[Pod]:
    """Return the daemons that run and are not heard of in their healthy service any more.

    vineyardd looks the names up that an etcd's members advertise once. When the pod of a member
    comes back with another address (behind a headless Service it does), data and all, the daemons
    never find it again, and every put and get hangs (seen for as long as was waited: 4 minutes).
    """
    service = snapshot.service
    if service is None or not service.healthy or service.registered is None:
        return []
    newest = _newest(service.registered.entries)
    return [
        pod
        for pod in _daemons(snapshot)
        if pod.ready and not pod.ending and (entry := newest.get(pod.ip)) and entry.silent
    ]


def decide_membership(snapshot: Snapshot) -> Step | None:
    """Return what is to do about who is registered; None if all is well, or not known."""
    service = snapshot.service
    if service is None:
        return decide_own_etcd(snapshot)
    if not snapshot.claimed or service.registered is None:
        return None
    if not service.healthy:
        return None  # what is not there can't be judged, nor mended
    registered = service.registered
    if registered.verdict is Verdict.LOST:
        signs = ", ".join(sorted(registered.signs))
        return MendMetadata(f"the metadata in {service.place.kind} was lost ({signs})")
    if registered.look_in == 0:
        return (
            Claim("the claim is gone, and nothing else")
            if registered.only_claim_gone
            else LookAtRegistered("something is gone, or nobody was heard of for a while")
        )
    # (Entries of a place that may have to be mended tell what numbers are in use.)
    waits = LossSign.CLAIM_GONE not in registered.signs and registered.verdict is Verdict.INTACT
    nobodies = list(entries_of_nobody(snapshot)) if waits else []
    gone = max(nobodies, key=lambda entry: entry.still, default=None)
    if gone and gone.still >= STILL:
        return RemoveRegistration(f"no pod answers for i{gone.member.instance}", gone.member)
    due = [STILL - entry.still for entry in nobodies]
    restart = _decide_cut_off(snapshot)
    if isinstance(restart, Wait):
        due.append(restart.seconds)
    elif restart:
        return restart
    if registered.look_in is not None:
        due.append(registered.look_in)
    return Wait("entries that nobody answers for may move yet", min(due)) if due else None


def _decide_cut_off(snapshot: Snapshot) -> RestartDaemons | Wait | None:
    """Return what is to be done about daemons that are cut off; None if there are none.

    One is restarted at first, and the others when that one has found the service again: if the
    network keeps them from it, they keep what they have.
    """
    cut_off = daemons_cut_off(snapshot)
    if not cut_off or snapshot.service is None:
        return None
    left = mend_in(snapshot)
    pods = _not_restarted_yet(snapshot, cut_off) if left else (cut_off[-1],)
    if not pods:
        return Wait("the daemons were restarted a short while ago", left)
    return RestartDaemons(
        f"the daemons have not been heard of in {snapshot.service.place.kind} for "
        f"{SILENT_AFTER / 60:.0f} minutes, though it is there",
        pods,
    )


def _not_restarted_yet(snapshot: Snapshot, cut_off: list[Pod]) -> tuple[Pod, ...]:
    """Return those that the last restart left out, once one that it took is heard of again."""
    at = mended_at(snapshot)
    lately = [pod for pod in _daemons(snapshot) if at and pod.created >= at]
    heard_of = {each.pod for each in members_for(snapshot) if each.state == "Serving"}
    if not any(pod.name in heard_of for pod in lately):
        return ()
    return tuple(pod for pod in cut_off if pod not in lately)


def _daemons(snapshot: Snapshot) -> Iterator[Pod]:
    return (pod for pod in snapshot.pods if pod.component == "daemon")


def _newest(entries: tuple[Registration, ...]) -> dict[str, Registration]:
    """Return the newest entry of each host: a daemon that starts again takes the next number."""
    whole = sorted((each for each in entries if not each.torn), key=lambda it: it.member.instance)
    return {each.member.hostname: each for each in whole}


def _member(pod: Pod | None, entry: Registration | None, state: str) -> MemberStatus:
    known = entry.member if entry else None
    return MemberStatus(
        pod=pod.name if pod else None,
        node=(pod.node if pod else None) or (known.nodename if known else None) or None,
        rpc_endpoint=(known.rpc_endpoint or None) if known else None,
        instance=known.instance if known else None,
        state=state,
    )
