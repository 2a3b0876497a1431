"""A proxy in front of the API server that counts requests, and cuts everything off after one."""

import asyncio
import json
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

_HOP_BY_HOP = frozenset({"connection", "host", "transfer-encoding", "content-length", "keep-alive"})

_SHUTDOWN = 0.1
"""Seconds until watches are cut at the end (to aiohttp 0 is for ever)."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})


class CuttingProxy:
    """Passes requests on to the API server, and notes those that count (`seen`).

    Once armed, the one with the number `at` is still carried out, but its answer does not come
    back: `cut` is called, and nothing passes any more in either direction.
    """

    def __init__(self, upstream: str, authority: ssl.SSLContext, token: str) -> None:
        self.seen: list[tuple[str, str]] = []
        """Method and path of the requests since it was armed."""
        self.port = 0
        self.was_cut = asyncio.Event()
        self._upstream = upstream
        self._authority = authority
        self._token = token
        self._armed = False
        self._at: int | None = None
        self._counts: Callable[[str], bool] = lambda method: True
        self._cut: Callable[[], None] = lambda: None
        self._counted = 0

    def arm(self, cut: Callable[[], None], *, at: int | None, writes_only: bool = False) -> None:
        """Begin to note requests; cut after the one with the number `at`, if any, from 1 on."""
        self._armed, self._at, self._cut = True, at, cut
        self._counts = (lambda method: method not in READS) if writes_only else (lambda _: True)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["CuttingProxy"]:
        """Listen on a port of 127.0.0.1 while the context lasts."""
        connector = aiohttp.TCPConnector(ssl=self._authority, limit=0)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as self._session:
            runner = web.ServerRunner(
                web.Server(self._handle, handler_cancellation=True, access_log=None),
                handle_signals=False,
                shutdown_timeout=_SHUTDOWN,
            )
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._pass_on(request)
        except (OSError, aiohttp.ClientError):
            # Whoever asked is gone, or everything is cut: the other end must not wait.
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self._stop_if_cut()
        number = self._note(request)
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP]
        # Go's client sends no token over plain HTTP.
        headers = [(k, v) for k, v in headers if k.lower() != "authorization"]
        headers.append(("Authorization", f"Bearer {self._token}"))
        async with self._session.request(
            request.method,
            f"{self._upstream}{request.raw_path}",
            headers=headers,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if number is not None and number == self._at:
                await answer.read()
                self._cut()
                self.was_cut.set()
            self._stop_if_cut()
            passed = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    passed.headers.add(name, value)
            await passed.prepare(request)
            async for chunk in answer.content.iter_any():
                self._stop_if_cut()
                await passed.write(chunk)
            await passed.write_eof()
            return passed

    def _note(self, request: web.BaseRequest) -> int | None:
        """Return the number of a request that counts: leases and watches go on at all times."""
        path = request.path
        if not self._armed or "/leases" in path or request.query.get("watch") in ("true", "1"):
            return None
        self.seen.append((request.method, path))
        if not self._counts(request.method):
            return None
        self._counted += 1
        return self._counted

    def _stop_if_cut(self) -> None:
        if self.was_cut.is_set():
            raise ConnectionResetError


def through(proxy: CuttingProxy, kubeconfig: Path, path: Path) -> Path:
    """Write a kubeconfig that goes through a proxy, as the same user as another one."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{proxy.port}"}
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def proxy_for(kubeconfig: Path) -> CuttingProxy:
    """Return a proxy to the API server that a kubeconfig names, as its user (with a token file)."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    if data := cluster.get("certificate-authority-data"):
        authority = ssl.create_default_context(cadata=b64decode(data).decode())
    else:
        authority = ssl.create_default_context(cafile=cluster["certificate-authority"])
    return CuttingProxy(cluster["server"], authority, Path(user["tokenFile"]).read_text())
