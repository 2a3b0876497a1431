"""From an endpoint's text to addresses that may be dialled, and what a silent one is.

A TCP connection proves nothing (some networks accept any): services are judged by requests, and
only when those fail is it looked at what kind of silence it is.
"""

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass

from kvhelm.errors import MetadataError
from kvhelm.metadata.findings import Reason, ServiceFailed
from kvhelm.metadata.policy import Address, DialPolicy, literal

_ENDPOINT = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+):(?P<port>\d{1,5})/?"
)


# A client's first words, and an empty SETTINGS frame, whose fourth byte is its type (RFC 9113).
_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS


@dataclass(frozen=True, order=True)
class Endpoint:
    """One address of a service, as its user wrote it (lower case)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def endpoint_in(text: str) -> Endpoint:
    """Read SCHEME://HOST:PORT. Raises MetadataError, whose text does not repeat `text`."""
    match = _ENDPOINT.fullmatch(text.strip().lower())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise MetadataError("an endpoint must be SCHEME://HOST:PORT, without user or path")
    return Endpoint(match["scheme"], match["host"], int(match["port"]))


async def addresses_for(endpoint: Endpoint, policy: DialPolicy) -> tuple[Address, ...]:
    """Resolve an endpoint's host and return the addresses that may be dialled, at least one.

    Dial these and not the name: it may lead elsewhere the next time (DNS rebinding). Raises
    ServiceFailed with DialNotAllowed, or Unreachable for a name that does not resolve.
    """
    found = await resolve(endpoint)
    allowed = tuple(address for address in found if policy.permits(endpoint.host, address))
    if not allowed:
        raise ServiceFailed(Reason.DIAL_NOT_ALLOWED, str(endpoint))
    return allowed


async def resolve(endpoint: Endpoint) -> tuple[Address, ...]:
    """Return the addresses of an endpoint's host, for looking at: what is dialled is checked.

    Raises ServiceFailed with Unreachable for a name that does not resolve.
    """
    written = literal(endpoint.host)
    if written is not None:
        return (written,)
    loop = asyncio.get_running_loop()
    try:
        entries = await loop.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except (OSError, UnicodeError):
        raise ServiceFailed(Reason.UNREACHABLE, str(endpoint)) from None
    literals = (literal(str(entry[4][0]).partition("%")[0]) for entry in entries)
    found = {address for address in literals if address is not None}
    # IPv4 first: what listens on one family only mostly listens on that.
    return tuple(sorted(found, key=lambda each: (each.version, each.packed)))


async def silence_of(
    endpoint: Endpoint, addresses: tuple[Address, ...], timeout: float
) -> Reason | None:
    """Tell why a request to an endpoint failed below the level of requests.

    Unreachable; Stalled: silent for `timeout` seconds; TlsRequired; Unhealthy: answers in a
    protocol that is neither; None: speaks HTTP/2, so what failed may work now. Sends greetings of
    HTTP/2 and TLS and nothing of anybody's. Takes up to three times `timeout`.
    """
    for address in addresses:
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(str(address), endpoint.port)
        except OSError:  # of which TimeoutError is one
            continue
        try:
            writer.write(_HTTP2)
            async with asyncio.timeout(timeout):
                answer = await reader.read(len(_SETTINGS))
        except TimeoutError:
            return Reason.STALLED
        except OSError:
            answer = b""
        finally:
            writer.transport.abort()
        if answer[3:4] == _SETTINGS[3:4]:
            return None
        return await _encrypted(address, endpoint.port, timeout)
    return Reason.UNREACHABLE


async def _encrypted(address: Address, port: int, timeout: float) -> Reason:
    """Tell TLS from another protocol, given that something answers."""
    # Whose certificate it is does not matter: nothing is sent, the connection is closed.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, str(address), port, ssl=context
            )
    except ssl.SSLError as refusal:
        # An alert is TLS as well: of a server that wants a client's certificate, for one.
        return Reason.TLS_REQUIRED if "ALERT" in (refusal.reason or "") else Reason.UNHEALTHY
    except OSError:
        return Reason.UNHEALTHY
    transport.abort()
    return Reason.TLS_REQUIRED
