"""Two control planes for the whole run, a namespace for each test.

The first test that asks starts them (under a lock, for all pytest-xdist workers); the run's end
stops them (tests/conftest.py). One has an operator that all of its tests share, as the
ServiceAccount that deploy/ gives it. The other has none: tests that count what an operator does,
or break it, start their own there.
"""

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from kvhelm.local.cluster import Cluster, up
from kvhelm.local.lock import locked
from kvhelm.local.operator import install_operator
from kvhelm.local.plain_etcd import ensure_etcd
from kvhelm.local.progress import SILENT
from tests.cluster.operators import Operator, start_operator
from tests.cluster.stories import Stories, condition

SHARED = "kvhelm-tests"
QUIET = "kvhelm-quiet"
CRD = "kvcachepools.kvcache.aibrix.ai"


@pytest.fixture(scope="session")
def run_state() -> Path:
    """The folder of this test run, the same for all of its workers."""
    return Path(os.environ["KVHELM_TEST_STATE"])


@pytest.fixture(scope="session")
def etcd(run_state: Path) -> str:
    """Client URL of an etcd of the user's own, which pools share."""
    return ensure_etcd(run_state)


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
    """The shared API server as its administrator."""
    async with await Client.connect(cluster.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def namespace(client: Client, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A namespace of the test's own on the shared control plane, deleted at its end."""
    async with _own_namespace(client, request) as name:
        yield name


@pytest.fixture
async def stories(
    client: Client, cluster: Cluster, operator: Operator, namespace: str, etcd: str
) -> AsyncIterator[Stories]:
    """What a person does with pools in a namespace that the shared operator watches."""
    made = Stories(client, cluster, namespace, etcd)
    yield made
    # Pools end before their namespace does: the shared operator must not be left with finalizers.
    await made.delete_all()
    log = operator.log.read_text()
    assert operator.running, log[-4000:]
    assert "Traceback" not in log, log[log.index("Traceback") :][:4000]
    assert "is forbidden: User" not in log, "the operator asked for what deploy/ does not grant"


@pytest.fixture(scope="session")
def quiet_cluster(run_state: Path) -> Cluster:
    """A control plane where no operator runs but those that a test starts."""
    quiet = up(QUIET, state=run_state)
    with locked(run_state / "quiet.lock", SILENT):
        if quiet.api.get(CUSTOM_RESOURCE_DEFINITIONS.path(name=CRD)) is None:
            install_operator(quiet)  # for the CRD; nobody runs as this one
    return quiet


@pytest.fixture
async def quiet_client(quiet_cluster: Cluster) -> AsyncIterator[Client]:
    """The quiet API server as its administrator."""
    async with await Client.connect(quiet_cluster.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def alone(
    quiet_client: Client, quiet_cluster: Cluster, etcd: str, request: pytest.FixtureRequest
) -> AsyncIterator[Stories]:
    """What a person does with pools in a namespace that no operator watches yet."""
    async with _own_namespace(quiet_client, request) as name:
        made = Stories(quiet_client, quiet_cluster, name, etcd)
        await made.wait(
            CUSTOM_RESOURCE_DEFINITIONS,
            CRD,
            lambda crd: condition(crd, "Established")["status"] == "True",
            "to be served",
        )
        yield made
        await made.release_all()


@pytest.fixture
def start(quiet_cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Start operators on the quiet control plane, each as a ServiceAccount for one namespace.

    start(namespace, *options, release=...) -> Operator; stopped at the test's end.
    """
    with contextlib.ExitStack() as stack:

        def start_one(namespace: str, *options: str, release: str | None = None) -> Operator:
            name = release or f"op-{os.urandom(3).hex()}"
            kubeconfig = install_operator(quiet_cluster, release=name, namespaces=[namespace])
            started = start_operator(
                quiet_cluster,
                kubeconfig,
                tmp_path,
                *("--namespace", namespace, *options),
                release=name,
            )
            stack.callback(started.stop)
            return started

        yield start_one


@contextlib.asynccontextmanager
async def _own_namespace(client: Client, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    name = f"{words[:40].strip('-')}-{os.urandom(3).hex()}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    with contextlib.suppress(NotFound):  # the test may have deleted it
        await client.delete(NAMESPACES, name)
