from dataclasses import replace

import pytest

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
from bench.report import markdown_for, metadata_rows, ratio_rows, tables, with_figures
from kvhelm.errors import KvhelmError

COST = Cost(
    seconds=20.0,
    controller_cpu=2.0,
    helm_cpu=8.0,
    control_plane_cpu={"etcd": 4.0, "kube-apiserver": 12.0},
    helm={"upgrade succeeded": 100},
    requests={"patch kvcachepools/status": 300, "patch leases": 7, "watch pods": 1},
)
QUIET = replace(COST, helm={}, helm_cpu=0.0, requests={"patch leases": 60, "watch pods": 2})
FIVE = Spread((0.5, 0.3, 0.4, 0.2, 0.9))
RUN = Figures(
    environment=Environment("2026-01-31", 2, "a processor", "v1.37.2", "v4.3.1", "3.11", "0.1.0"),
    pools=100,
    managed_etcd=False,
    single=Single(*[FIVE] * 9),
    create=Fleet(10.0, COST),
    memory=Memory(96 << 20, 90 << 20, 84 << 20),
    idle=QUIET,
    restart=Restart(0.2, 0.9, 1.0, QUIET),
    update=Fleet(12.5, COST),
    bare=Bare(50, 4, 4.0, 5.0, 4.0, {"etcd": 2.0, "kube-apiserver": 6.0}),
)


def test_a_run_is_the_same_after_it_was_written_and_read() -> None:
    assert ANY_FIGURES.validate_json(ANY_FIGURES.dump_json(RUN)) == RUN


def test_the_lease_is_no_work_and_a_watch_is_no_write() -> None:
    assert COST.requests_but_lease == 301
    assert COST.writes_but_lease == 300
    assert QUIET.writes_but_lease == 0


def test_ratios_compare_a_pool_with_a_release() -> None:
    rate, cpu, control_plane = ratio_rows(RUN.create, RUN.pools, RUN.bare)
    # 10 pools a second and 10 releases a second; 0.1 and 0.08 s of CPU; 0.16 and 0.16 s.
    assert (rate.measured, cpu.measured, control_plane.measured) == ("1.00", "1.25", "1.00")


def test_every_figure_with_a_target_stands_beside_it() -> None:
    goals = {row.what: (row.measured, row.target) for _, rows in tables(RUN) for row in rows}
    assert goals["`kubectl apply` started to Ready"] == ("0.400 s (0.200 to 0.900)", "1.5 s")
    assert goals["controller, share of a core"] == ("10.00 %", "1 %")
    created = dict(tables(RUN))["100 pools at once"]
    assert ("pools a second", "10.0", "7") in created
    assert ("CPU a pool, controller and helm", "0.100 s", "0.13 s") in created
    assert ("- patch kvcachepools/status", "3.00", "") in created


def test_the_readme_gets_the_figures_of_the_last_run_alone() -> None:
    text = (
        "above\n<!-- figures: python -m bench.report -->\n"
        "former figures\n<!-- end of figures -->\nbelow\n"
    )
    once = with_figures(text, RUN)
    assert "former figures" not in once
    assert markdown_for(RUN) in once
    assert once.startswith("above\n")
    assert once.endswith("below\n")
    assert with_figures(once, RUN) == once


def test_a_text_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(KvhelmError, match="no place for the figures"):
        with_figures("nothing here", RUN)


METADATA = MetadataFigures(
    environment=RUN.environment,
    pools=1000,
    all_serving=3.0,
    joins=FIVE,
    silent=replace(QUIET, seconds=100.0, controller_cpu=0.1),
    busy=replace(QUIET, seconds=100.0, controller_cpu=0.3),
    revisions=30_000,
    etcd_requests={"Status": 10, "Range": 10},
    etcd_cpu=5.0,
    controller_memory=100 << 20,
)


def test_either_run_is_the_same_after_it_was_written_and_read() -> None:
    for run in (RUN, METADATA):
        assert ANY_FIGURES.validate_json(ANY_FIGURES.dump_json(run)) == run


def test_the_cost_of_membership_is_a_share_of_a_core() -> None:
    rows = {row.what: row for row in metadata_rows(METADATA)}
    assert rows["controller, share of a core, writing"].measured == "0.30 %"
    assert rows["- more than silent"].measured == "0.20 %"
    assert rows["seconds between probes of the etcd"].measured == "10.0"
    assert rows["revisions a second, written by daemons"].measured == "300"
    assert rows["writes but the Lease's"].measured == "0"


def test_each_run_has_its_own_place_in_the_readme() -> None:
    text = (
        "<!-- figures: python -m bench.report -->\n<!-- end of figures -->\n"
        "<!-- figures of bench.metadata: python -m bench.report -->\n<!-- end of figures -->\n"
    )
    both = with_figures(with_figures(text, RUN), METADATA)
    assert both == with_figures(with_figures(text, METADATA), RUN)
    assert both.count("<!-- end of figures -->") == 2
    assert "### 1000 pools on one etcd" in both
    assert "### helm alone" in both
