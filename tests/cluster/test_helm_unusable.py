"""The operator's own tools are broken: said once, no loop, and over when they are mended."""

import shutil
from collections.abc import Callable
from pathlib import Path

from kvhelm.assets import chart_dir
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories

Start = Callable[..., Operator]


async def test_a_chart_that_does_not_render(alone: Stories, start: Start, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(chart_dir(), chart)
    (chart / "templates" / "more.yaml").write_text("{{ .Values.one.two.three }}")
    operator = start(alone.namespace, "--chart", str(chart))
    await alone.create("p")
    words = await alone.turned("p", "Stalled", "True", "RenderFailed")
    assert "more.yaml" in words
    # Neither a scale nor a new label is a reason to try what failed for good.
    await alone.kubectl("scale", "kvcp/p", "--replicas=2")
    await alone.pool("p", lambda it: it["status"]["observedGeneration"] == 2, "to be looked at")
    assert operator.helm_processes == 1
    assert operator.log.read_text().count("RenderFailed") == 1
    operator.stop()

    # A restart is none either: the pool's status remembers.
    again = start(alone.namespace, "--chart", str(chart))
    await again.reaches("kvhelm_reconcile_duration_seconds_count", 1, step="Stall")
    assert again.helm_processes == 0
    again.stop()

    # Another chart is.
    start(alone.namespace)
    pool = await alone.ready("p")
    assert pool["status"]["readyReplicas"] == 2


async def test_a_helm_that_is_not_there_yet(alone: Stories, start: Start, tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    operator = start(alone.namespace, "--helm", str(helm))
    await alone.create("p")
    words = await alone.turned("p", "Ready", "False", "HelmUnusable")
    assert str(helm) in words
    assert operator.log.read_text().count("HelmUnusable") == 1
    helm.symlink_to(alone.cluster.helm)
    await alone.ready("p")


async def test_a_helm_that_is_too_old(alone: Stories, start: Start, tmp_path: Path) -> None:
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\necho v3.15.0\n")
    helm.chmod(0o755)
    start(alone.namespace, "--helm", str(helm))
    await alone.create("p")
    words = await alone.turned("p", "Ready", "False", "HelmUnusable")
    assert "v3.15.0" in words
    assert "helm 4" in words
    helm.unlink()
    helm.symlink_to(alone.cluster.helm)
    await alone.ready("p")
