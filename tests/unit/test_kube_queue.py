"""The work queue, on a clock that the tests move."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from kvhelm.errors import KubeError
from kvhelm.kube.backoff import Backoff
from kvhelm.kube.queue import WorkQueue


@dataclass
class Call:
    at: float
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.at


@dataclass
class Clock:
    now: float = 0.0
    calls: list[Call] = field(default_factory=list)
    put_off: asyncio.Queue[float] = field(default_factory=asyncio.Queue)
    """The seconds of each call that was put off."""

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object], /) -> Call:
        call = Call(when, callback)
        self.calls.append(call)
        self.put_off.put_nowait(when - self.now)
        return call

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [call for call in self.calls if call.at <= self.now]
        self.calls = [call for call in self.calls if call.at > self.now]
        for call in sorted(due, key=Call.when):
            if not call.cancelled:
                call.callback()


class Exact(Backoff):
    """A backoff without chance."""

    def delay(self, failures: int) -> float:
        return min(self.cap, self.base * 2.0 ** (failures - 1))


@dataclass
class Worker:
    """A handler whose work takes until the test lets it end."""

    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    ended: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    may_end: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    most: int = 0
    busy: int = 0

    async def __call__(self, key: str) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.begun.put_nowait(key)
        try:
            await self.may_end.acquire()
        finally:
            self.busy -= 1
            self.ended.put_nowait(key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(backoff=Exact(1.0, 60.0), clock=clock)


@asynccontextmanager
async def working(
    queue: WorkQueue[str], handler: Callable[[str], Awaitable[None]], concurrency: int = 1
) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(handler, concurrency))
    async with asyncio.timeout(30):
        yield
        task.cancel()
        await asyncio.wait([task])


async def test_a_key_is_queued_once(queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.add("a")
    queue.add("b")
    assert len(queue) == 2
    worker = Worker()
    async with working(queue, worker):
        assert await worker.begun.get() == "a"
        worker.may_end.release()
        assert await worker.begun.get() == "b"
        assert worker.begun.empty()


async def test_a_key_added_while_it_is_worked_on_runs_again_but_never_twice_at_once(
    queue: WorkQueue[str],
) -> None:
    worker = Worker()
    async with working(queue, worker, concurrency=4):
        queue.add("a")
        await worker.begun.get()
        queue.add("a")
        queue.add("a")
        assert queue.in_flight == 1
        worker.may_end.release()
        assert await worker.begun.get() == "a"
        worker.may_end.release()
        await worker.ended.get()
        await worker.ended.get()
        assert worker.begun.empty()
        assert worker.most == 1


async def test_no_more_than_the_workers_are_busy(queue: WorkQueue[str]) -> None:
    worker = Worker()
    for i in range(10):
        queue.add(str(i))
    async with working(queue, worker, concurrency=3):
        for _ in range(3):
            await worker.begun.get()
        assert (queue.in_flight, len(queue)) == (3, 7)
        for _ in range(10):
            worker.may_end.release()
            await worker.ended.get()
        assert worker.most == 3


async def test_the_earliest_time_wins(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 30)
    queue.add_after("a", 5)
    clock.advance(4.9)
    assert len(queue) == 0
    clock.advance(0.2)
    assert len(queue) == 1
    clock.advance(60)
    assert len(queue) == 1


async def test_an_add_does_not_wait_and_leaves_nothing_behind(
    queue: WorkQueue[str], clock: Clock
) -> None:
    queue.add_after("a", 10)
    queue.add("a")
    assert (len(queue), queue.put_off) == (1, 0)
    queue.add_after("a", 1)  # comes anyway
    assert queue.put_off == 0


async def test_failures_are_retried_ever_later_until_one_success(
    queue: WorkQueue[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: asyncio.Queue[Exception | None] = asyncio.Queue()
    done: asyncio.Queue[str] = asyncio.Queue()

    async def handler(key: str) -> None:
        done.put_nowait(key)
        if error := await outcomes.get():
            raise error

    async with working(queue, handler):
        queue.add("a")
        await done.get()
        for number, error in enumerate([KubeError("no answer"), ValueError("a bug"), OSError()]):
            outcomes.put_nowait(error)
            assert await clock.put_off.get() == pytest.approx(2.0**number)
            clock.advance(2.0**number)
            await done.get()
        outcomes.put_nowait(None)
        queue.add("a")  # after success the row begins anew
        await done.get()
        outcomes.put_nowait(KubeError("once more"))
        assert await clock.put_off.get() == pytest.approx(1.0)
    assert "a: no answer; again in 1.0 s" in caplog.text
    assert "Traceback" in caplog.text  # of the bug alone


async def test_backoff_has_a_cap_and_can_be_forgotten(queue: WorkQueue[str]) -> None:
    assert [queue.retry("a") for _ in range(9)][-3:] == [60.0, 60.0, 60.0]
    queue.forget("a")
    assert queue.retry("a") == 1.0


async def test_drain_finishes_what_is_in_flight_and_starts_nothing(
    queue: WorkQueue[str], clock: Clock
) -> None:
    worker = Worker()
    run = asyncio.create_task(queue.run(worker, 1))
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 1)
    await worker.begun.get()
    drain = asyncio.create_task(queue.drain())
    await asyncio.sleep(0)
    clock.advance(10)
    queue.add("a")
    assert not drain.done()
    worker.may_end.release()
    async with asyncio.timeout(30):
        await drain
        await run
    assert await worker.ended.get() == "a"
    assert worker.begun.empty()


async def test_an_idle_queue_drains_at_once(queue: WorkQueue[str]) -> None:
    run = asyncio.create_task(queue.run(Worker(), 1))
    async with asyncio.timeout(30):
        await queue.drain()
        await run


async def test_cancelled_it_cancels_what_is_in_flight(queue: WorkQueue[str]) -> None:
    worker = Worker()
    run = asyncio.create_task(queue.run(worker, 2))
    queue.add("a")
    queue.add("b")
    await worker.begun.get()
    await worker.begun.get()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert worker.busy == 0
