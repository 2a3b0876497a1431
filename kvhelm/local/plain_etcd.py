"""An etcd as a user brings it, beside a local cluster: plain, on loopback, for pools to share."""

import json
import os
import socket
import time
from dataclasses import asdict
from pathlib import Path

from kvhelm.errors import LocalError
from kvhelm.local.lock import locked
from kvhelm.local.processes import Process, alive, spawn, stop
from kvhelm.local.progress import SILENT
from kvhelm.local.tools import ensure_tools

_START = 30.0
"""Seconds until an etcd must listen."""


def ensure_etcd(folder: Path) -> str:
    """Return the client URL of the etcd in `folder`; the first who asks starts it.

    Raises LocalError with its log's tail when it does not start.
    """
    with locked(folder / "etcd.lock", SILENT):
        record = folder / "etcd.json"
        if not record.exists():
            url, process = _start(folder)
            part = record.with_suffix(".part")
            part.write_text(json.dumps({"url": url, "process": asdict(process)}))
            part.replace(record)
        return str(json.loads(record.read_text())["url"])


def stop_etcd(folder: Path) -> None:
    """Stop the etcd in `folder`, if one was started there."""
    record = folder / "etcd.json"
    if record.exists():
        stop([Process(**json.loads(record.read_text())["process"])], grace=10)


def _start(folder: Path) -> tuple[str, Process]:
    client, peer = _free_ports()
    url = f"http://127.0.0.1:{client}"
    log = folder / "etcd.log"
    process = spawn(
        [
            ensure_tools(SILENT).etcd,
            *("--data-dir", folder / "etcd-data", "--unsafe-no-fsync"),
            *("--listen-client-urls", url, "--advertise-client-urls", url),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
        ],
        log,
        {"PATH": os.environ["PATH"]},
    )
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and alive(process):
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", client)) == 0:
                return url, process
        time.sleep(0.05)  # a process that starts tells nobody else
    stop([process], grace=1)
    raise LocalError(f"the etcd did not start:\n{log.read_text()[-2000:]}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
