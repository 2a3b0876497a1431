"""The operator as a process: who leads, how it ends, what it costs and tells."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from kvhelm.controller.watches import POOLS
from kvhelm.kube.resource import CONFIG_MAPS, LEASES, SECRETS, Object
from kvhelm.local.operator import NAMESPACE
from tests.cluster.operators import Operator, may
from tests.cluster.stories import Stories

Start = Callable[..., Operator]


async def test_a_standby_takes_over(alone: Stories, start: Start) -> None:
    name = "pair"
    first = start(alone.namespace, release=name)
    await first.reaches("kvhelm_leader", 1)
    second = start(alone.namespace, release=name)
    assert second.get("/readyz") == (200, "ok\n")
    assert second.metric("kvhelm_leader") == 0
    await alone.create("p")
    await alone.ready("p")
    assert second.helm_processes == 0

    lease = await alone.client.get(LEASES, name, NAMESPACE)
    holder = lease["spec"]["holderIdentity"]
    first.signal(signal.SIGTERM)
    freed = await alone.wait(
        LEASES,
        name,
        lambda it: it["spec"].get("holderIdentity") != holder,
        "to be given back",
        namespace=NAMESPACE,
    )
    # Given back, not run out: that would take 15 seconds and show no empty holder.
    assert not freed["spec"].get("holderIdentity")
    assert await asyncio.to_thread(first.exit_code) == 0
    await second.reaches("kvhelm_leader", 1)
    await alone.change("p", cache={"image": "vineyard:2"})
    await alone.ready("p")
    assert second.helm_processes == 1


class SlowHelm:
    """A helm whose upgrades begin only when the test lets them."""

    def __init__(self, folder: Path, helm: Path) -> None:
        self.path = folder / "slow-helm"
        self._begun, self._go = folder / "begun", folder / "go"
        os.mkfifo(self._begun)
        os.mkfifo(self._go)
        self.path.write_text(
            f'#!/bin/sh\nif [ "$1" = upgrade ]; then\n  echo > {self._begun}\n'
            f'  read line < {self._go}\nfi\nexec {helm} "$@"\n'
        )
        self.path.chmod(0o755)

    async def begun(self) -> None:
        """Wait until an upgrade was started."""
        await asyncio.to_thread(self._begun.read_text)

    async def go(self) -> None:
        """Let it do its work."""
        await asyncio.to_thread(self._go.write_text, "\n")


async def test_a_helm_in_flight_is_waited_for(alone: Stories, start: Start, tmp_path: Path) -> None:
    helm = SlowHelm(tmp_path, alone.cluster.helm)
    operator = start(alone.namespace, "--helm", str(helm.path))
    await alone.create("p")
    await helm.begun()
    operator.signal(signal.SIGTERM)
    await operator.says("1 pools in flight")
    await helm.go()
    assert await asyncio.to_thread(operator.exit_code) == 0
    status = await alone.helm("status", "p", "--output", "json")
    assert '"status":"deployed"' in status
    # The next one finds it done.
    again = start(alone.namespace)
    await alone.ready("p")
    assert again.helm_processes == 0


async def test_no_secret_is_told(alone: Stories, start: Start, tmp_path: Path) -> None:
    helm = SlowHelm(tmp_path, alone.cluster.helm)
    operator = start(alone.namespace, "--helm", str(helm.path), "--log-level", "debug")
    (token_file,) = alone.cluster.paths.directory.glob(f"operator-{operator.release}.token")
    token = token_file.read_text()
    await alone.create("p")
    await helm.begun()
    process = psutil.Process(operator.process.pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) > 1
    assert token not in "".join(word for each in family for word in each.cmdline())
    assert token not in "".join(word for each in family for word in each.environ().values())
    await helm.go()
    await alone.ready("p")
    assert token not in operator.log.read_text()
    assert token not in await alone.kubectl("get", "kvcp", "p", "--output", "yaml")
    assert token not in await alone.helm("get", "all", "p")
    assert token not in operator.get("/metrics")[1]


async def test_endpoints(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await operator.reaches("kvhelm_leader", 1)
    assert operator.get("/healthz") == (200, "ok\n")
    assert operator.get("/readyz")[0] == 200
    await alone.create("p")
    await alone.ready("p")
    await operator.reaches("kvhelm_pools", 1, ready="True", reason="PoolReady")
    assert operator.metric("kvhelm_helm_duration_seconds_count", verb="upgrade") == 1
    connected = operator.samples("kvhelm_watch_connected")
    assert {sample.labels["resource"] for sample in connected} >= {"kvcachepools", "pods"}
    assert all(sample.value == 1 for sample in connected)
    for name in ("kvhelm_helm_cpu_seconds_total", "kvhelm_helm_peak_memory_bytes"):
        assert operator.metric(name) > 0


async def test_other_namespaces_are_left_alone(alone: Stories, start: Start) -> None:
    elsewhere = Stories(alone.client, alone.cluster, "default", alone.etcd)
    name = f"theirs-{os.urandom(3).hex()}"
    await elsewhere.create(name)
    try:
        operator = start(alone.namespace)
        await alone.create("p")
        await alone.ready("p")
        pool = await elsewhere.get(name)
        assert "status" not in pool
        assert "finalizers" not in pool["metadata"]
        assert not await may(alone.client, operator.release, "list", "secrets", "default")
        assert not await may(alone.client, operator.release, "list", "pods", "default")
        assert await may(alone.client, operator.release, "list", "secrets", alone.namespace)
        assert "forbidden" not in operator.log.read_text().lower()
    finally:
        await alone.client.delete(POOLS, name, "default")


def requests(operator: Operator) -> Counter[tuple[str, str]]:
    """Return how often an operator asked for what, apart from the Lease."""
    return Counter(
        {
            (it.labels["verb"], it.labels["resource"]): int(it.value)
            for it in operator.samples("kvhelm_api_requests_total")
            if it.labels["resource"] != LEASES.plural
        }
    )


def _says_new(pools: int, obj: Object) -> bool:
    return bool(obj["data"]["new"] == str(pools))


async def restarted(alone: Stories, start: Start, before: Operator, pools: int) -> Operator:
    """Return a new operator in place of another, once it has looked at every pool."""
    name = f"{before.release}-chart-rollout"
    said = partial(_says_new, pools)
    await alone.wait(CONFIG_MAPS, name, said, "to count the pools", NAMESPACE)
    before.stop()
    operator = start(alone.namespace, release=before.release)
    await operator.reaches("kvhelm_reconcile_duration_seconds_count", pools, step="Nothing")
    await operator.idles()
    await operator.reaches("kvhelm_api_requests_total", 1, verb="get", resource="configmaps")
    return operator


async def test_a_restart_costs_nothing(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p0", metadata=None)
    await alone.ready("p0")
    first = await restarted(alone, start, operator, 1)
    cost = requests(first)
    assert first.helm_processes == 0

    names = [f"p{number}" for number in range(1, 5)]
    for name in names:
        await alone.create(name)
    for name in names:
        await alone.ready(name)
    await first.idles()
    pools = {
        it["metadata"]["name"]: it for it in (await alone.client.list(POOLS, alone.namespace)).items
    }
    objects = {name: await alone.objects(name) for name in ["p0", *names]}
    secrets = (await alone.client.list(SECRETS, alone.namespace)).items

    second = await restarted(alone, start, first, 5)
    assert second.helm_processes == 0
    assert requests(second) == cost, "a restart must not ask more for more pools"
    assert {verb for verb, _ in requests(second)} <= {"list", "watch", "get"}
    after = {
        it["metadata"]["name"]: it for it in (await alone.client.list(POOLS, alone.namespace)).items
    }
    assert {name: after[name] for name in objects} == {name: pools[name] for name in objects}
    assert {name: await alone.objects(name) for name in objects} == objects
    assert (await alone.client.list(SECRETS, alone.namespace)).items == secrets
