"""What every part of the benchmark works in: the cluster, its administrator, the pools' kind."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.operators import Operator, start_operator
from kvhelm.errors import KvhelmError
from kvhelm.kube.client import Client
from kvhelm.kube.resource import NAMESPACES
from kvhelm.local.cluster import Cluster, environment


@dataclass(frozen=True)
class Setting:
    """A control plane that is used by nobody else."""

    cluster: Cluster
    client: Client
    """Its administrator."""
    etcd: str | None
    """URL of the user's etcd that the pools share; None if each pool's release brings one."""
    operator_kubeconfig: Path
    ending: AsyncExitStack
    """What has to be stopped at the end."""

    async def start_operator(self) -> Operator:
        """Start an operator; it is stopped at the end at the latest."""
        operator = await start_operator(self.cluster, self.operator_kubeconfig)
        self.ending.push_async_callback(operator.stop)
        return operator

    async def create_namespace(self, name: str) -> None:
        """Create a namespace."""
        await self.client.create(NAMESPACES, {"metadata": {"name": name}})

    async def kubectl(self, verb: str, manifest: str) -> None:
        """Run `kubectl VERB -f -`. Raises KvhelmError with its words."""
        await run([str(self.cluster.kubectl), verb, "-f", "-"], manifest, self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """Variables for kubectl and helm."""
        known = environment(self.cluster, os.environ["PATH"])
        return known | {"HOME": str(self.cluster.paths.directory)}


@asynccontextmanager
async def setting_on(
    cluster: Cluster, operator_kubeconfig: Path, *, etcd: str | None
) -> AsyncIterator[Setting]:
    """Connect to the control plane; operators that were started end with the context."""
    async with (
        await Client.connect(cluster.kubeconfig) as client,
        AsyncExitStack() as ending,
    ):
        yield Setting(cluster, client, etcd, operator_kubeconfig, ending)


async def run(command: list[str], stdin: str, environment: Mapping[str, str]) -> None:
    """Run a program to its end. Raises KvhelmError with its words if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    _, err = await process.communicate(stdin.encode())
    if process.returncode:
        raise KvhelmError(f"{' '.join(command)}: {err.decode().strip()}")
