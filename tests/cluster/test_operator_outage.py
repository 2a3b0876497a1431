"""The API server goes away under a running operator, and comes back."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import psutil
import pytest

from kvhelm.kube.client import Client
from kvhelm.local.cluster import Cluster, down, up
from kvhelm.local.nodes import Node
from kvhelm.local.operator import install_operator
from tests.cluster.operators import Operator, start_operator
from tests.cluster.stories import Stories
from tests.cluster.test_kube_outage import api_server_stopped, ready

NAME = "operator-outage"


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One of its own: others would miss the API server."""
    yield up(NAME, nodes=(Node("n"),), state=tmp_path)
    down(NAME, state=tmp_path)


@pytest.fixture
def own_operator(own_cluster: Cluster, tmp_path: Path) -> Iterator[Operator]:
    kubeconfig = install_operator(own_cluster)
    operator = start_operator(own_cluster, kubeconfig, tmp_path, "--all-namespaces")
    yield operator
    operator.stop()


@contextmanager
def scheduler_anew(cluster: Cluster) -> Iterator[None]:
    """Start the scheduler anew, as a kubelet does with one that ended.

    It ends by itself when a pod was replaced by another of its name while its watch was broken
    ("Scheduler cache is corrupted", kube-scheduler 1.37), and takes up to a minute otherwise.
    """
    before = psutil.Process(cluster.processes["kube-scheduler"].pid)
    command, environment = before.cmdline(), before.environ()
    before.kill()
    before.wait()
    with cluster.paths.log_of("kube-scheduler").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_an_outage_is_survived(
    own_cluster: Cluster, own_operator: Operator, etcd: str
) -> None:
    async with await Client.connect(own_cluster.kubeconfig) as client:
        stories = Stories(client, own_cluster, "default", etcd)
        await stories.create("p")
        await stories.ready("p")
        before = await stories.objects("p")
        process = psutil.Process(own_operator.process.pid)
        written = len(own_operator.log.read_text().splitlines())
        used, begun = sum(process.cpu_times()[:2]), monotonic()
        with api_server_stopped(own_cluster) as start_again, ExitStack() as stack:
            # Long enough to lose the Lease.
            await own_operator.says("starting over")
            spent, lasted = sum(process.cpu_times()[:2]) - used, monotonic() - begun
            assert spent < lasted / 2, f"{spent:.1f} CPU seconds in {lasted:.0f} s of an outage"
            lines = own_operator.log.read_text().splitlines()[written:]
            told = [line for line in lines if "cannot be reached: Connection re" in line]
            # Refused, or reset where a request was on its way. Once as each of its two lives meets
            # it, whoever else runs into it meanwhile.
            assert 1 <= len(told) <= 2, "\n".join(lines)
            assert len(lines) < 12, "\n".join(lines)

            start_again()
            await ready(client)
            stack.enter_context(scheduler_anew(own_cluster))
            await stories.change("p", cache={"image": "vineyard:2"})
            await stories.ready("p")
            # Nothing was lost, nothing was made twice.
            after = await stories.objects("p")
            assert set(after) - set(before) == {"Secret/sh.helm.release.v1.p.v2"}
            assert set(before) <= set(after)
            assert own_operator.running
            assert "Traceback" not in own_operator.log.read_text()
            own_operator.stop()
