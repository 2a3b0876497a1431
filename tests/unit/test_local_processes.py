"""Processes that outlive a command: known again, never mistaken, gone when stopped."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvhelm.local.boot import free_ports
from kvhelm.local.processes import Process, alive, memory, spawn, stop

# Prints a line once it is as it shall be, then waits for signals.
OBEDIENT = "print('ready', flush=True)\nimport signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "while True: signal.pause()"
)

Start = Callable[[str], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python program and wait until it says that it is ready."""
    started: list[Process] = []

    def run(program: str) -> Process:
        # A pipe instead of a log file: reading it waits for the line.
        pipe = tmp_path / f"pipe-{len(started)}"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        process = spawn([sys.executable, "-c", program], pipe, {})
        started.append(process)
        with os.fdopen(reader) as lines:
            assert lines.readline() == "ready\n"
        return process

    yield run
    for process in started:
        if alive(process):
            os.kill(process.pid, signal.SIGKILL)
        stop([process], 0)


def test_a_process_is_alive_until_it_is_stopped(start: Start) -> None:
    process = start(OBEDIENT)
    assert alive(process)
    assert memory(process) > 1_000_000
    stop([process], 30)
    assert not alive(process)
    assert memory(process) == 0


def test_a_process_that_ignores_the_request_is_made_to_end(start: Start) -> None:
    process = start(STUBBORN)
    stop([process], 0.05)
    assert not alive(process)


def test_it_has_a_session_of_its_own(start: Start) -> None:
    """Closing the terminal, or Ctrl-C in it, is not for the cluster."""
    process = start(OBEDIENT)
    assert os.getsid(process.pid) == process.pid


def test_a_later_process_of_the_same_number_is_never_touched(start: Start) -> None:
    stranger = start(OBEDIENT)
    former = replace(stranger, started=stranger.started - 1)
    assert not alive(former)
    stop([former], 0)
    assert alive(stranger)


def test_processes_of_an_earlier_boot_are_gone(start: Start) -> None:
    stranger = start(OBEDIENT)
    former = replace(stranger, boot="another")
    assert not alive(former)
    stop([former], 0)
    assert alive(stranger)


def test_a_dead_child_that_nobody_reaped_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", OBEDIENT], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        process = Process(child.pid, int(stat[19]), boot)
        assert alive(process)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(process)
        stop([process], 0)


def test_what_it_says_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of the last time\n")
    process = spawn([sys.executable, "-c", "print('hello')"], log, {})
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(process)
    assert log.read_text() == "of the last time\nhello\n"


def test_files_of_the_parent_are_not_inherited(tmp_path: Path) -> None:
    """A lock that a script holds while it runs `up` must not be held by the cluster for ever."""
    inherited = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)
    log = tmp_path / "log"
    try:
        process = spawn(
            [sys.executable, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))"], log, {}
        )
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        os.close(inherited)
    # Standard input, output and error, and the folder that is being listed.
    assert log.read_text() == "['0', '1', '2', '3']\n"
    assert not alive(process)


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = free_ports()
    assert len(set(ports.all)) == 5
    for port in ports.all:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
