"""One helm process: what it is given, when it must end. A script stands in for helm."""

import asyncio
import json
import os
from pathlib import Path

import psutil
import pytest

from kvhelm.api.conditions import Reason
from kvhelm.errors import HelmError
from kvhelm.helm.chart import Chart, load_chart
from kvhelm.helm.client import Helm
from kvhelm.helm.errors import HelmFailed
from kvhelm.helm.process import HelmProcess
from kvhelm.helm.releases import Stamp

VERSION = 'if [ "$1" = version ]; then echo -n v4.3.1; exit; fi\n'


def script(folder: Path, text: str) -> str:
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return str(path)


def process(executable: str, deadline: float = 60) -> HelmProcess:
    return HelmProcess(executable, deadline, {})


async def test_values_come_on_standard_input(tmp_path: Path) -> None:
    helm = Helm(
        script(tmp_path, f'{VERSION}echo "$@" > {tmp_path}/arguments\ncat > {tmp_path}/values')
    )
    chart = Chart(tmp_path, "c", "1", "digest")
    values = {"cache": {"env": [{"name": "PASSWORD", "value": "secret"}]}}
    await helm.upgrade("p", "ns", chart, values, revision=7, stamp=Stamp("s", "c", "u"))
    assert json.loads((tmp_path / "values").read_text()) == values
    arguments = (tmp_path / "arguments").read_text()
    assert "secret" not in arguments
    assert "kvcache.aibrix.ai/stamp=7" in arguments


async def test_the_environment_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    printed = await process(script(tmp_path, "env")).run(["version"])
    assert b"secret" not in printed
    assert f"PATH={os.environ['PATH']}".encode() in printed


async def test_a_helm_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(HelmFailed, match="did not end within 1 s") as caught:
        await process(script(tmp_path, "exec sleep 600"), deadline=1).run(["upgrade"])
    assert (caught.value.reason, caught.value.transient) == (Reason.DEADLINE_EXCEEDED, True)


async def test_who_cancels_ends_helm(tmp_path: Path) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    os.mkfifo(begun)
    helm = process(
        script(tmp_path, f"trap 'touch {ended}; exit' TERM\necho > {begun}\nsleep 600 & wait")
    )
    running = asyncio.create_task(helm.run(["upgrade"]))
    await asyncio.to_thread(begun.read_text)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.exists()


async def test_a_helm_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HelmFailed, match="install helm 4 or name one with --helm") as caught:
        await process(str(tmp_path / "helm")).run(["version"])
    assert (caught.value.reason, caught.value.transient) == (Reason.HELM_UNUSABLE, True)


@pytest.mark.parametrize("printed", ["v3.20.1", "nonsense", ""])
async def test_a_helm_that_is_too_old(tmp_path: Path, printed: str) -> None:
    helm = Helm(script(tmp_path, f"echo {printed}"))
    with pytest.raises(HelmFailed, match="kvhelm needs helm 4"):
        await helm.ensure_usable()


async def test_what_is_told_of_each_process(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    fails = 'if [ "$1" = uninstall ]; then echo "Error: etcdserver: no leader" >&2; exit 1; fi'
    helm = Helm(
        script(tmp_path, VERSION + fails), observe=lambda verb, how, _: told.append((verb, how))
    )
    with pytest.raises(HelmFailed):
        await helm.uninstall("p", "ns")
    await helm.upgrade(
        "p", "ns", Chart(tmp_path, "c", "1", "d"), {}, revision=1, stamp=Stamp("s", "c", "u")
    )
    assert told == [("uninstall", "ApiUnavailable"), ("upgrade", "succeeded")]


def test_the_digest_of_a_chart_is_that_of_what_it_renders(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pool.yaml").write_text("a: 1\n")
    (tmp_path / "Chart.yaml").write_text("name: c\nversion: 1.2.3\n")
    (tmp_path / "values.yaml").write_text("")
    first = load_chart(tmp_path)
    assert first.reference == "c-1.2.3"
    (tmp_path / "README.md").write_text("for readers")
    assert load_chart(tmp_path) == first
    (tmp_path / "templates" / "pool.yaml").write_text("a: 2\n")
    assert load_chart(tmp_path).digest != first.digest


@pytest.mark.parametrize("text", [None, "a: [", "name: c\n", "- c\n"])
def test_a_chart_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "Chart.yaml").write_text(text)
    with pytest.raises(HelmError, match=f"no chart at {tmp_path}"):
        load_chart(tmp_path)


async def test_who_cancels_in_the_middle_of_the_start_ends_helm(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    helm = process(script(tmp_path, f"echo $$ > {begun}\nexec sleep 600"))
    for steps in range(12):
        running = asyncio.create_task(helm.run(["upgrade"]))
        for _ in range(steps):
            await asyncio.sleep(0)  # one turn of the loop nearer to the end of the start
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await running
    if begun.exists() and (pid := begun.read_text().strip()):
        assert not psutil.pid_exists(int(pid))
