"""Keys that wait for work, each worked on by one at a time."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

from kvhelm.errors import KvhelmError
from kvhelm.kube.backoff import Backoff

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)


class Timer(Protocol):
    """A call that has been put off."""

    def cancel(self) -> None: ...  # noqa: D102
    def when(self) -> float: ...  # noqa: D102


class Clock(Protocol):
    """What the queue needs of an event loop: its time, in seconds, and to put a call off."""

    def time(self) -> float: ...  # noqa: D102
    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...  # noqa: D102


class WorkQueue(Generic[K]):
    """A queue of keys for a handler that looks up by itself what a key needs.

    A key is in the queue once however often it is added; added while it is worked on, it runs
    again afterwards. Must be made inside a running event loop, and used from it alone.
    """

    def __init__(
        self,
        *,
        backoff: Backoff = Backoff(0.25, 60.0),  # noqa: B008 - it is frozen
        clock: Clock | None = None,
    ) -> None:
        """`backoff` spaces the tries of a key that fails; `clock` is by default the loop's."""
        self._backoff = backoff
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, Timer] = {}
        self._failures: dict[K, int] = {}
        self._working: dict[K, asyncio.Task[None]] = {}
        self._handler: Callable[[K], Awaitable[None]] | None = None
        self._concurrency = 0
        self._draining = False
        self._drained = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait for a free worker."""
        return len(self._ready)

    @property
    def in_flight(self) -> int:
        """How many keys are worked on now."""
        return len(self._working)

    @property
    def put_off(self) -> int:
        """How many keys wait for their time."""
        return len(self._timers)

    def add(self, key: K) -> None:
        """Queue a key now, whatever it was put off to."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._start()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key in `seconds`, unless it is queued already or comes earlier anyway."""
        if key in self._queued or key in self._again or self._draining:
            return
        when = self._clock.time() + seconds
        if timer := self._timers.get(key):
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = self._clock.call_at(when, lambda: self.add(key))

    def retry(self, key: K) -> float:
        """Queue a key after the backoff of its failures in a row, this one included.

        Returns the seconds. A handler calls this, or raises, which does the same.
        """
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        seconds = self._backoff.delay(failures)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """End the key's row of failures; a handler that returns without `retry` does the same."""
        self._failures.pop(key, None)

    async def run(self, handler: Callable[[K], Awaitable[None]], concurrency: int) -> None:
        """Work until `drain`; cancelled, cancel what is in flight.

        What `handler` raises is logged, and its key tried again with backoff.
        """
        self._handler, self._concurrency = handler, concurrency
        self._start()
        try:
            await self._drained.wait()
        finally:
            self._draining = True
            if tasks := list(self._working.values()):
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def drain(self) -> None:
        """Start nothing more, and return when what is in flight has ended."""
        self._draining = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._stop_if_idle()
        await self._drained.wait()

    def _start(self) -> None:
        while self._ready and len(self._working) < self._concurrency and not self._draining:
            key = self._ready.popleft()
            self._queued.discard(key)
            self._working[key] = asyncio.create_task(self._work(key), name=f"work on {key}")

    async def _work(self, key: K) -> None:
        assert self._handler  # noqa: S101 - nothing starts before run()
        failures = self._failures.get(key, 0)
        try:
            await self._handler(key)
        except KvhelmError as e:
            log.warning("%s: %s; again in %.1f s", key, e, self.retry(key))
        except Exception:
            log.exception("%s failed unexpectedly; again in %.1f s", key, self.retry(key))
        else:
            if self._failures.get(key, 0) == failures:
                self.forget(key)
        finally:
            del self._working[key]
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            self._start()
            self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if self._draining and not self._working:
            self._drained.set()
