"""Events about objects, as `kubectl describe` and `kubectl get events` show them."""

import asyncio
import logging
import socket
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from kvhelm.errors import KubeError
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import EVENTS, Object

log = logging.getLogger(__name__)

_SAME_FOR = 600.0  # seconds in which the same words count up one Event
_REMEMBERED = 4096  # Events; the oldest is forgotten, and would be written anew
_WAITING = 1024  # Events that wait to be written; more are dropped
_LONGEST_MESSAGE = 1024  # characters; the API refuses longer ones


class _Words(NamedTuple):
    """What makes two events the same."""

    uid: str
    kind: str
    reason: str
    message: str


@dataclass(slots=True)
class _Written:
    name: str
    count: int
    at: float


class EventRecorder:
    """Writes Events in the background, within `async with`; leaving it waits for the last ones.

    The same words about the same object within ten minutes count up one Event. An Event is a
    courtesy: one that is refused (in a namespace that ends, say) or cannot be written is dropped,
    with a line in the debug log.
    """

    def __init__(self, client: Client, component: str) -> None:
        """Prepare; `component` is shown as where the Events come from."""
        self._client = client
        self._component = component
        self._host = socket.gethostname()
        self._time = asyncio.get_running_loop().time
        self._waiting: asyncio.Queue[tuple[Object, _Words]] = asyncio.Queue(_WAITING)
        self._written: OrderedDict[_Words, _Written] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_all(), name="write Events")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            async with asyncio.timeout(5.0):
                await self._waiting.join()
        except TimeoutError:
            log.debug("%d Events are not written before the end", self._waiting.qsize())
        if self._writer:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def record(
        self, about: Object, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Write an Event soon; returns at once, and never raises.

        `about` is a reference to an object: apiVersion, kind, namespace, name and uid. `reason`
        is one word in CamelCase, `message` a sentence.
        """
        message = message[:_LONGEST_MESSAGE]
        words = _Words(about.get("uid", ""), kind, reason, message)
        try:
            self._waiting.put_nowait((about, words))
        except asyncio.QueueFull:
            log.debug("dropped, too many wait: Event %s: %s", reason, message)

    async def _write_all(self) -> None:
        while True:
            about, words = await self._waiting.get()
            try:
                await self._write(about, words)
            except KubeError as e:
                log.debug("dropped: Event %s: %s: %s", words.reason, words.message, e)
            except Exception:
                log.exception("cannot write the Event %s: %s", words.reason, words.message)
            finally:
                self._waiting.task_done()

    async def _write(self, about: Object, words: _Words) -> None:
        # Events about objects without a namespace live in this one.
        namespace = about.get("namespace") or "default"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = self._written.pop(words, None)
        if before and self._time() - before.at < _SAME_FOR:
            body = {"count": before.count + 1, "lastTimestamp": now}
            try:
                await self._client.patch(EVENTS, before.name, body, namespace)
            except NotFound:
                pass  # expired, or deleted by someone: write it anew
            else:
                self._remember(words, before.name, before.count + 1)
                return
        name = f"{about['name'][:230].rstrip('-.')}.{uuid.uuid4().hex[:16]}"
        await self._client.create(
            EVENTS,
            {
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": about,
                "type": words.kind,
                "reason": words.reason,
                "message": words.message,
                "source": {"component": self._component, "host": self._host},
                "reportingComponent": self._component,
                "reportingInstance": self._host,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
            namespace,
        )
        self._remember(words, name, 1)

    def _remember(self, words: _Words, name: str, count: int) -> None:
        self._written[words] = _Written(name, count, self._time())
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
