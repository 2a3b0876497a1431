"""Operators as processes: started, asked over HTTP, stopped."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from kvhelm.local.cluster import Cluster
from kvhelm.local.operator import operator_command
from kvhelm.local.processes import Process, alive, spawn, stop

_START = 30.0
"""Seconds until an operator must be ready."""


@dataclass(frozen=True)
class Operator:
    """A `kvhelm run` process."""

    process: Process
    port: int
    log: Path

    @classmethod
    def read(cls, folder: Path) -> "Operator | None":
        """Return the operator that another worker started."""
        path = folder / "operator.json"
        if not path.exists():
            return None
        data = json.loads(path.read_text())
        return cls(Process(**data["process"]), data["port"], Path(data["log"]))

    def write(self, folder: Path) -> None:
        """Let other workers find it."""
        data = {"process": asdict(self.process), "port": self.port, "log": str(self.log)}
        part = folder / "operator.json.part"
        part.write_text(json.dumps(data))
        part.replace(folder / "operator.json")

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return alive(self.process)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        """End it as a kubelet would: TERM, then KILL."""
        stop([self.process], grace=30)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its HTTP endpoints."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels; 0 if there is none."""
        lines = self.get("/metrics")[1].splitlines()
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name
        ]
        return sum(values)


def start_operator(cluster: Cluster, kubeconfig: Path, folder: Path, *options: str) -> Operator:
    """Start an operator and return it when it is ready (its caches are filled)."""
    log = folder / f"operator-{os.urandom(3).hex()}.log"
    # Port 0 lets the system choose; the log says which.
    command = operator_command(kubeconfig, cluster, "--listen", "127.0.0.1:0", *options)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = spawn(command, log, environment)
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and alive(process):
        port = _port(log.read_text())
        if port:
            operator = Operator(process, port, log)
            if operator.get("/readyz")[0] == 200:
                return operator
        time.sleep(0.05)  # a process that starts tells nobody else
    stop([process], grace=1)
    raise AssertionError(f"the operator did not start:\n{log.read_text()}")


def _port(log: str) -> int | None:
    words = log.partition("HTTP on port ")[2].split(maxsplit=1)
    return int(words[0]) if words else None
