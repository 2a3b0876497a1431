"""Long-lived processes that survive the command which started them, and are stopped by another.

Linux only, like kvhelm itself: a pid is told from a later process of the same number by /proc,
to the clock tick and whatever the wall clock does; signals go through a pidfd.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of one boot of this machine."""

    pid: int
    started: int  # clock ticks since the boot
    boot: str


# Children of this very process: whoever started them has to reap them.
_children: dict[int, "subprocess.Popen[bytes]"] = {}


def spawn(arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> Process:
    """Start a process in a session of its own, with everything it says appended to `log`.

    Raises OSError when the program can't be executed.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    _children[child.pid] = child
    # Not reaped yet, so /proc has it even if it is dead already.
    return process_of(child.pid)


def process_of(pid: int) -> Process:
    """Return what tells the process that has this number now from all others."""
    return Process(pid, _started(pid) or 0, _boot())


def alive(process: Process) -> bool:
    """Tell whether this very process still runs."""
    _reap(process.pid)
    return process.boot == _boot() and _started(process.pid) == process.started


def memory(process: Process) -> int:
    """Return the resident memory in bytes; 0 if the process has gone."""
    try:
        status = (_PROC / str(process.pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def stop(processes: Iterable[Process], grace: float) -> None:
    """Ask the processes to end, wait `grace` seconds, then make them; return when all have gone."""
    ending = [process for process in processes if send(process, signal.SIGTERM)]
    deadline = time.monotonic() + grace
    for process in ending:
        if not _gone_by(process, deadline):
            send(process, signal.SIGKILL)
    for process in ending:
        _gone_by(process, None)


def send(process: Process, number: signal.Signals) -> bool:
    """Signal this very process; tell whether it was there."""
    with _handle(process) as handle:
        if handle is None:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return True


def _gone_by(process: Process, deadline: float | None) -> bool:
    """Wait for the process to end, until a time of the monotonic clock; tell whether it did."""
    with _handle(process) as handle:
        if handle is None:
            return True
        # A pidfd can be read once its process has ended.
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ended = bool(poll.poll(left))
    _reap(process.pid)
    return ended


@contextmanager
def _handle(process: Process) -> Iterator[int | None]:
    """Open a handle that means this very process, or None if it has gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Looked up after the handle was opened: the number can't be handed on any more.
        yield handle if alive(process) else None
    finally:
        os.close(handle)


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None if it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): the name in brackets may hold anything; state is field 3, starttime field 22.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
