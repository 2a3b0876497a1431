"""Where claims and members stand in an etcd, and what of it is read."""

import pytest

from kvhelm.errors import MetadataError
from kvhelm.metadata.etcd.keys import (
    KeyValue,
    below,
    checked,
    claim_key,
    claims_above,
    claims_within,
    instance,
    members_in,
)


def holds(prefix: str, key: str) -> bool:
    keys = below(prefix)
    return keys.first <= key.encode() < keys.end


def test_a_range_holds_what_is_below_and_no_sibling() -> None:
    assert holds("/team/pool", "/team/pool/x")
    assert holds("/team/pool", "/team/pool/\x7f")
    for beside in ("/team/pool", "/team/pool-2/x", "/team/pool0", "/team/pool2/x", "/team/poo/x"):
        assert not holds("/team/pool", beside)


def test_instance_1_is_not_instance_10() -> None:
    keys = instance("/team/pool", 1)
    entry = b"/team/pool/S0000000000000000/instances/i%d/timestamp"
    assert keys.first <= entry % 1 < keys.end
    assert not keys.first <= entry % 10 < keys.end


def test_every_overlap_is_among_what_a_claim_looks_at() -> None:
    def sees(prefix: str, other: str) -> bool:
        within, key = claims_within(prefix), claim_key(other)
        return key in claims_above(prefix) or within.first <= key < within.end

    for inner, outer in (("/a/b/c", "/a/b"), ("/a/b/c/d", "/a/b"), ("/a/b", "/a/b")):
        assert sees(inner, outer) and sees(outer, inner)
    for one, other in (("/a/b", "/a/c"), ("/a/b", "/a/bc"), ("/a/b-c", "/a/b")):
        assert not sees(one, other) and not sees(other, one)


@pytest.mark.parametrize("prefix", ["", "/", "/one", "a/b", "/a/../b", "/a//b", "/a/b/", "/a/.b"])
def test_what_is_no_prefix_is_never_made_a_range(prefix: str) -> None:
    with pytest.raises(MetadataError):
        checked(prefix)


def entries(number: int, **fields: bytes) -> list[KeyValue]:
    root = f"/team/pool/S0000000000000000/instances/i{number}/"
    return [KeyValue(f"{root}{k}".encode(), v, 5, 7 + n) for n, (k, v) in enumerate(fields.items())]


def test_members_are_read_as_vineyardd_writes_them() -> None:
    whole = entries(
        3,
        hostid=b"9896183411048",
        hostname=b'"10.0.0.7"',
        nodename=b'"node-a"',
        rpc_endpoint=b'"10.0.0.7:9600"',
        ipc_socket=b'"/var/run/vineyard.sock"',
        member_id=b'"23424168"',
        timestamp=b"7711069792295436064",
    )
    ((member,), torn) = members_in("/team/pool", [*whole, *entries(4, timestamp=b"12")])
    assert (member.instance, member.hostid, member.hostname) == (3, "9896183411048", "10.0.0.7")
    assert (member.rpc_endpoint, member.timestamp) == ("10.0.0.7:9600", "7711069792295436064")
    assert member.revision == 13
    assert [each.instance for each in torn] == [4]


def test_what_is_not_shaped_like_vineyardds_is_left_out() -> None:
    odd = [
        KeyValue(b"/team/pool/S0000000000000000/instances/ix/hostid", b"1", 1, 1),
        KeyValue(b"/team/pool/S0000000000000000/instances/i1/\xff", b"1", 1, 1),
        *entries(5, hostid=b"1", hostname=b'"a\\nb"', nodename=b"\xff", rpc_endpoint=b'"cut'),
        *entries(6, hostid=b"{}"),
    ]
    ((member,), torn) = members_in("/team/pool", odd)
    assert (member.instance, member.hostname, member.nodename, member.rpc_endpoint) == (
        5,
        "",
        "",
        "",
    )
    assert torn == ()
