"""Which endpoints the operator may be made to dial."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from kvhelm.errors import MetadataError
from kvhelm.metadata.dial import Endpoint, addresses_for, endpoint_in
from kvhelm.metadata.findings import Reason, ServiceFailed
from kvhelm.metadata.policy import DialPolicy


@pytest.mark.parametrize(
    ("allow", "deny", "host", "address", "permitted"),
    [
        ([], [], "etcd.svc", "10.0.0.1", True),
        ([], [], "etcd.example", "192.0.2.1", True),
        # What nobody means who names a metadata service.
        ([], [], "localhost", "127.0.0.1", False),
        ([], [], "metadata", "169.254.169.254", False),
        ([], [], "metadata", "::ffff:169.254.169.254", False),
        ([], [], "metadata", "fd00:ec2::254", False),
        ([], [], "any", "0.0.0.0", False),
        ([], [], "any", "::1", False),
        ([], [], "any", "fe80::1", False),
        # It is opened by a range within it, and by nothing wider.
        (["127.0.0.0/8"], [], "localhost", "127.0.0.1", True),
        (["127.0.0.0/8"], [], "etcd.svc", "10.0.0.1", True),
        (["0.0.0.0/0"], [], "metadata", "169.254.169.254", False),
        (["metadata"], [], "metadata", "169.254.169.254", False),
        # Where something is allowed, only that is.
        (["10.0.0.0/8"], [], "etcd.svc", "10.9.9.9", True),
        (["10.0.0.0/8"], [], "etcd.svc", "192.0.2.1", False),
        (["*.svc"], [], "ETCD.team.svc.", "192.0.2.1", True),
        (["*.svc"], [], "etcd.example", "192.0.2.1", False),
        (["10.0.0.0/8", "127.0.0.0/8"], [], "etcd.svc", "192.0.2.1", False),
        # Denied is denied.
        (["10.0.0.0/8"], ["10.0.0.1"], "etcd.svc", "10.0.0.1", False),
        ([], ["*.kube-system.svc"], "etcd.kube-system.svc", "10.0.0.1", False),
        ([], ["10.0.0.0/8"], "etcd.svc", "::ffff:10.0.0.1", False),
    ],
)
def test_what_may_be_dialled(
    allow: Sequence[str], deny: Sequence[str], host: str, address: str, permitted: bool
) -> None:
    assert DialPolicy.of(allow, deny).permits(host, ip_address(address)) is permitted


@pytest.mark.parametrize("word", ["", "10.0.0.0/33", "http://etcd:2379", "etcd host", "10.0.0.1/8"])
def test_a_setting_that_is_neither_range_nor_name_is_refused(word: str) -> None:
    with pytest.raises(MetadataError):
        DialPolicy.of(allow=[word])


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://Etcd.Svc:2379", Endpoint("http", "etcd.svc", 2379)),
        ("http://10.0.0.1:2379/", Endpoint("http", "10.0.0.1", 2379)),
        ("redis://[2001:db8::1]:6379", Endpoint("redis", "[2001:db8::1]", 6379)),
    ],
)
def test_an_endpoint_is_read(text: str, endpoint: Endpoint) -> None:
    assert endpoint_in(text) == endpoint


@pytest.mark.parametrize(
    "text",
    ["etcd:2379", "http://etcd", "http://u:secret@etcd:2379", "http://etcd:2379/x", "http://e:0"],
)
def test_what_is_no_endpoint_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(MetadataError) as refused:
        endpoint_in(text)
    assert "secret" not in str(refused.value)


async def test_a_name_that_leads_to_a_forbidden_address_is_not_dialled() -> None:
    endpoint = endpoint_in("http://localhost:2379")
    with pytest.raises(ServiceFailed) as refused:
        await addresses_for(endpoint, DialPolicy())
    assert refused.value.reason is Reason.DIAL_NOT_ALLOWED
    allowed = await addresses_for(endpoint, DialPolicy.of(allow=["127.0.0.0/8"]))
    assert [str(each) for each in allowed] == ["127.0.0.1"]
