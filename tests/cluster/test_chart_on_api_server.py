"""The chart by itself on a real API server: `helm install`, without an operator."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from kvhelm import assets
from kvhelm.api.v1alpha1 import parse_spec
from kvhelm.local.cluster import Cluster
from kvhelm.values import Defaults, values_for
from tests.chart.rendering import IMAGE, Values, helm, merged, sample_spec
from tests.chart.shapes import SHAPES

SAMPLE_NAME = "test-aibrix-model-deepseek-coder-33b-instruct-kvcache"
SECRET_LIMIT = 12 * 1024
# Seconds within which anything here ends; reached only when something is broken.
DEADLINE = 120.0


@dataclass(frozen=True)
class Person:
    """Somebody with kubectl and helm in a namespace."""

    cluster: Cluster
    namespace: str

    def run(self, program: str, *arguments: str, stdin: str = "") -> tuple[str, str]:
        """Run kubectl or helm and return what it printed, and what it warned of."""
        done = subprocess.run(
            [getattr(self.cluster, program), *arguments, "--namespace", self.namespace],
            input=stdin,
            env={"KUBECONFIG": str(self.cluster.kubeconfig), "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def helm(self, verb: str, release: str, values: Values | None = None) -> None:
        chart = () if values is None else (str(assets.chart_dir()), "--values", "-")
        self.run("helm", verb, release, *chart, stdin=json.dumps(values or {}))

    def get(self, *what: str) -> Mapping[str, Any]:
        printed, _ = self.run("kubectl", "get", *what, "--output", "json")
        found: Mapping[str, Any] = json.loads(printed)
        return found

    def wait_until_ready(self, stateful_set: str) -> None:
        self.run("kubectl", "rollout", "status", f"statefulset/{stateful_set}", "--timeout=110s")


@pytest.fixture
def person(cluster: Cluster, namespace: str) -> Person:
    return Person(cluster, namespace)


def values(shape: Values) -> dict[str, Any]:
    return merged({"cache": {"image": IMAGE}}, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_api_server_takes_every_object(person: Person, shape: str) -> None:
    manifest = helm(
        *("template", "my-pool", "--namespace", person.namespace), values=values(SHAPES[shape])
    )
    apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-")
    taken, warned = person.run("kubectl", *apply, stdin=manifest)
    assert len(taken.splitlines()) == {"my etcd": 7, "my redis": 7, "three members": 14}.get(
        shape, 11
    )
    assert "Warning" not in warned


@pytest.mark.parametrize(
    ("cache", "complaint"),
    [({"socket": "EmptyDir"}, None), ({"socket": "HostPath"}, "hostPath")],
    ids=["EmptyDir", "HostPath"],
)
def test_only_a_shared_socket_breaks_the_restricted_profile(
    person: Person, cache: Values, complaint: str | None
) -> None:
    person.run(
        *("kubectl", "label", "namespace", person.namespace),
        "pod-security.kubernetes.io/warn=restricted",
    )
    manifest = helm(
        *("template", "my-pool", "--namespace", person.namespace), values=values({"cache": cache})
    )
    _, warned = person.run("kubectl", "apply", "--dry-run=server", "--filename=-", stdin=manifest)
    if complaint is None:
        assert "PodSecurity" not in warned
    else:
        assert "PodSecurity" in warned
        assert complaint in warned


def test_a_pool_by_helm_alone_lives_and_leaves_nothing(person: Person) -> None:
    small = values({"replicas": 2, "scheduler": {"gpuType": "NVIDIA-A10"}})
    person.helm("install", "my-pool", small)
    person.wait_until_ready("my-pool-etcd")
    person.wait_until_ready("my-pool-daemon")
    before = person.get("statefulset/my-pool-daemon")
    assert before["status"]["readyReplicas"] == 2

    # Another Service restarts no daemon.
    person.helm("upgrade", "my-pool", merged(small, {"service": {"type": "NodePort"}}))
    assert person.get("service/my-pool-rpc")["spec"]["type"] == "NodePort"
    person.wait_until_ready("my-pool-daemon")
    after = person.get("statefulset/my-pool-daemon")
    assert after["status"]["updateRevision"] == before["status"]["currentRevision"]

    person.helm("uninstall", "my-pool")
    kinds = "statefulset,service,serviceaccount,poddisruptionbudget,networkpolicy,configmap,secret"
    left = person.get(kinds, "--selector", "app.kubernetes.io/instance=my-pool")
    assert left["items"] == []


def test_the_sample_release_secret_stays_small(person: Person) -> None:
    # Each revision of each pool holds one such Secret in the cluster's etcd.
    identity = {"namespace": person.namespace, "uid": "0f1d2c3b-1111-2222-3333-444455556666"}
    spec = values_for(parse_spec(sample_spec()), name=SAMPLE_NAME, defaults=Defaults(), **identity)
    person.helm("install", SAMPLE_NAME, spec)
    secret = person.get(f"secret/sh.helm.release.v1.{SAMPLE_NAME}.v1")
    assert len(secret["data"]["release"]) < SECRET_LIMIT
