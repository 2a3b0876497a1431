"""Every Kubernetes that the chart supports knows every field that it renders."""

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from kvhelm import assets
from tests.chart.rendering import Refused, helm, merged, render
from tests.chart.shapes import SHAPES


def oldest() -> str:
    """Return the oldest Kubernetes minor of the chart's kubeVersion."""
    chart = YAML(typ="safe").load(assets.chart_dir() / "Chart.yaml")
    return str(chart["kubeVersion"]).removeprefix(">=").rsplit(".", 1)[0]


MINORS = [f"1.{minor}" for minor in range(int(oldest().split(".")[1]), 38)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("minor", MINORS)
def test_every_object_fits_the_schemas_of_this_kubernetes(minor: str, shape: str) -> None:
    for each in render(SHAPES[shape]).objects:
        assert kubernetes_validate.validate(each, minor, strict=True) == minor


@pytest.mark.parametrize("shape", SHAPES)
def test_helm_lint_finds_nothing(shape: str) -> None:
    values = merged({"cache": {"image": "vineyardd:1"}}, SHAPES[shape])
    assert "0 chart(s) failed" in helm("lint", "--strict", values=values)


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refused, match="kubeVersion"):
        helm(
            "template",
            "my-pool",
            "--kube-version",
            "1.28.9",
            values={"cache": {"image": "vineyardd:1"}},
        )
