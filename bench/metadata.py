"""What it costs to know the daemons of many pools on one etcd: `python -m bench.metadata --help`.

The pools are real, and so are operator, control plane and etcd; the daemons write what real ones
do, as often (bench.daemons).
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.markup import escape

from bench.daemons import Daemon, Daemons
from bench.environment import environment_of
from bench.figures import MetadataFigures, Spread, write
from bench.fleet import NAMESPACE, measure_create
from bench.meter import cost_between, reading
from bench.pools import names_for, nodes_for
from bench.report import metadata_rows
from bench.scrape import Scrape, difference
from bench.screen import show
from bench.setting import Setting, setting_on
from bench.watch import Watch, watching
from kvhelm.controller.watches import POOLS
from kvhelm.errors import KvhelmError
from kvhelm.kube.resource import PODS, Object
from kvhelm.local.cluster import down, up
from kvhelm.local.operator import install_operator
from kvhelm.local.plain_etcd import ensure_etcd, stop_etcd
from kvhelm.local.progress import ConsoleProgress, Progress

CLUSTER = "bench-metadata"


def main(
    pools: Annotated[int, typer.Option(min=1, help="Pools of one daemon.")] = 1000,
    # (Daemons that write nothing for longer are taken for cut off.)
    seconds: Annotated[
        float, typer.Option(min=10, max=120, help="How long to watch, twice.")
    ] = 120,
    joins: Annotated[int, typer.Option(min=1, help="Daemons that start again.")] = 20,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Measure what knowing the daemons of many pools on one etcd costs.

    Takes about 15 minutes with 1,000 pools, most of it to install them.
    """
    console = Console()
    progress = ConsoleProgress(console)
    state = Path(tempfile.mkdtemp(prefix="kvhelm-bench-"))
    try:
        nodes = nodes_for(pools, managed_etcd=False)
        cluster = up(CLUSTER, nodes=nodes, state=state, progress=progress)
        operator_kubeconfig = install_operator(cluster)

        async def measure() -> MetadataFigures:
            url = ensure_etcd(state)
            async with setting_on(cluster, operator_kubeconfig, etcd=url) as setting:
                return await _measure(setting, url, progress, pools, seconds, joins)

        figures = asyncio.run(measure())
        show(console, f"{pools} pools on one etcd", metadata_rows(figures))
        if json is not None:
            write(figures, json)
            progress.say(f"written: {json}")
    except KvhelmError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        raise typer.Exit(1) from None
    finally:
        stop_etcd(state)
        down(CLUSTER, state=state, progress=progress)
        shutil.rmtree(state, ignore_errors=True)


async def _measure(
    setting: Setting, url: str, progress: Progress, pools: int, seconds: float, joins: int
) -> MetadataFigures:
    operator = await setting.start_operator()
    await operator.until_settled()
    with progress.during(f"{pools} pools are made"):
        await measure_create(setting, operator, pools)
    loop = asyncio.get_running_loop()
    async with watching(setting.client, POOLS, NAMESPACE) as watch, _daemons(url) as daemons:
        living = await _daemons_of(setting, watch, pools)
        with progress.during("their daemons register"):
            begun = loop.time()
            for daemon in living.values():
                await daemons.register(daemon)
            all_serving = await watch.last_moment(living, lambda pool: _serves(pool, 0)) - begun

        with progress.during(f"nothing is written, {seconds:.0f} s"):
            before = reading(setting.cluster, await operator.until_quiet())
            await asyncio.sleep(seconds)
            silent = cost_between(before, reading(setting.cluster, await operator.scrape()))

        async with daemons.writing(list(living.values())):
            with progress.during(f"all daemons write, {seconds:.0f} s"):
                before, etcd = reading(setting.cluster, await operator.scrape()), await _etcd(url)
                written = daemons.revisions
                await asyncio.sleep(seconds)
                written = daemons.revisions - written
                after, later = reading(setting.cluster, await operator.scrape()), await _etcd(url)
            with progress.during(f"{joins} daemons start again, in turn"):
                again = [
                    await _join(watch, daemons, name, living[name]) for name in list(living)[:joins]
                ]
    return MetadataFigures(
        environment=environment_of(setting),
        pools=pools,
        all_serving=round(all_serving, 3),
        joins=Spread(tuple(again)),
        silent=silent,
        busy=cost_between(before, after),
        revisions=written,
        etcd_requests={
            method: count
            for method, count in difference(_requests(etcd), _requests(later)).items()
            if method != "Txn"  # the daemons' own
        },
        etcd_cpu=round(_cpu(later) - _cpu(etcd), 3),
        controller_memory=operator.memory,
    )


@asynccontextmanager
async def _daemons(url: str) -> AsyncIterator[Daemons]:
    daemons = Daemons(url)
    try:
        yield daemons
    finally:
        await daemons.close()


async def _daemons_of(setting: Setting, watch: Watch, pools: int) -> dict[str, Daemon]:
    """Return the daemon of each pool: where its keys lie, and the address of its pod."""
    pods = await setting.client.list(PODS, NAMESPACE)
    addresses = {
        pod["metadata"]["labels"]["app.kubernetes.io/instance"]: pod["status"]["podIP"]
        for pod in pods.items
    }
    daemons = {}
    for name in names_for(pools):
        pool = watch.reflector.get((NAMESPACE, name))
        if pool is None:
            raise KvhelmError(f"the pool {name} is gone")
        daemons[name] = Daemon(pool["status"]["metadata"]["prefix"], addresses[name])
    return daemons


async def _join(watch: Watch, daemons: Daemons, name: str, daemon: Daemon) -> float:
    """Start one daemon again; return the seconds until the status has its new number."""
    daemon.number += 1
    begun = asyncio.get_running_loop().time()
    await daemons.register(daemon)
    return round(await watch.moment(name, lambda pool: _serves(pool, daemon.number)) - begun, 3)


def _serves(pool: Object | None, number: int) -> bool:
    members = (pool or {}).get("status", {}).get("members", ())
    return any((it["state"], it.get("instance")) == ("Serving", number) for it in members)


async def _etcd(url: str) -> Scrape:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        return Scrape(await answer.text())


def _requests(etcd: Scrape) -> dict[str, int]:
    return etcd.counts("grpc_server_started_total", "grpc_method")


def _cpu(etcd: Scrape) -> float:
    return etcd.value("process_cpu_seconds_total")


if __name__ == "__main__":
    typer.run(main)
