"""Real nodes for the whole run: kubelets, containers, and the operator in pods of its own.

All of these tests are for one worker, in the order of their files: the nodes share this machine.
"""

import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kvhelm.kube.client import Client
from kvhelm.kube.resource import NAMESPACES
from kvhelm.local.cluster import Cluster, up
from kvhelm.local.operator import NAMESPACE
from kvhelm.local.realnode.client import ensure_client_image
from kvhelm.local.realnode.operator import deploy_operator
from kvhelm.local.realnode.power import inside, load_image
from kvhelm.local.realnode.preflight import problems
from tests.e2e.pools import Pools

NAME = "kvhelm-e2e"


@pytest.fixture(scope="session")
def able(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip, with the reasons, where this machine can't run real nodes."""
    if lacking := list(problems(tmp_path_factory.getbasetemp())):
        pytest.skip("no real nodes on this machine: " + "; ".join(lacking))


@pytest.fixture(scope="session")
def real_cluster(able: None, run_state: Path) -> Cluster:
    """A control plane with two real nodes."""
    cluster = up(NAME, real_nodes=2, state=run_state)
    # As on most machines, which have not loaded br_netfilter: rules see nothing of a bridge.
    unseen = "[ ! -e {0} ] || echo 0 > {0}".format("/proc/sys/net/bridge/bridge-nf-call-iptables")
    for node in cluster.real_nodes:
        subprocess.run([*inside(cluster.place, node), "sh", "-c", unseen], check=True)
    return cluster


@pytest.fixture(scope="session")
def deployed(real_cluster: Cluster) -> None:
    """The operator: its chart, with two replicas that watch every namespace."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    real_cluster.api.create(
        "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}}
    )
    deploy_operator(real_cluster, {"replicas": 2, "allNamespaces": True})


@pytest.fixture(scope="session")
def engines(real_cluster: Cluster) -> None:
    """The image of what uses pools, on both nodes."""
    load_image(real_cluster.place, ensure_client_image())


@pytest.fixture(scope="session")
def run_state() -> Path:
    """The folder of this test run."""
    return Path(os.environ["KVHELM_TEST_STATE"])


@pytest.fixture
async def pools(
    real_cluster: Cluster, deployed: None, engines: None, request: pytest.FixtureRequest
) -> AsyncIterator[Pools]:
    """What a person does with pools on real nodes, in a namespace of the test's own."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[5:40].strip('-')}-{os.urandom(3).hex()}"
    async with await Client.connect(real_cluster.kubeconfig) as client:
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        made = Pools(client, real_cluster, name, "http://etcd-0.etcd:2379")
        yield made
        await made.delete_all()
        await client.delete(NAMESPACES, name)
