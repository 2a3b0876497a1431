"""Daemons restart only when what they run changed: anything else would empty the caches."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from kvhelm import assets
from tests.chart.rendering import Rendered, render

POOL = {"name": "p", "namespace": "models", "uid": "0f1d2c3b", "prefix": "/kvhelm/models/p/0f1d"}


def templates(pool: Rendered) -> list[Any]:
    return [each["spec"]["template"] for each in pool.objects if each["kind"] == "StatefulSet"]


@pytest.mark.parametrize(
    "change",
    [
        {"service": {"type": "NodePort", "port": 80, "nodePort": 30000, "annotations": {"a": "b"}}},
        {"service": {"allowFrom": []}},
        {"replicas": 7},
        {"pool": {"parked": True}},
        {"pool": {"uid": "ffffffff"}},
        {"pool": {"name": "other", "namespace": "elsewhere"}},
    ],
    ids=str,
)
def test_what_is_not_run_leaves_the_pods_alone(change: dict[str, Any]) -> None:
    changed = {**change, "pool": {**POOL, **change.get("pool", {})}}
    before, after = render({"pool": POOL}), render(changed)
    assert templates(after) == templates(before)
    assert after.daemons["selector"] == before.daemons["selector"]


@pytest.mark.parametrize(
    "change",
    [
        {"cache": {"memory": "2Gi"}},
        {"cache": {"image": "vineyardd:other"}},
        {"pool": {**POOL, "prefix": "/kvhelm/models/p/ffff"}},
    ],
    ids=str,
)
def test_what_is_run_restarts_the_daemons_and_not_their_etcd(change: dict[str, Any]) -> None:
    before, after = render({"pool": POOL}), render({"pool": POOL, **change})
    assert after.daemons["template"] != before.daemons["template"]
    assert after.etcd_pod == before.etcd_pod


def test_a_new_version_of_the_chart_leaves_the_pods_alone(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(assets.chart_dir(), chart)
    manifest = chart / "Chart.yaml"
    text = manifest.read_text().replace("\nversion: ", "\nversion: 9", 1)
    manifest.write_text(text.replace("appVersion: ", "appVersion: 9"))
    before, after = render(), render(chart=chart)
    assert after.get("Service", "rpc")["metadata"] != before.get("Service", "rpc")["metadata"]
    assert templates(after) == templates(before)
