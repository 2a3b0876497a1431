"""The figures as people read them: `python -m bench.report FILE [--into bench/README.md]`.

Every number in bench/README.md comes from here, none is typed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from bench.figures import (
    ANY_FIGURES,
    Bare,
    Cost,
    Environment,
    Figures,
    Fleet,
    Memory,
    MetadataFigures,
    Restart,
    Single,
    Spread,
)
from kvhelm.errors import KvhelmError

_BEGIN = "<!-- figures: python -m bench.report -->"
_METADATA_BEGIN = "<!-- figures of bench.metadata: python -m bench.report -->"
_END = "<!-- end of figures -->"

RATIOS = "kvhelm to helm alone"


class Row(NamedTuple):
    """One line of a table."""

    what: str
    measured: str
    target: str = ""


def single_rows(single: Single) -> list[Row]:
    """Return what one pool's user waits for."""
    rows = [
        Row("`kubectl apply` started to Ready", _spread(single.kubectl_to_ready), "1.5 s"),
        Row("accepted by the API server to Ready", _spread(single.accepted_to_ready)),
        Row("image changed to StatefulSet changed", _spread(single.image_to_statefulset), "0.5 s"),
        Row("scaled to StatefulSet scaled", _spread(single.scale_to_statefulset), "0.1 s"),
        Row("deleted to gone", _spread(single.delete_to_gone)),
    ]
    if single.field_to_repaired.seconds:
        rows += [
            Row("a field changed by hand to right", _spread(single.field_to_repaired), "0.2 s"),
            Row("a port changed by hand to right", _spread(single.port_to_repaired), "0.2 s"),
            Row("deleted by hand to made again", _spread(single.deleted_to_again), "0.2 s"),
        ]
    if single.deadline_to_rollback.seconds:
        rows.append(
            Row("progress deadline to rollback", _spread(single.deadline_to_rollback), "2 s")
        )
    return rows


def create_rows(create: Fleet, pools: int) -> list[Row]:
    """Return what it took to make all pools."""
    return fleet_rows(create, pools, rate="7", cpu="0.13 s")


def fleet_rows(fleet: Fleet, pools: int, rate: str = "", cpu: str = "") -> list[Row]:
    """Return what it took to do something to all pools."""
    cost = fleet.cost
    return [
        Row("until all are Ready", _seconds(fleet.ready)),
        Row("pools a second", f"{pools / fleet.ready:.1f}", rate),
        Row("CPU a pool, controller and helm", _seconds(cost.cpu / pools), cpu),
        Row("- controller", _seconds(cost.controller_cpu / pools)),
        Row("- helm", _seconds(cost.helm_cpu / pools)),
        Row("CPU a pool, control plane", _seconds(cost.control_plane / pools)),
        *_parts(cost.control_plane_cpu, pools),
        Row("helm processes", _counts(cost.helm)),
        Row("requests of the controller a pool", f"{cost.requests_but_lease / pools:.2f}"),
        *(
            Row(f"- {what}", f"{count / pools:.2f}")
            for what, count in cost.requests.items()
            if not what.endswith(" leases")
        ),
    ]


def memory_rows(memory: Memory) -> list[Row]:
    """Return the memory that it took."""
    return [
        Row("controller, peak", _mebibytes(memory.controller_peak)),
        Row("controller, idle", _mebibytes(memory.controller_idle)),
        Row("largest helm process", _mebibytes(memory.helm_peak)),
    ]


def idle_rows(idle: Cost) -> list[Row]:
    """Return what went on while nothing changed."""
    return [
        Row("seconds", f"{idle.seconds:.0f}"),
        Row("helm processes", str(sum(idle.helm.values())), "0"),
        Row("writes but the Lease's", str(idle.writes_but_lease), "0"),
        Row("requests", _counts(idle.requests)),
        Row("controller, share of a core", _share(idle.controller_cpu, idle.seconds), "1 %"),
        Row("control plane, share of a core", _share(idle.control_plane, idle.seconds)),
    ]


def restart_rows(restart: Restart) -> list[Row]:
    """Return what a restart took."""
    cost = restart.cost
    return [
        Row("old process ended", _seconds(restart.ended)),
        Row("new process leads, caches filled", _seconds(restart.leading)),
        Row("settled (process start included)", _seconds(restart.settled), "2 s"),
        Row("helm processes", str(sum(cost.helm.values())), "0"),
        Row("writes but the Lease's", str(cost.writes_but_lease), "0"),
        Row("requests but the Lease's", str(cost.requests_but_lease), "not by the pool"),
        *(Row(f"- {what}", str(count)) for what, count in cost.requests.items()),
        Row("CPU of the controller", _seconds(cost.controller_cpu)),
        Row("CPU of the control plane", _seconds(cost.control_plane)),
    ]


def bare_rows(bare: Bare) -> list[Row]:
    """Return what helm alone takes."""
    return [
        Row("releases", f"{bare.releases}, {bare.processes} processes at a time"),
        Row("until all are installed", _seconds(bare.installed)),
        Row("until all pods are ready", _seconds(bare.ready)),
        Row("releases a second, until installed", f"{bare.releases / bare.installed:.1f}"),
        Row("releases a second, until ready", f"{bare.releases / bare.ready:.1f}"),
        Row("CPU a release, helm", _seconds(bare.helm_cpu / bare.releases)),
        Row(
            "CPU a release, control plane",
            _seconds(sum(bare.control_plane_cpu.values()) / bare.releases),
        ),
        *_parts(bare.control_plane_cpu, bare.releases),
    ]


