"""Operators as processes: started, asked over HTTP, stopped."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from kvhelm.kube.client import Client
from kvhelm.kube.resource import Resource
from kvhelm.local.cluster import Cluster
from kvhelm.local.operator import NAMESPACE, operator_command
from kvhelm.local.processes import Process, alive, spawn, stop

_START = 120.0
"""Seconds until an operator must be ready, or do what it is waited for."""

_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)


@dataclass(frozen=True)
class Operator:
    """A `kvhelm run` process."""

    process: Process
    port: int
    log: Path
    release: str = "kvhelm"
    """Name of its own release, its ServiceAccount and its Lease."""

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

    def exit_code(self) -> int:
        """Wait until it ended (it must be a child of this process) and return its exit code."""
        ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        return ended.si_status if ended else 0

    def stop(self) -> None:
        """End it as a kubelet would: TERM, then KILL."""
        stop([self.process], grace=30)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its HTTP endpoints."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self, name: str) -> list[Sample]:
        """Return the samples of that name, each with its labels."""
        return [
            sample
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == name
        ]

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the samples that have these labels; 0 without any."""
        return sum(
            sample.value for sample in self.samples(name) if labels.items() <= sample.labels.items()
        )

    @property
    def helm_processes(self) -> int:
        """How many helm processes it has run that changed, or meant to change, a release."""
        return int(self.metric("kvhelm_helm_duration_seconds_count"))

    async def reaches(self, name: str, value: float, **labels: str) -> None:
        """Wait until a metric is at least `value`."""
        await _until(lambda: self.metric(name, **labels) >= value, f"{name}{labels} >= {value}")

    async def idles(self) -> None:
        """Wait until it has nothing to do."""
        await _until(
            lambda: (
                self.metric("kvhelm_queue", state="waiting") == 0
                and self.metric("kvhelm_queue", state="in_flight") == 0
            ),
            "an idle operator",
        )

    async def says(self, words: str) -> None:
        """Wait until its log has these words."""
        await _until(lambda: words in self.log.read_text(), f"{words!r} in the log")


async def _until(holds: Callable[[], bool], what: str) -> None:
    """Ask until it holds: neither a metric nor a log tells anybody that it changed."""
    try:
        async with asyncio.timeout(_START):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited for {what}") from None


async def may(client: Client, account: str, verb: str, resource: str, namespace: str) -> bool:
    """Tell whether an operator's ServiceAccount has a right; in all namespaces if that is empty.

    `resource` is written as in `kubectl auth can-i`: pods/exec, roles.rbac.authorization.k8s.io.
    """
    name, _, subresource = resource.partition("/")
    plural, _, group = name.partition(".")
    asked = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
    }
    review = {
        "metadata": {},
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": asked,
        },
    }
    return bool((await client.create(_ACCESS_REVIEWS, review))["status"]["allowed"])


def start_operator(
    cluster: Cluster, kubeconfig: Path, folder: Path, *options: str, release: str = "kvhelm"
) -> Operator:
    """Start an operator and return it when it is ready (its caches are filled)."""
    log = folder / f"operator-{os.urandom(3).hex()}.log"
    # Port 0 lets the system choose; the log says which.
    command = operator_command(
        kubeconfig,
        cluster,
        *("--listen", "127.0.0.1:0", "--lease-name", release),
        # The etcd of the tests is there.
        *("--allow-endpoint", "127.0.0.0/8", *options),
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = spawn(command, log, environment)
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and alive(process):
        port = _port(log.read_text())
        if port:
            operator = Operator(process, port, log, release)
            if operator.get("/readyz")[0] == 200:
                return operator
        time.sleep(0.05)  # a process that starts tells nobody else
    stop([process], grace=1)
    raise AssertionError(f"the operator did not start:\n{log.read_text()}")


def _port(log: str) -> int | None:
    words = log.partition("HTTP on port ")[2].split(maxsplit=1)
    return int(words[0]) if words else None
