"""Claiming a prefix, and leaving it: each one transaction, whoever else is at it."""

from typing import Any

from aetcd import rpc

from kvhelm.metadata.etcd.client import EtcdEndpoint, Page, page_of, range_request
from kvhelm.metadata.etcd.keys import (
    KeyRange,
    below,
    checked,
    claim_key,
    claims_above,
    claims_within,
    instance,
    next_instance,
)
from kvhelm.metadata.findings import Finding, Reason, finding
from kvhelm.metadata.service import Member, Purged


async def claim(etcd: EtcdEndpoint, prefix: str, uid: str) -> Finding | None:
    """Put the claim if no claim stands at, above or below the prefix; say what stands in the way.

    Raises ServiceFailed.
    """
    free = [_absent(key) for key in claims_above(checked(prefix))]
    free.append(_absent(claims_within(prefix)))
    put = rpc.PutRequest(key=claim_key(prefix), value=uid.encode())
    answer = await etcd.transact(
        free, [rpc.RequestOp(request_put=put)], [_reading(keys) for keys in _claims_around(prefix)]
    )
    return None if answer.succeeded else in_the_way(prefix, uid, _pages(answer))


async def standing(etcd: EtcdEndpoint, prefix: str, uid: str) -> Finding | None:
    """Say, without changing anything, why the prefix could not be used by `uid`.

    Raises ServiceFailed.
    """
    reads = (*_claims_around(prefix), below(checked(prefix)))
    # One transaction, so that a claim and its keys are seen at one moment. Keys are only counted.
    operations = [_reading(keys, count_only=keys == reads[-1]) for keys in reads]
    *claims, keys = _pages(await etcd.transact([], operations))
    blocked = in_the_way(prefix, uid, claims)
    if blocked is None and keys.count and not any(page.count for page in claims):
        return finding(Reason.PREFIX_FOREIGN_KEYS, prefix)
    return blocked


async def purge(etcd: EtcdEndpoint, prefix: str, uid: str) -> Purged:
    """Delete what is under the prefix, and the claim, if the claim is `uid`'s at that moment.

    Raises ServiceFailed.
    """
    keys, own = below(checked(prefix)), claim_key(prefix)
    answer = await etcd.transact(
        [_holds(own, uid)],
        [_deleting(keys), rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=own))],
        [_reading(own), _reading(keys, count_only=True)],
    )
    if answer.succeeded:
        return Purged(keys=answer.responses[0].response_delete_range.deleted)
    claimed, left = _pages(answer)
    if claimed.count:
        return Purged(refused=finding(Reason.PREFIX_TAKEN, prefix))
    return Purged(refused=finding(Reason.PREFIX_FOREIGN_KEYS, prefix) if left.count else None)


async def remove_member(etcd: EtcdEndpoint, prefix: str, uid: str, member: Member) -> bool:
    """Delete a member's entry if none of its keys moved since; tell whether it has gone.

    Raises ServiceFailed.
    """
    entry = instance(checked(prefix), member.instance)
    still = rpc.Compare(
        key=entry.first,
        range_end=entry.end,
        target=rpc.Compare.MOD,
        result=rpc.Compare.LESS,
        mod_revision=member.revision + 1,
    )
    answer = await etcd.transact([_holds(claim_key(prefix), uid), still], [_deleting(entry)])
    return bool(answer.succeeded)


async def reserve(etcd: EtcdEndpoint, prefix: str, uid: str, number: int) -> Finding | None:
    """Raise vineyardd's count of instance numbers to `number`; say if the prefix is another's.

    Raises ServiceFailed.
    """
    key, own = next_instance(checked(prefix)), claim_key(prefix)
    while True:
        answer = await etcd.transact([], [_reading(own), _reading(key)])
        claimed, counted = _pages(answer)
        if any(entry.value != uid.encode() for entry in claimed.entries):
            return finding(Reason.PREFIX_TAKEN, prefix)
        known = next(iter(counted.entries), None)
        if known and known.value.isdigit() and int(known.value) >= number:
            return None
        put = rpc.PutRequest(key=key, value=str(number).encode())
        still = rpc.Compare(
            key=key,
            target=rpc.Compare.MOD,
            result=rpc.Compare.EQUAL,
            mod_revision=known.changed if known else 0,
        )
        # A daemon may register at this moment: then what it counted is looked at anew.
        if (await etcd.transact([still], [rpc.RequestOp(request_put=put)])).succeeded:
            return None


def in_the_way(prefix: str, uid: str, claims: list[Page]) -> Finding | None:
    """Judge the claims around a prefix."""
    found = {entry.key: entry.value for page in claims for entry in page.entries}
    own = found.pop(claim_key(prefix), uid.encode())
    if own != uid.encode():
        return finding(Reason.PREFIX_TAKEN, prefix)
    return finding(Reason.PREFIX_OVERLAPS, prefix) if found else None


def _claims_around(prefix: str) -> tuple[bytes | KeyRange, ...]:
    return (*claims_above(prefix), claims_within(prefix))


def _absent(keys: bytes | KeyRange) -> Any:
    """Compare: no such key. Of a range, every key that is there must have no creation: none."""
    first, end = (keys, b"") if isinstance(keys, bytes) else (keys.first, keys.end)
    return rpc.Compare(
        key=first,
        range_end=end,
        target=rpc.Compare.CREATE,
        result=rpc.Compare.EQUAL,
        create_revision=0,
    )


def _holds(key: bytes, uid: str) -> Any:
    return rpc.Compare(
        key=key, target=rpc.Compare.VALUE, result=rpc.Compare.EQUAL, value=uid.encode()
    )


def _reading(keys: bytes | KeyRange, *, count_only: bool = False) -> Any:
    return rpc.RequestOp(request_range=range_request(keys, count_only=count_only))


def _deleting(keys: KeyRange) -> Any:
    return rpc.RequestOp(
        request_delete_range=rpc.DeleteRangeRequest(key=keys.first, range_end=keys.end)
    )


def _pages(answer: Any) -> list[Page]:
    return [page_of(each.response_range) for each in answer.responses]
