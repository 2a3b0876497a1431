"""What the whole run shares: a folder for the control plane's state, cleaned up at the end."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kvhelm.local.cluster import down, names

if TYPE_CHECKING:
    from tests.dataplane.parts import Part


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder before any worker starts; workers inherit it."""
    if not hasattr(config, "workerinput"):
        os.environ["KVHELM_TEST_STATE"] = tempfile.mkdtemp(prefix="kvhelm-tests-")


@pytest.fixture
def parts() -> Iterator["list[Part]"]:
    """The processes of one test; they end with it. Asked for before `stories`, after its pools."""
    running: list[Part] = []
    yield running
    for part in reversed(running):
        part.kill()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail rather than run ungrouped, which a pytest-xdist too old for its pytest does silently.

    Tests of one group share a machine's nodes, and one of them cuts their power.
    """
    group = item.get_closest_marker("xdist_group")
    if group and getattr(item.config.option, "loadgroup", False):
        kept = item.nodeid.endswith(f"@{group.args[0]}")
        assert kept, "pytest-xdist lost the group of this test: is there a newer one?"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to tell besides that they passed (record_property("told", ...))."""
    for report in terminalreporter.getreports("passed"):
        for name, told in report.user_properties:
            if name == "told":
                terminalreporter.write_line(f"told: {told}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run started and remove its folder."""
    if hasattr(config, "workerinput"):
        return
    state = Path(os.environ["KVHELM_TEST_STATE"])
    if (state / "operator.json").exists():
        from tests.cluster.operators import Operator

        operator = Operator.read(state)
        if operator:
            operator.stop()
            if os.environ.get("KVHELM_KEEP_LOGS"):
                shutil.copy(operator.log, os.environ["KVHELM_KEEP_LOGS"])
    if (state / "etcd.json").exists():
        from kvhelm.local.plain_etcd import stop_etcd

        stop_etcd(state)
    for name in names(state):
        down(name, state=state)
    shutil.rmtree(state, ignore_errors=True)
