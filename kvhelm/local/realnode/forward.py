"""Bytes from one socket to another: nodes reach the API server and registries, it reaches them.

The API server stays where all local clusters have theirs, on 127.0.0.1 of this machine. Nodes find
it at the hub; its own calls to kubelets come as HTTP CONNECT through a socket that only its user
can open (Kubernetes' egress selector). The nodes' network leads nowhere else, so what containerd
pulls comes through a proxy, for nodes and not for their pods.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path

from kvhelm.local.parts import HOST
from kvhelm.local.realnode.hub import Hub

_CHUNK = 1 << 16
# Seconds until somebody must have answered, or have said whom to call.
_PATIENCE = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def serve_nodes(listening: socket.socket, api_server: int) -> asyncio.Server:
    """Lead every connection to `listening` on to the API server at that port of this machine."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def call() -> Streams:
            return await asyncio.open_connection(HOST, api_server)

        await _lead((reader, writer), call)

    return await asyncio.start_server(accept, sock=listening)


async def serve_api_server(path: Path, hub: Hub) -> asyncio.Server:
    """Serve HTTP CONNECT at the socket `path`, into the network of the nodes."""

    async def connect(host: str, port: int) -> Streams:
        return await asyncio.open_connection(sock=await hub.connect(host, port))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve_connect((reader, writer), connect)

    # The folder is for its user alone, so nobody else gets to the socket.
    return await asyncio.start_unix_server(accept, path)


async def serve_pulls(listening: socket.socket, nodes: Collection[str]) -> asyncio.Server:
    """Serve HTTP CONNECT to these addresses, from this machine to wherever it reaches."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("peername")[0] in nodes:
            await _serve_connect((reader, writer), asyncio.open_connection)
        else:
            writer.close()

    return await asyncio.start_server(accept, sock=listening)


async def _serve_connect(near: Streams, connect: Callable[[str, int], Awaitable[Streams]]) -> None:
    reader, writer = near

    async def call() -> Streams:
        streams = await connect(*await _asked(reader))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return streams

    async def refuse() -> None:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    await _lead(near, call, refuse)


async def _asked(reader: asyncio.StreamReader) -> tuple[str, int]:
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
    host, _, port = target.rpartition(":")
    if method != "CONNECT":
        raise ValueError(method)
    return host.strip("[]"), int(port)


async def _lead(
    near: Streams,
    call: Callable[[], Awaitable[Streams]],
    refuse: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Call the other side and carry bytes both ways until both are done."""
    try:
        far = await asyncio.wait_for(call(), _PATIENCE)
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError):
        if refuse is not None:
            with suppress(OSError):
                await refuse()
        near[1].close()
        return
    try:
        await asyncio.gather(_carry(near[0], far[1]), _carry(far[0], near[1]))
    except (OSError, asyncio.CancelledError):
        pass  # one of them hung up, or all of this ends
    finally:
        far[1].close()
        near[1].close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()
    target.write_eof()
