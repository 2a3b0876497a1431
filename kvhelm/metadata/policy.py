"""Which endpoints may be dialled: pure.

Whoever may create a pool makes the operator connect to an address of his choice; this is what
keeps the operator from being his deputy. Checked is the resolved address that is then dialled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from kvhelm.errors import MetadataError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._*")

# Never meant by a person who names a metadata service, or the node's own: allowed only by a CIDR
# that lies within. Link-local holds the clouds' credential services, fd00:ec2::/32 one more.
_SPECIAL: tuple[Network, ...] = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/127",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",
    )
)


@dataclass(frozen=True)
class Rules:
    """Addresses and host names."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()

    def match(self, host: str, address: Address) -> bool:
        """Tell whether the name or the address is one of them."""
        return any(address in network for network in self.networks) or any(
            fnmatchcase(host, pattern) for pattern in self.hosts
        )


@dataclass(frozen=True)
class DialPolicy:
    """What may be dialled. With nothing in `allow` everything may but special addresses.

    `deny` outweighs `allow`. Loopback, link-local, multicast and the clouds' credential services
    need a CIDR of their own in `allow` (such as 127.0.0.0/8); neither a host pattern nor
    0.0.0.0/0 opens them.
    """

    allow: Rules = Rules()
    deny: Rules = Rules()

    @classmethod
    def of(cls, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> "DialPolicy":
        """Read a policy from CIDRs, addresses and host patterns such as `*.svc`.

        Raises MetadataError for a word that is none of them.
        """
        return cls(_rules(allow), _rules(deny))

    def permits(self, host: str, address: Address) -> bool:
        """Tell whether `address`, which `host` resolves to, may be dialled."""
        host = host.lower().rstrip(".")
        address = _plain(address)
        if self.deny.match(host, address):
            return False
        special = next((network for network in _SPECIAL if address in network), None)
        if special is not None:
            return any(address in each and _lies_in(each, special) for each in self.allow.networks)
        return self.allow == Rules() or self.allow.match(host, address) or self._only_special()

    def _only_special(self) -> bool:
        """Whether `allow` just opens special addresses and so says nothing of the others."""
        return not self.allow.hosts and all(
            any(_lies_in(each, special) for special in _SPECIAL) for each in self.allow.networks
        )


def _rules(words: Iterable[str]) -> Rules:
    networks: list[Network] = []
    hosts: list[str] = []
    for word in words:
        try:
            networks.append(ip_network(word))
        except ValueError:
            host = word.lower().rstrip(".")
            if "/" in word or not host or not set(host) <= _HOST_CHARACTERS:
                raise MetadataError(
                    f"{word!r} is neither a CIDR, an address nor a host pattern such as *.svc"
                ) from None
            hosts.append(host)
    return Rules(tuple(networks), tuple(hosts))


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one wraps, if it does."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _lies_in(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def literal(host: str) -> Address | None:
    """Return the address that a host is written as, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None
