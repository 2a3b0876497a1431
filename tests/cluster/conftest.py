"""One control plane for the whole run, one operator on it, a namespace for each test.

The first test that asks starts them (under a lock, for all pytest-xdist workers); the run's end
stops them (tests/conftest.py). The operator runs as the ServiceAccount that deploy/ gives it.
"""

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from kvhelm.kube.client import Client
from kvhelm.kube.resource import NAMESPACES
from kvhelm.local.cluster import Cluster, up
from kvhelm.local.lock import locked
from kvhelm.local.operator import install_operator
from kvhelm.local.progress import SILENT
from tests.cluster.operators import Operator, start_operator
from tests.cluster.stories import Stories

SHARED = "kvhelm-tests"


@pytest.fixture(scope="session")
def run_state() -> Path:
    """The folder of this test run, the same for all of its workers."""
    return Path(os.environ["KVHELM_TEST_STATE"])


@pytest.fixture(scope="session")
def cluster(run_state: Path) -> Cluster:
    """The control plane that the whole run shares."""
    return up(SHARED, state=run_state)


@pytest.fixture(scope="session")
def operator(cluster: Cluster, run_state: Path) -> Operator:
    """The operator that watches all namespaces."""
    with locked(run_state / "operator.lock", SILENT):
        found = Operator.read(run_state)
        if found is None:
            kubeconfig = install_operator(cluster)
            found = start_operator(cluster, kubeconfig, run_state, "--all-namespaces")
            found.write(run_state)
    return found


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    """The API server as its administrator."""
    async with await Client.connect(cluster.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def namespace(client: Client, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace of the test's own, deleted at its end (which deletes its pools)."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:40].strip('-')}-{os.urandom(3).hex()}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES, name)


@pytest.fixture
async def stories(
    client: Client, cluster: Cluster, operator: Operator, namespace: str
) -> AsyncIterator[Stories]:
    """What a person does with pools in a namespace that the shared operator watches."""
    made = Stories(client, cluster, namespace)
    yield made
    # Pools end before their namespace does: the shared operator must not be left with finalizers.
    await made.delete_all()


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Start further operators, each as a ServiceAccount for its own namespaces; stopped at the end.

    start(namespace, *options, release=...) -> Operator
    """
    with contextlib.ExitStack() as stack:

        def start_one(namespace: str, *options: str, release: str | None = None) -> Operator:
            name = release or f"op-{os.urandom(3).hex()}"
            kubeconfig = install_operator(cluster, release=name, namespaces=[namespace])
            started = start_operator(
                cluster,
                kubeconfig,
                tmp_path,
                *("--namespace", namespace, "--lease-name", name, *options),
            )
            stack.callback(started.stop)
            return started

        yield start_one
