"""The benchmark: `python -m bench --help`."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench import report
from bench.bare import measure_bare
from bench.environment import environment_of
from bench.figures import Figures, Memory, write
from bench.fleet import measure_create, measure_idle, measure_restart, measure_update
from bench.pools import nodes_for
from bench.report import Row
from bench.screen import show
from bench.setting import setting_on
from bench.single import measure_single
from kvhelm.errors import KvhelmError
from kvhelm.local.cluster import Cluster, down, up
from kvhelm.local.operator import install_operator
from kvhelm.local.plain_etcd import ensure_etcd, stop_etcd
from kvhelm.local.progress import ConsoleProgress, Progress

CLUSTER = "bench"

_SUMMARY_TITLE = "Against the targets"


def main(
    pools: Annotated[int, typer.Option(min=1, help="Pools that are made at once.")] = 200,
    idle: Annotated[float, typer.Option(min=1, help="Seconds of doing nothing.")] = 180,
    single: Annotated[int, typer.Option(min=1, help="How often one pool is made alone.")] = 20,
    managed: Annotated[
        bool, typer.Option("--managed", help="Each release brings an etcd of its own.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the control plane running.")] = False,
) -> None:
    """Measure kvhelm on a local control plane of its own, beside helm alone.

    Takes about 8 minutes with 200 pools. No figure makes it fail, only pools that never get Ready.
    """
    console = Console()
    progress = ConsoleProgress(console)
    state = Path(tempfile.mkdtemp(prefix="kvhelm-bench-"))
    try:
        # The pools of the second namespace (helm alone) and the single ones need room as well.
        nodes = nodes_for(2 * pools + 2, managed_etcd=managed)
        cluster = up(CLUSTER, nodes=nodes, state=state, progress=progress)
        operator_kubeconfig = install_operator(cluster)
        etcd = None if managed else ensure_etcd(state)
        figures = asyncio.run(
            _measure(
                cluster,
                operator_kubeconfig,
                console,
                progress,
                pools=pools,
                idle=idle,
                single=single,
                etcd=etcd,
            )
        )
        show(console, _SUMMARY_TITLE, _summary(figures))
        if json is not None:
            write(figures, json)
            progress.say(f"written: {json}")
    except KvhelmError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        raise typer.Exit(1) from None
    finally:
        if keep:
            progress.say(f"look: KVHELM_STATE={state} kvhelm local status --name {CLUSTER}")
            progress.say(f"stop: KVHELM_STATE={state} kvhelm local down --name {CLUSTER}")
        else:
            stop_etcd(state)
            down(CLUSTER, state=state, progress=progress)
            shutil.rmtree(state, ignore_errors=True)


async def _measure(
    cluster: Cluster,
    operator_kubeconfig: Path,
    console: Console,
    progress: Progress,
    *,
    pools: int,
    idle: float,
    single: int,
    etcd: str | None,
) -> Figures:
    async with setting_on(cluster, operator_kubeconfig, etcd=etcd) as setting:
        operator = await setting.start_operator()
        await operator.until_settled()

        with progress.during(f"one pool at a time, {single} in turn"):
            one = await measure_single(setting, single)
        show(console, "One pool at a time", report.single_rows(one))

        with progress.during(f"{pools} pools at once"):
            created = await measure_create(setting, operator, pools)
        show(console, f"{pools} pools at once", report.create_rows(created, pools))

        with progress.during(f"nothing to do, {idle:.0f} s"):
            rest = await measure_idle(setting, operator, idle)
        show(console, "Idle", report.idle_rows(rest))
        scrape = await operator.scrape()
        memory = Memory(
            controller_peak=operator.peak_memory,
            controller_idle=operator.memory,
            helm_peak=int(scrape.value("kvhelm_helm_peak_memory_bytes")),
        )
        show(console, "Memory", report.memory_rows(memory))

        with progress.during("a restart"):
            operator, restarted = await measure_restart(setting, operator)
        show(console, "Restart", report.restart_rows(restarted))

        with progress.during(f"an image changed in {pools} pools"):
            updated = await measure_update(setting, operator, pools)
        show(console, "Another image", report.fleet_rows(updated, pools))
        await operator.stop()

        with progress.during(f"{pools} releases by helm alone"):
            bare = await measure_bare(setting, pools)
        show(console, "helm alone", report.bare_rows(bare))

        return Figures(
            environment=environment_of(setting),
            pools=pools,
            managed_etcd=etcd is None,
            single=one,
            create=created,
            memory=memory,
            idle=rest,
            restart=restarted,
            update=updated,
            bare=bare,
        )


def _summary(figures: Figures) -> list[Row]:
    return [
        Row(f"{title}: {row.what}", row.measured, row.target)
        for title, rows in report.tables(figures)
        for row in rows
        if row.target or title == report.RATIOS
    ]


if __name__ == "__main__":
    typer.run(main)