def ratio_rows(create: Fleet, pools: int, bare: Bare) -> list[Row]:
    """Return kvhelm beside helm alone; ratios travel from machine to machine, seconds don't."""
    cost = create.cost
    control_plane = sum(bare.control_plane_cpu.values()) / bare.releases
    return [
        Row("rate until ready", _times((pools / create.ready) / (bare.releases / bare.ready))),
        Row(
            "CPU, controller and helm to helm",
            _times((cost.cpu / pools) / (bare.helm_cpu / bare.releases)),
        ),
        Row("CPU, control plane", _times((cost.control_plane / pools) / control_plane)),
    ]


def metadata_rows(figures: MetadataFigures) -> list[Row]:
    """Return what it takes to know the daemons of all pools on one etcd."""
    silent, busy = figures.silent, figures.busy
    between = busy.seconds / max(1, figures.etcd_requests.get("Status", 0))
    more = busy.controller_cpu / busy.seconds - silent.controller_cpu / silent.seconds
    return [
        Row("all daemons registered to all in status", _seconds(figures.all_serving)),
        Row("one registered to status", _spread(figures.joins)),
        Row("seconds, writers silent / writing", f"{silent.seconds:.0f} / {busy.seconds:.0f}"),
        Row("revisions a second, written by daemons", f"{figures.revisions / busy.seconds:.0f}"),
        Row("seconds between probes of the etcd", f"{between:.1f}", "8 to 10"),
        Row("requests of kvhelm to the etcd", _counts(figures.etcd_requests)),
        Row("writes but the Lease's", str(silent.writes_but_lease + busy.writes_but_lease), "0"),
        Row("helm processes", str(sum(silent.helm.values()) + sum(busy.helm.values())), "0"),
        Row(
            "controller, share of a core, writers silent",
            _share(silent.controller_cpu, silent.seconds),
        ),
        Row(
            "controller, share of a core, writing", _share(busy.controller_cpu, busy.seconds), "2 %"
        ),
        Row("- more than silent", f"{100 * more:.2f} %"),
        Row("the etcd, share of a core, writing", _share(figures.etcd_cpu, busy.seconds)),
        Row("controller, resident", _mebibytes(figures.controller_memory)),
    ]


def tables(figures: Figures) -> Iterator[tuple[str, list[Row]]]:
    """Yield every table with its title."""
    pools = figures.pools
    yield "One pool at a time", single_rows(figures.single)
    yield f"{pools} pools at once", create_rows(figures.create, pools)
    yield "helm alone", bare_rows(figures.bare)
    yield RATIOS, ratio_rows(figures.create, pools, figures.bare)
    yield "Memory", memory_rows(figures.memory)
    yield "Idle", idle_rows(figures.idle)
    yield "Restart", restart_rows(figures.restart)
    yield "Another image", fleet_rows(figures.update, pools)


def environment_line(environment: Environment) -> str:
    """Return where and of what it was measured, as a sentence."""
    return (
        f"Measured {environment.date} on {environment.cores} cores ({environment.processor}), "
        f"control plane and benchmark on the same cores: kvhelm {environment.kvhelm}, "
        f"Kubernetes {environment.kubernetes}, helm {environment.helm}, "
        f"Python {environment.python}."
    )


def markdown_for(figures: Figures | MetadataFigures) -> str:
    """Return everything as Markdown."""
    if isinstance(figures, MetadataFigures):
        title = f"{figures.pools} pools on one etcd"
        return _markdown(environment_line(figures.environment), [(title, metadata_rows(figures))])
    metadata = "an etcd in each release" if figures.managed_etcd else "an etcd of the user's own"
    line = f"{environment_line(figures.environment)} Pools with {metadata}."
    return _markdown(line, list(tables(figures)))


def _markdown(first: str, titled: Sequence[tuple[str, list[Row]]]) -> str:
    blocks = [first]
    for title, rows in titled:
        lines = "\n".join(f"| {row.what} | {row.measured} | {row.target} |" for row in rows)
        blocks.append(f"### {title}\n| | measured | target |\n|---|---|---|\n{lines}")
    return "\n\n".join(blocks) + "\n"


def with_figures(text: str, figures: Figures | MetadataFigures) -> str:
    """Return a text with the figures between its marks. Raises KvhelmError if it has none."""
    mark = _METADATA_BEGIN if isinstance(figures, MetadataFigures) else _BEGIN
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise KvhelmError(f"no place for the figures: {mark} ... {_END}")
    return f"{before}{begin}\n{markdown_for(figures)}{end}{after}"


def _spread(spread: Spread) -> str:
    lowest, highest = min(spread.seconds), max(spread.seconds)
    return f"{spread.median:.3f} s ({lowest:.3f} to {highest:.3f})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds < 1 else f"{seconds:.1f} s"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _share(cpu: float, seconds: float) -> str:
    return f"{100 * cpu / seconds:.2f} %"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}"


def _parts(cpu: Mapping[str, float], count: int) -> list[Row]:
    return [Row(f"- {part}", _seconds(seconds / count)) for part, seconds in cpu.items()]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none"


def main(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="What `python -m bench --json` wrote."),
    ],
    into: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Replace the figures in this file instead of printing.",
        ),
    ] = None,
) -> None:
    """Render the figures of one run as Markdown."""
    figures = ANY_FIGURES.validate_json(file.read_bytes())
    if into is None:
        print(markdown_for(figures), end="")
    else:
        into.write_text(with_figures(into.read_text(), figures))


if __name__ == "__main__":
    typer.run(main)
