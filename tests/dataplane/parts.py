"""Real processes of the data plane: started, stopped, stalled, killed and wiped by tests."""

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

from kvhelm.local.tools import ensure_tools
from kvhelm.metadata.dial import endpoint_in
from kvhelm.metadata.etcd.client import EtcdEndpoint
from kvhelm.metadata.findings import ServiceFailed
from kvhelm.metadata.policy import DialPolicy
from kvhelm.metadata.service import Members, MetadataService
from tests.chart.rendering import Rendered
from tests.dataplane.install import ensure_installed

HOST = "127.0.0.1"
LOOPBACK = DialPolicy.of(allow=["127.0.0.0/8"])
# Seconds; ends a test that would hang, and is never what a test measures. (Where many tests share
# two cores, importing vineyard alone may take 20.)
PATIENCE = 180.0

Value = TypeVar("Value")


async def until(look: Callable[[], Awaitable[Value]], patience: float = PATIENCE) -> Value:
    """Look again and again until there is something to see, and return it."""
    async with asyncio.timeout(patience):
        while not (value := await look()):  # noqa: ASYNC110 - what is looked at sends no event
            await asyncio.sleep(0.05)
        return value


def _own_ports() -> Iterator[int]:
    """Go round the ports that are this worker's alone.

    They lie below those that the kernel gives to connections, as a server that is started again
    would find its port taken; and so do those 10,000 above, which a redis in cluster mode takes.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + worker, 22_768, 16)
    return cycle([*ports[(begin := random.randrange(len(ports))) :], *ports[:begin]])


_PORTS = _own_ports()


def free_port() -> int:
    """Return a port that nobody listens on, nor will; 0.0.0.0, since vineyardd listens there."""
    while True:
        port = next(_PORTS)
        with socket.socket() as chosen, suppress(OSError):
            chosen.bind(("0.0.0.0", port))
            return port


@dataclass
class Part:
    """One process, started again with the same arguments if asked."""

    arguments: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                # Ends with the run, however that ends.
                ["setpriv", "--pdeathsig", "KILL", *(str(each) for each in self.arguments)],
                env={"PATH": os.environ["PATH"], **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.running:
            self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    async def ended(self) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        process = self.process
        assert process

        async def code() -> tuple[int, ...]:
            found = process.poll()
            return () if found is None else (found,)

        return (await until(code))[0]

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


async def listening(part: Part, port: int, host: str = HOST) -> None:
    """Wait until a part that was started accepts connections."""

    async def listens() -> bool:
        assert part.running, f"{part.arguments[0]} ended:\n{part.said[-6000:]}"
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        writer.close()
        return True

    await until(listens)


async def registered(service: MetadataService, prefix: str, daemons: int = 1) -> Members:
    """Wait until so many daemons have registered under a prefix."""

    async def all_there() -> Members | None:
        members = await service.members(prefix)
        return members if members and len(members.members) == daemons else None

    members = await until(all_there)
    assert members
    return members


@dataclass
class Etcd(Part):
    """One member of an etcd."""

    port: int = 0
    data: Path = Path()
    host: str = HOST

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def serve(self) -> None:
        """Start it and wait until it answers; the first time it needs a majority for that."""
        self.start()
        endpoint = EtcdEndpoint(endpoint_in(self.url), LOOPBACK, timeout=1.0)

        async def answers() -> bool:
            assert self.running, self.said[-3000:]
            with suppress(ServiceFailed):
                return bool((await endpoint.status()).version)
            return False

        await until(answers)
        await endpoint.close()

    async def wipe(self) -> None:
        """Lose all data, as an etcd without a volume does when its pod is replaced."""
        self.kill()
        shutil.rmtree(self.data)
        await self.serve()


def etcd_members(
    folder: Path,
    members: int = 1,
    *,
    advertise: Sequence[str] = (),
    more: Sequence[str] = (),
    program: Path | None = None,
) -> list[Etcd]:
    """Make the members of one cluster; `advertise` has their client URLs if they are not true."""
    folder.mkdir(parents=True, exist_ok=True)
    clients = [free_port() for _ in range(members)]
    peers = [f"http://{HOST}:{free_port()}" for _ in range(members)]
    cluster = ",".join(f"m{n}={url}" for n, url in enumerate(peers))
    return [
        Etcd(
            [
                program or ensure_tools().etcd,
                f"--name=m{n}",
                f"--data-dir={folder}/m{n}",
                f"--listen-client-urls=http://127.0.0.1:{port},http://127.0.0.2:{port}",
                f"--advertise-client-urls={advertise[n] if advertise else f'http://{HOST}:{port}'}",
                f"--listen-peer-urls={peers[n]}",
                f"--initial-advertise-peer-urls={peers[n]}",
                f"--initial-cluster={cluster}",
                f"--initial-cluster-token={folder}",
                "--unsafe-no-fsync",
                *more,
            ],
            folder / f"m{n}.log",
            port=port,
            data=folder / f"m{n}",
        )
        for n, port in enumerate(clients)
    ]


@dataclass
class Redis(Part):
    """A redis-server."""

    port: int = 0
    host: str = HOST

    async def serve(self) -> None:
        """Start it and wait for its port."""
        self.start()
        await listening(self, self.port, self.host)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"


def redis_server(folder: Path, *more: str) -> Redis:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    program = ensure_installed().redis_server
    own = ("--port", str(port), "--bind", HOST, "--dir", str(folder), "--save", "")
    return Redis([program, *own, *more], folder / "redis.log", port=port)


@dataclass
class Vineyardd(Part):
    """A daemon, as its pod would run it."""

    port: int = 0
    socket: Path = Path()

    async def serve(self) -> None:
        """Start it and wait until it has joined its pool.

        Its port opens up to 0.2 s before that (measured with both cores busy); of two daemons that
        join at the same moment one may die, which a kubelet would start again.
        """
        before = len(self.said) if self.log.exists() else 0
        self.start()
        await listening(self, self.port)

        async def joined() -> bool:
            assert self.running, f"vineyardd ended:\n{self.said[-6000:]}"
            return f":{self.port} for RPC" in self.said[before:]

        await until(joined)

    def client(self, script: str, *arguments: str) -> str:
        """Run Python beside the daemon with a connected `client`; return what it prints."""
        prelude = f"import sys, vineyard\nclient = vineyard.connect({str(self.socket)!r})\n"
        done = subprocess.run(
            [ensure_installed().python, "-c", prelude + script, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def vineyardd(folder: Path, rendered: Rendered, pod: str) -> Vineyardd:
    """Make the daemon of one pod with exactly what the chart renders."""
    fields = {"status.podIP": HOST, "spec.nodeName": f"node-of-{pod}", "metadata.name": pod}
    return daemon_of(rendered.vineyardd, folder / pod, fields)


def daemon_of(container: Mapping[str, Any], folder: Path, fields: Mapping[str, str]) -> Vineyardd:
    """Make the daemon that a container's command and environment say.

    Replaced is only what belongs to a pod of its own: the folder of the socket, the port (all share
    this machine's), and the fields of the pod that Kubernetes would fill in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, path = free_port(), folder / "vineyard.sock"
    of_the_pod = {
        "--socket=/var/run/vineyard.sock": f"--socket={path}",
        "--rpc_socket_port=9600": f"--rpc_socket_port={port}",
    }
    assert container["command"] == ["vineyardd"]
    assert set(of_the_pod) <= set(container["args"])
    arguments = [of_the_pod.get(each, each) for each in container["args"]]
    environment = {
        each["name"]: each["value"]
        if "value" in each
        else fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        for each in container["env"]
    }
    program = ensure_installed().vineyardd
    return Vineyardd([program, *arguments], folder / "log", environment, port=port, socket=path)
