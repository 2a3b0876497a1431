"""Keeps a cache of one resource true by a watch that heals itself."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from kvhelm.errors import KubeError
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.cache import Cache, Key, key_of, number_of, version_of
from kvhelm.kube.client import Client
from kvhelm.kube.errors import BadRequest, Gone, Invalid, Unreachable
from kvhelm.kube.resource import Object, Resource

T = TypeVar("T")

log = logging.getLogger(__name__)

_END_OF_INITIAL_EVENTS = "k8s.io/initial-events-end"


class _Ignored(Exception):
    """The server watches, but does not send what it was asked to send first."""


class Reflector(Cache[T]):
    """The cache of a resource's objects (of one namespace or all, narrowed by selectors).

    `async with reflector:` keeps it true; `synced` is set once everything has been seen. A change
    goes to the handlers (`add_handler`) exactly when the cache changes.

    List and watch are one request (WatchList); where the server does not do that, a list in pages
    and a watch. A watch that ends goes on at its last resourceVersion; one too old begins anew,
    and what vanished meanwhile is told as deleted. Failures are repeated for ever, with `backoff`
    between them.

    `transform` makes of each object what the cache keeps; without one, the object itself.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        transform: Callable[[Object], T] | None = None,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        backoff: Backoff = Backoff(0.2, 10.0),  # noqa: B008 - it is frozen
        watch_timeout: float = 300.0,
        silence: float = 100.0,
        initial_silence: float = 10.0,
    ) -> None:
        """Prepare; nothing is sent yet.

        All times are in seconds: the server ends a watch after `watch_timeout` to twice that; a
        watch without a byte for `silence` is dead (bookmarks come every minute); a server that
        falls silent for `initial_silence` before the initial events are complete is listed.
        """
        super().__init__(transform or (lambda obj: cast(T, obj)))
        self.resource = resource
        self.namespace = namespace
        self.synced = asyncio.Event()
        """Set once every object has been seen."""
        self.connected = False
        """Whether a watch is open now."""
        self.last_error: KubeError | None = None
        """Why the last watch or list failed; None again when one succeeds."""
        self._client = client
        self._metadata_only = metadata_only
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._backoff = backoff
        self._watch_timeout = watch_timeout
        self._silence = silence
        self._initial_silence = initial_silence
        self._lists_first = False
        self._version = ""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Reflector[T]":
        self._task = asyncio.create_task(self._run(), name=f"reflect {self.resource.plural}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def upsert(self, obj: Object) -> bool:
        """Take in what a write of our own answered, so that the next read sees it.

        The object must be one that the selectors match. Tells whether it was news: an answer
        overtaken by newer events changes nothing, and cannot bring back what they deleted.
        """
        if self.version(key_of(obj)) < 0 and version_of(obj) <= number_of(self._version):
            return False
        return self.store(obj)

    async def _run(self) -> None:
        failures = 0
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            error: KubeError | None = None
            try:
                if not self._version:
                    await self._begin()
                else:
                    await self._resume()
            except (Gone, BadRequest, Invalid) as e:
                # This resourceVersion will not do any more: see every object again.
                log.info("%s: %s; listing again", self.resource.plural, e)
                self._version, error = "", e
            except KubeError as e:
                error = e
            except Exception as e:
                log.exception("the watch of %s failed unexpectedly", self.resource.plural)
                error = KubeError(f"{type(e).__name__}: {e}")
            finally:
                self.connected = False
            # A watch that outlived the longest delay was a good one, however it ended. Nothing
            # else ends a row of failures: not to connect, nor to get a first event.
            if now() - began > self._backoff.cap:
                failures = 0
                if not error:
                    continue
            failures += 1
            if error:
                self._note(error, failures)
            await asyncio.sleep(self._backoff.delay(failures))

    def _note(self, error: KubeError, failures: int) -> None:
        told = str(self.last_error) == str(error)
        self.last_error = error
        # A watch that breaks is everyday life; only a row of failures is worth a warning, once.
        # (A server that is away is told of by the transport, for all.)
        news = failures > 1 and not told and not isinstance(error, Unreachable)
        level = logging.WARNING if news else logging.DEBUG
        log.log(level, "watching %s: %s", self.resource.plural, error)

    async def _begin(self) -> None:
        """See every object, then watch until the watch ends."""
        if not self._lists_first:
            try:
                return await self._watch_list()
            except (BadRequest, Invalid) as e:
                log.info("%s: listed before watched: %s", self.resource.plural, e)
                self._lists_first = True
            except _Ignored:
                log.info("%s: no initial events come; listed instead", self.resource.plural)
        items, version = await self._client.list(
            self.resource,
            self.namespace,
            metadata_only=self._metadata_only,
            labelSelector=self._label_selector,
            fieldSelector=self._field_selector,
        )
        for obj in items:
            self.store(obj)
        self._complete({key_of(obj) for obj in items}, version)
        return await self._resume()

    async def _watch_list(self) -> None:
        async with self._watch(
            sendInitialEvents="true", resourceVersionMatch="NotOlderThan"
        ) as events:
            await self._see_all(events)
            await self._follow(events)

    async def _resume(self) -> None:
        async with self._watch(resourceVersion=self._version) as events:
            await self._follow(events)

    @asynccontextmanager
    async def _watch(self, **query: str) -> AsyncIterator[AsyncIterator[Object]]:
        async with self._client.stream_watch(
            self.resource,
            self.namespace,
            metadata_only=self._metadata_only,
            # At random, so that watches that began together do not all begin anew together.
            timeout=self._watch_timeout * random.uniform(1.0, 2.0),  # noqa: S311
            silence=self._silence,
            labelSelector=self._label_selector,
            fieldSelector=self._field_selector,
            **query,
        ) as events:
            self.connected = True
            self.last_error = None
            yield events

    async def _see_all(self, events: AsyncIterator[Object]) -> None:
        """Take the initial events in, to the bookmark that ends them."""
        seen: set[Key] = set()
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._initial_silence) as limit:
                async for event in events:
                    limit.reschedule(now() + self._initial_silence)
                    obj = event["object"]
                    if event["type"] == "BOOKMARK":
                        notes = obj["metadata"].get("annotations") or {}
                        if _END_OF_INITIAL_EVENTS not in notes:
                            raise _Ignored
                        return self._complete(seen, obj["metadata"]["resourceVersion"])
                    self._take(event["type"], obj)
                    if event["type"] == "DELETED":
                        seen.discard(key_of(obj))
                    else:
                        seen.add(key_of(obj))
        except TimeoutError as e:
            raise _Ignored from e
        raise Unreachable("the watch ended before its initial events were complete")

    async def _follow(self, events: AsyncIterator[Object]) -> None:
        async for event in events:
            obj = event["object"]
            if event["type"] != "BOOKMARK":
                self._take(event["type"], obj)
            self._version = obj["metadata"]["resourceVersion"]

    def _take(self, kind: str, obj: Object) -> None:
        if kind == "DELETED":
            self.remove(key_of(obj), version_of(obj))
        else:
            self.store(obj)

    def _complete(self, seen: set[Key], version: str) -> None:
        """Every object of `version` has been stored: drop what was not among them."""
        for key in [key for key in self if key not in seen]:
            # Stays if newer than the list: a write of our own, which the list could not have seen.
            self.remove(key, number_of(version))
        self._version = version
        self.synced.set()
