"""The operator's own chart: what it starts is what `kvhelm run` takes."""

from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from kvhelm import assets
from kvhelm.cli import app
from tests.chart.rendering import Refused, Values, helm

EVERYTHING = {
    "namespaces": ["models", "research"],
    "gpuTypeLabel": "example.com/gpu",
    "affinityWorkloadLabel": "example.com/model",
    "etcdEndpoints": ["http://etcd-0.etcd:2379", "http://etcd-1.etcd:2379"],
    "endpoints": {"allow": ["10.0.0.0/8", "*.svc"], "deny": ["10.1.0.0/16"]},
}


def objects(values: Values) -> list[Any]:
    text = helm("template", "kvhelm", chart=assets.deploy_dir(), values=values)
    return [each for each in YAML(typ="safe").load_all(text) if each]


def only(values: Values, kind: str) -> Any:
    (found,) = (each for each in objects(values) if each["kind"] == kind)
    return found


def options(values: Values) -> dict[str, Any]:
    """Return what `kvhelm run` understands of the Deployment's arguments."""
    (container,) = only(values, "Deployment")["spec"]["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    group = typer.main.get_command(app)
    run = group.get_command(typer.Context(group), command)  # type: ignore[attr-defined]
    return dict(run.make_context(command, arguments).params)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_operator_understands_its_arguments(values: Values) -> None:
    understood = options(values)
    assert understood["lease_name"] == "kvhelm"
    assert understood["listen"] == ":8080"


def test_every_setting_reaches_the_operator() -> None:
    understood = options(EVERYTHING)
    assert understood["namespace"] == ["models,research"]
    assert understood["gpu_type_label"] == "example.com/gpu"
    assert understood["affinity_workload_label"] == "example.com/model"
    assert understood["etcd_endpoint"] == EVERYTHING["etcdEndpoints"]
    assert understood["allow_endpoint"] == ["10.0.0.0/8", "*.svc"]
    assert understood["deny_endpoint"] == ["10.1.0.0/16"]
    assert options({"allNamespaces": True})["all_namespaces"] is True


def test_helm_ends_before_the_kubelet_loses_patience() -> None:
    spec = only({"helmDeadline": 300}, "Deployment")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 300


def test_named_namespaces_have_a_binding_each() -> None:
    bindings = [each for each in objects(EVERYTHING) if each["kind"] == "RoleBinding"]
    assert {each["metadata"].get("namespace") for each in bindings} >= {"models", "research"}


def test_no_namespace_at_all_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refused, match="name at least one namespace, or set allNamespaces"):
        objects({"namespaces": []})


def test_it_fits_the_restricted_profile() -> None:
    spec = only({}, "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_lint_finds_nothing() -> None:
    assert "0 chart(s) failed" in helm(
        "lint", "--strict", chart=assets.deploy_dir(), values=EVERYTHING
    )
