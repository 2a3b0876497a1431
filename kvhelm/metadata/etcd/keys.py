"""Where what stands in an etcd: claims of ours, entries of vineyardd's. Pure.

A claim of /a/b is the key /kvhelm/.claims/a/b/ with the uid as value. Outside vineyardd's subtree,
since a daemon reads all of that; under /kvhelm, which no user's prefix may touch, in a segment
that no namespace can be named. With the final slash one range holds a prefix's claim and all
below it, no sibling's (/a/bc), and the claims above are as many single keys as it has segments:
one transaction sees every overlap, so that of two overlapping claims made at once one wins.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kvhelm.errors import MetadataError
from kvhelm.metadata.service import Member

CLAIMS = "/kvhelm/.claims"
_PREFIX = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,100}")
# vineyardd's session root: one daemon process has one session.
_SESSION = "/S0000000000000000"
_ENTRY = re.compile(r"i(\d{1,18})/([a-z_]{1,40})")
# Longer than any host name, URL or socket path.
_LONGEST = 512


@dataclass(frozen=True)
class KeyRange:
    """The keys from `first` up to, not with, `end`."""

    first: bytes
    end: bytes


@dataclass(frozen=True)
class KeyValue:
    """A key, its value and the revisions of its creation and its last change."""

    key: bytes
    value: bytes
    created: int
    changed: int


def below(path: str) -> KeyRange:
    """Return the keys under `path`/, so none of a sibling that starts with the same letters."""
    start = path.encode() + b"/"
    return KeyRange(start, start[:-1] + b"0")  # "0" follows "/"


def checked(prefix: str) -> str:
    """Return the prefix, or raise MetadataError: it goes into ranges that get deleted."""
    if not _PREFIX.fullmatch(prefix):
        raise MetadataError("a prefix has two segments or more, such as /team/pool, and no '..'")
    return prefix


def claim_key(prefix: str) -> bytes:
    """Return the key of a prefix's claim."""
    return f"{CLAIMS}{prefix}/".encode()


def claims_within(prefix: str) -> KeyRange:
    """Return the range of a prefix's own claim and of all below it."""
    return below(CLAIMS + prefix)


def claims_above(prefix: str) -> tuple[bytes, ...]:
    """Return the keys that claims of the prefixes above would have."""
    segments = prefix.split("/")[1:]
    return tuple(claim_key("/" + "/".join(segments[:n])) for n in range(1, len(segments)))


def instances(prefix: str) -> KeyRange:
    """Return the range of all members' entries."""
    return below(f"{prefix}{_SESSION}/instances")


def instance(prefix: str, number: int) -> KeyRange:
    """Return the range of one member's entries (1 is not 10)."""
    return below(f"{prefix}{_SESSION}/instances/i{number}")


def next_instance(prefix: str) -> bytes:
    """Return the key that every join, and nothing else, writes; in the join's own transaction."""
    return f"{prefix}{_SESSION}/next_instance_id".encode()


def members_in(
    prefix: str, entries: Iterable[KeyValue]
) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    """Read members' entries, by number: those that are whole, and those that are torn.

    What is not shaped like vineyardd's is left out.
    """
    fields: dict[int, dict[str, str]] = {}
    revisions: dict[int, int] = {}
    start = instances(prefix).first
    for entry in entries:
        match = _ENTRY.fullmatch(entry.key.removeprefix(start).decode("ascii", "replace"))
        if match is None:
            continue
        number = int(match[1])
        fields.setdefault(number, {})[match[2]] = _text(entry.value)
        revisions[number] = max(revisions.get(number, 0), entry.changed)
    whole = {number for number, known in fields.items() if known.get("hostid")}
    torn = {number for number, known in fields.items() if set(known) == {"timestamp"}}

    def read(numbers: set[int]) -> tuple[Member, ...]:
        return tuple(_member(n, fields[n], revisions[n]) for n in sorted(numbers))

    return read(whole), read(torn)


def _member(number: int, known: dict[str, str], revision: int) -> Member:
    names: Iterator[str] = iter(
        ("hostid", "hostname", "nodename", "rpc_endpoint", "ipc_socket", "timestamp")
    )
    return Member(instance=number, revision=revision, **{n: known.get(n, "") for n in names})


def _text(value: bytes) -> str:
    """Return one of vineyardd's values, which are JSON strings or numbers; "" for anything else."""
    try:
        read = json.loads(value[:_LONGEST])
    except ValueError:
        return ""
    text = str(read) if isinstance(read, str | int) else ""
    return text if text.isprintable() else ""
