"""The operator's process: what it is made of, how it starts, leads and stops."""

import asyncio
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from kvhelm.controller.act import Actor
from kvhelm.controller.http import serving
from kvhelm.controller.metrics import Metrics
from kvhelm.controller.observe import Observer
from kvhelm.controller.pool import PoolKey
from kvhelm.controller.reconcile import Reconciler
from kvhelm.controller.rollout import Rollout
from kvhelm.controller.services import Services
from kvhelm.controller.settings import Settings
from kvhelm.errors import KubeError
from kvhelm.helm.chart import Chart, load_chart
from kvhelm.helm.client import Helm
from kvhelm.kube.client import Client
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.lease import LeaderElection
from kvhelm.kube.queue import WorkQueue

log = logging.getLogger(__name__)

_CONCURRENCY = 64
"""Pools worked on at a time: far more than helm processes, so that a scale never queues for one."""


class _LeaseLost(KubeError):
    """The API server was away for too long, or another took the Lease."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run the operator until `stop` is set: helm processes in flight end first.

    Whoever loses the Lease stands by again, with nothing remembered. Raises KvhelmError when it
    can't start (no chart, no configuration).
    """
    chart = load_chart(settings.chart)
    while not stop.is_set():
        try:
            await _run_until_lost(settings, chart, stop)
        except _LeaseLost as error:
            log.error("%s; starting over", error)


async def _run_until_lost(settings: Settings, chart: Chart, stop: asyncio.Event) -> None:
    metrics = Metrics()
    queue: WorkQueue[PoolKey] = WorkQueue()

    def changed(keys: Iterable[PoolKey]) -> None:
        for key in keys:
            queue.add(key)

    async with AsyncExitStack() as stack:
        client = await Client.connect(settings.kubeconfig, settings.context)
        await stack.enter_async_context(client)
        services = Services(settings.dial, changed)
        stack.push_async_callback(services.close)
        observer = Observer(client, settings.namespaces, settings.defaults, changed, services)
        await stack.enter_async_context(observer.watching())
        rollout = Rollout(settings.waves, chart, observer.count, changed)
        metrics.watch(client, observer, queue, rollout)
        synced = asyncio.create_task(observer.synced(), name="wait for the caches")
        port = await stack.enter_async_context(
            serving(
                settings.listen,
                metrics.registry,
                lambda: "" if synced.done() else "the caches are not filled yet",
            )
        )
        where = ", ".join(settings.namespaces) or "all namespaces"
        log.info("watching %s; chart %s; HTTP on port %d", where, chart.reference, port)
        if shutil.which(settings.helm) is None:
            log.warning("helm is not there (%s): pools wait until it is", settings.helm)
        events = await stack.enter_async_context(EventRecorder(client, "kvhelm"))
        helm = Helm(
            settings.helm,
            settings.helm_processes,
            settings.helm_deadline,
            _helm_environment(settings) | {"KUBECACHEDIR": stack.enter_context(_memory_folder())},
            metrics.helm_ended,
        )
        actor = Actor(client, helm, chart, observer, events, services)
        reconciler = Reconciler(observer, actor, queue, metrics, rollout)
        await _lead(settings, stop, client, synced, queue, reconciler, rollout, metrics)


async def _lead(
    settings: Settings,
    stop: asyncio.Event,
    client: Client,
    synced: "asyncio.Task[None]",
    queue: WorkQueue[PoolKey],
    reconciler: Reconciler,
    rollout: Rollout,
    metrics: Metrics,
) -> None:
    election = LeaderElection(client, settings.lease_namespace, settings.lease_name)
    stopped = asyncio.create_task(stop.wait(), name="wait for the signal to stop")
    entering = asyncio.create_task(election.__aenter__(), name="wait to lead")
    await asyncio.wait([stopped, entering], return_when=asyncio.FIRST_COMPLETED)
    if not entering.done():
        entering.cancel()
        await asyncio.wait([entering])
        return
    try:
        await asyncio.wait([stopped, synced], return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            return
        metrics.leader.set(1)
        lost = asyncio.create_task(election.lost.wait(), name="watch the Lease")
        telling = asyncio.create_task(
            rollout.tell(client, settings.lease_namespace, f"{settings.lease_name}-chart-rollout")
        )
        working = asyncio.create_task(queue.run(reconciler.reconcile, _CONCURRENCY))
        await asyncio.wait([stopped, lost], return_when=asyncio.FIRST_COMPLETED)
        metrics.leader.set(0)
        telling.cancel()
        if lost.done():
            # Another may lead already: whatever is in flight must end now.
            working.cancel()
            await asyncio.wait([working])
            raise _LeaseLost("no longer the leader: the Lease was lost")
        log.info("stopping: %d pools in flight", queue.in_flight)
        await queue.drain()
        lost.cancel()
    finally:
        await election.__aexit__(None, None, None)


def _memory_folder() -> "TemporaryDirectory[str]":
    """Make a folder, in memory if there is such a place.

    Every helm process writes what it discovers of the API to some 40 files (helm 4.3 never takes
    them from an earlier process): on a disk that is a twentieth of its CPU time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a new folder of our own in it, mode 0700
    place = memory if os.access(memory, os.W_OK) else None
    return TemporaryDirectory(prefix="kvhelm-", dir=place)


def _helm_environment(settings: Settings) -> dict[str, str]:
    environment = {}
    if settings.kubeconfig:
        environment["KUBECONFIG"] = str(settings.kubeconfig)
    if settings.context:
        environment["HELM_KUBECONTEXT"] = settings.context
    return environment
