"""HTTP to the API server: connections, credentials, repetitions, streams."""

import asyncio
import json
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from kvhelm import __version__
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.config import Config
from kvhelm.kube.errors import (
    ApiError,
    BadAnswer,
    ConfigError,
    Unauthorized,
    Unreachable,
    error_for,
)
from kvhelm.kube.resource import Object

JSON = "application/json"
Query = Mapping[str, str | int | bool]

log = logging.getLogger(__name__)

_TRIES = 3
_BETWEEN_TRIES = Backoff(0.1, 1.0)
_LONGEST_RETRY_AFTER = 5.0  # seconds; who is asked to wait longer should know, and queue
_CONNECT_TIMEOUT = 5.0  # seconds
_RELOAD = 60.0  # seconds between looks at tokens and certificates on disk
_RELOAD_REFUSED = 5.0  # the same, when the server answers 401
# Where one watch event is a megabyte, the default of 64 KiB would stop and start reading.
_READ_BUFFER = 1 << 20


class Transport:
    """Sends requests as one identity; knows HTTP, not what the requests mean."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._tls = config.tls_files()
        self._session = self._open_session()
        self._proxy = config.proxy
        self._loaded_at = asyncio.get_running_loop().time()
        self.requests: Counter[tuple[str, str]] = Counter()
        self._away = False

    @property
    def host(self) -> str:
        """URL of the API server."""
        return self._config.host

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        query: Query | None,
        *,
        count: tuple[str, str],
        body: object,
        content_type: str,
        accept: str,
        timeout: float,
        repeatable: bool,
    ) -> Any:
        """Send one request, again where that helps and does no harm; return the decoded answer."""
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        url = self._url(path, query)
        now = asyncio.get_running_loop().time
        deadline = now() + timeout
        await self._reload_if_due(_RELOAD)
        for tries_left in reversed(range(_TRIES)):
            self.requests[count] += 1
            try:
                answer = await self._send_once(
                    method, url, data, self._headers(accept, content_type), deadline - now()
                )
                self._note(None)
                return answer
            except Unreachable as e:
                self._note(e)
                # Refused means not sent: even a create may be tried again.
                refused = isinstance(e.__cause__, aiohttp.ClientConnectorError)
                if not (repeatable or refused):
                    raise
                error: ApiError | Unreachable = e
                pause = _BETWEEN_TRIES.delay(_TRIES - tries_left)
            except Unauthorized as e:
                if not await self._reload_if_due(_RELOAD_REFUSED):
                    raise
                error, pause = e, 0.0
            except ApiError as e:
                # 429 is said before anything is done; a 5xx may have done it.
                if e.retry_after is None or not (e.status == 429 or repeatable):
                    raise
                error, pause = e, e.retry_after
            if not tries_left or pause > _LONGEST_RETRY_AFTER or now() + pause >= deadline:
                raise error
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        query: Query,
        *,
        count: tuple[str, str],
        accept: str,
        timeout: float,
        silence: float,
    ) -> AsyncIterator[AsyncIterator[Object]]:
        """Open one stream of JSON lines; see Client.stream_watch."""
        await self._reload_if_due(_RELOAD)
        self.requests[count] += 1
        try:
            response = await self._request(
                "GET",
                self._url(path, query),
                None,
                self._headers(accept),
                aiohttp.ClientTimeout(
                    total=timeout, sock_connect=_CONNECT_TIMEOUT, sock_read=silence
                ),
            )
        except (aiohttp.ClientError, OSError) as e:
            error = self._unreachable(e)
            self._note(error)
            raise error from e
        self._note(None)
        try:
            if response.status != 200:
                if response.status == 401:
                    await self._reload_if_due(_RELOAD_REFUSED)
                raise await self._error_of(response)
            async with aclosing(self._events(response)) as events:
                yield events
        finally:
            response.close()

    async def _send_once(
        self, method: str, url: URL, data: bytes | None, headers: dict[str, str], seconds: float
    ) -> Any:
        limits = aiohttp.ClientTimeout(total=max(seconds, 0.01), sock_connect=_CONNECT_TIMEOUT)
        try:
            async with await self._request(method, url, data, headers, limits) as response:
                if not 200 <= response.status < 300:
                    raise await self._error_of(response)
                raw = await response.read()
        except (aiohttp.ClientError, OSError) as e:
            raise self._unreachable(e) from e
        if not response.headers.get("Content-Type", "").startswith(JSON):
            return raw.decode(errors="replace")
        return _decoded(raw, url)

    async def _request(
        self,
        method: str,
        url: URL,
        data: bytes | None,
        headers: dict[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        return await self._session.request(
            method,
            url,
            data=data,
            headers=headers,
            timeout=limits,
            proxy=self._proxy,
            server_hostname=self._config.server_name,
            allow_redirects=False,
        )

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Object, None]:
        """Decode line by line. A line cut short by a broken connection is dropped."""
        begun: list[bytes] = []
        try:
            async for chunk in response.content.iter_any():
                first, *lines = chunk.split(b"\n")
                begun.append(first)
                if not lines:
                    continue
                lines.insert(0, b"".join(begun))
                begun = [lines.pop()]
                for line in lines:
                    event: Object = _decoded(line, response.url)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise error_for(status.get("code", 500), status, f"GET {response.url}")
                    yield event
        except (aiohttp.ClientError, OSError) as e:
            raise self._unreachable(e) from e

    def _url(self, path: str, query: Query | None) -> URL:
        url = URL(self._config.host + path, encoded=True)
        if not query:
            return url
        words = {True: "true", False: "false"}
        return url.with_query(
            {k: words[v] if isinstance(v, bool) else v for k, v in query.items() if v != ""}
        )

    def _headers(self, accept: str, content_type: str = JSON) -> dict[str, str]:
        headers = {"Accept": accept, "Content-Type": content_type}
        if authorization := self._config.authorization:
            headers["Authorization"] = authorization
        return headers

    async def _reload_if_due(self, age: float) -> bool:
        """Read credentials again if that was more than `age` seconds ago; tell whether it was."""
        now = asyncio.get_running_loop().time()
        if now - self._loaded_at < age:
            return False
        self._loaded_at = now
        try:
            await self._config.reload()
            tls = self._config.tls_files()
        except (ConfigError, OSError) as e:
            # Caught while it is being replaced, perhaps; what we have may be good for a while.
            log.warning("going on with the credentials of before: %s", e)
            return False
        if tls != self._tls:
            # Connections keep the certificate that they began with.
            old, self._tls, self._session = self._session, tls, self._open_session()
            await old.close()
        return True

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limit: each watch keeps a connection, and callers bound how much they ask at once.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._config.ssl_context()),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER,
            # To compress costs the API server more than the bytes are worth inside a cluster.
            headers={"User-Agent": f"kvhelm/{__version__}", "Accept-Encoding": "identity"},
        )

    def _note(self, error: Unreachable | None) -> None:
        """Tell once that the server went away, and once that it is back: many would, each time."""
        if (error is not None) == self._away:
            return
        self._away = error is not None
        if error:
            log.warning("%s; trying again until it answers", error)
        else:
            log.info("%s answers again", self.host)

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"the API server at {self.host} cannot be reached: {why(error)}")

    async def _error_of(self, response: aiohttp.ClientResponse) -> ApiError:
        text = (await response.read()).decode(errors="replace")
        body: object = text
        if response.headers.get("Content-Type", "").startswith(JSON):
            body = _decoded(text, response.url)
        seconds = response.headers.get("Retry-After", "")
        return error_for(
            response.status,
            body,
            f"{response.method} {response.url}",
            float(seconds) if seconds.isdigit() else None,
        )


def why(error: Exception) -> str:
    """Return what kept a request from its answer, in the system's words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError | socket.gaierror):  # their numbers are none of the system's
        return cause.strerror or str(cause)
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__


def _decoded(raw: str | bytes, url: URL) -> Any:
    try:
        return json.loads(raw)
    except ValueError as e:
        raise BadAnswer(f"{url} answered what is no JSON: {e}") from e
