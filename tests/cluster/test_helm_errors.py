"""Every cause that kvhelm tells apart, provoked with the real helm on the real API server."""

import base64
import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from kvhelm.api.conditions import Reason
from kvhelm.assets import chart_dir
from kvhelm.helm.chart import load_chart
from kvhelm.helm.client import Helm
from kvhelm.helm.errors import HelmFailed
from kvhelm.helm.releases import Stamp
from kvhelm.kube.client import Client
from kvhelm.kube.resource import (
    CONFIG_MAPS,
    NAMESPACES,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from kvhelm.local.cluster import Cluster, environment

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
VALUES: dict[str, Any] = {
    "cache": {"image": "vineyard:1"},
    "metadata": {"etcd": {"endpoints": ["http://etcd.example:2379"]}},
}


class Release:
    """A release of one test."""

    def __init__(self, cluster: Cluster, namespace: str, home: Path) -> None:
        self.namespace = namespace
        self.chart = home / "chart"
        self._environment = environment(cluster, os.environ["PATH"]) | {"HOME": str(home)}
        self._helm = str(cluster.helm)
        shutil.copytree(chart_dir(), self.chart)

    async def upgrade(self, revision: int = 1, name: str = "r", **values: Any) -> None:
        helm = Helm(self._helm, environment=self._environment)
        await helm.upgrade(
            name,
            self.namespace,
            load_chart(self.chart),
            VALUES | values,
            revision=revision,
            stamp=Stamp("spec", "chart", "uid"),
        )

    async def fails(self, reason: Reason, *, transient: bool, words: str = "", **more: Any) -> str:
        """Upgrade, and check what the failure is taken for."""
        with pytest.raises(HelmFailed) as caught:
            await self.upgrade(**more)
        error = caught.value
        assert (error.reason, error.transient) == (reason, transient), str(error)
        assert words in str(error)
        assert "\n" not in str(error)
        return error.in_the_way or ""

    def add_template(self, text: str) -> None:
        (self.chart / "templates" / "more.yaml").write_text(text)

    def point_at(self, **variables: str) -> None:
        self._environment |= variables


@pytest.fixture
def release(cluster: Cluster, namespace: str, tmp_path: Path) -> Release:
    return Release(cluster, namespace, tmp_path)


async def test_values_that_the_schema_refuses(release: Release) -> None:
    await release.fails(
        Reason.VALUES_REFUSED, transient=False, words="at '/replicas'", replicas="many"
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{{ fail "no luck" }}', "no luck"),
        ("{{ .Values.one.two.three }}", "nil pointer"),
        ("{{ if", "unclosed action"),
        ('{{ include "nowhere" . }}', "no template"),
        ("a: [", "YAML"),
        ("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n", "no matches for kind"),
    ],
    ids=["fail", "nil", "syntax", "include", "yaml", "kind"],
)
async def test_a_template_that_fails(release: Release, template: str, words: str) -> None:
    release.add_template(template)
    await release.fails(Reason.RENDER_FAILED, transient=False, words=words)


async def test_a_chart_that_cannot_be_loaded(release: Release) -> None:
    manifest = release.chart / "Chart.yaml"
    text = manifest.read_text()
    manifest.write_text(text.replace(">=1.29.0-0", ">=9.0.0"))
    await release.fails(Reason.CHART_UNUSABLE, transient=True, words="kubeVersion: >=9.0.0")
    manifest.write_text(text.replace("type: application", "type: nonsense"))
    await release.fails(Reason.CHART_UNUSABLE, transient=True, words="chart.metadata.type")


async def test_an_object_that_is_refused(release: Release) -> None:
    await release.fails(
        Reason.OBJECT_REFUSED,
        transient=False,
        words="valid ports is 30000-32767",
        service={"type": "NodePort", "nodePort": 5},
    )


async def test_a_field_that_the_api_does_not_have(release: Release) -> None:
    release.add_template("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {prots: []}\n")
    await release.fails(Reason.OBJECT_REFUSED, transient=False, words=".spec.prots")


@pytest.mark.parametrize("change", ["podManagementPolicy: Parallel", "serviceName: other"])
async def test_a_field_that_never_changes(release: Release, change: str) -> None:
    await release.upgrade()
    (template,) = release.chart.glob("charts/*/templates/_daemon-statefulset.tpl")
    field = change.split(":")[0]
    lines = [
        f"  {change}" if line.startswith(f"  {field}:") else line
        for line in template.read_text().splitlines()
    ]
    template.write_text("\n".join(lines) + "\n")
    await release.fails(Reason.IMMUTABLE_FIELD, transient=False, words="StatefulSet")


@pytest.mark.parametrize("kind", [SERVICES, CONFIG_MAPS], ids=lambda kind: kind.plural)
async def test_an_object_in_the_way(release: Release, client: Client, kind: Resource) -> None:
    name = "r-rpc" if kind is SERVICES else "r-connection"
    spec = {"spec": {"ports": [{"port": 1}]}} if kind is SERVICES else {}
    await client.create(kind, {"metadata": {"name": name}, **spec}, release.namespace)
    found = await release.fails(Reason.OBJECT_IN_THE_WAY, transient=False, words=name)
    assert found == f"{kind.kind}/{name}"


async def test_an_object_of_another_release(release: Release) -> None:
    release.add_template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: same}\n")
    await release.upgrade(name="first")
    with pytest.raises(HelmFailed) as caught:
        await release.upgrade(name="second")
    assert caught.value.in_the_way == "ConfigMap/same"


async def test_a_quota(release: Release, client: Client) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/services": "0"}}}
    await client.create(QUOTAS, quota, release.namespace)
    async with client.stream_watch(QUOTAS, release.namespace, timeout=60, silence=60) as events:
        async for event in events:
            if "hard" in event["object"].get("status", {}):
                break
    await release.fails(Reason.QUOTA_EXCEEDED, transient=True, words="exceeded quota: q")


async def test_a_release_that_someone_else_works_on(release: Release, client: Client) -> None:
    await release.upgrade()
    name = "sh.helm.release.v1.r.v1"
    secret = await client.get(SECRETS, name, release.namespace)
    inner = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    payload = json.loads(gzip.decompress(inner))
    payload["info"]["status"] = "pending-upgrade"
    packed = base64.b64encode(gzip.compress(json.dumps(payload).encode()))
    patch = {
        "metadata": {"labels": {"status": "pending-upgrade"}},
        "data": {"release": base64.b64encode(packed).decode()},
    }
    await client.patch(SECRETS, name, patch, release.namespace)
    await release.fails(Reason.RELEASE_LOCKED, transient=True, revision=2)


async def test_a_namespace_that_ends(release: Release, client: Client) -> None:
    held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    await client.create(CONFIG_MAPS, held, release.namespace)
    await client.delete(NAMESPACES, release.namespace)
    try:
        await release.fails(Reason.DELETING, transient=False, words="being terminated")
    finally:
        await client.patch(
            CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, release.namespace
        )


async def test_a_namespace_that_is_not_there(release: Release) -> None:
    release.namespace += "-gone"
    await release.fails(Reason.DELETING, transient=False, words="not found")


async def test_a_right_that_is_missing(release: Release) -> None:
    release.point_at(HELM_KUBEASUSER=f"system:serviceaccount:{release.namespace}:nobody")
    await release.fails(Reason.FORBIDDEN, transient=True, words='cannot list resource "secrets"')


async def test_an_api_server_that_is_away(release: Release) -> None:
    release.point_at(HELM_KUBEAPISERVER="https://127.0.0.1:1")
    await release.fails(Reason.API_UNAVAILABLE, transient=True, words="connection refused")


async def test_credentials_that_are_not_known(release: Release, cluster: Cluster) -> None:
    release.point_at(
        KUBECONFIG="/dev/null",
        HELM_KUBEAPISERVER=cluster.server,
        HELM_KUBETOKEN="unknown",
        HELM_KUBEINSECURE_SKIP_TLS_VERIFY="true",
    )
    await release.fails(Reason.API_UNAVAILABLE, transient=True)


async def test_an_admission_webhook_that_is_down(
    release: Release, client: Client, namespace: str
) -> None:
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["services"],
    }
    webhook = {
        "name": "down.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": here,
        "rules": [rule],
    }
    await client.create(WEBHOOKS, {"metadata": {"name": namespace}, "webhooks": [webhook]})
    try:
        await until_refused(client, namespace)
        await release.fails(Reason.OBJECT_REFUSED, transient=True, words="down.example.com")
    finally:
        await client.delete(WEBHOOKS, namespace)


async def test_what_mends_a_failed_install(release: Release, client: Client) -> None:
    """A first install that failed half-way is no dead end: the next upgrade goes through."""
    await release.fails(
        Reason.OBJECT_REFUSED, transient=False, service={"type": "NodePort", "nodePort": 5}
    )
    await release.upgrade(revision=2)
    await client.get(STATEFUL_SETS, "r-daemon", release.namespace)
    service = await client.get(SERVICES, "r-rpc", release.namespace)
    assert service["spec"]["type"] == "ClusterIP"


async def until_refused(client: Client, namespace: str) -> None:
    """Wait until the API server asks the webhook: it reads its configuration in the background."""
    probe = {"metadata": {"generateName": "probe-"}, "spec": {"ports": [{"port": 1}]}}
    while True:
        try:
            await client.create(SERVICES, probe, namespace, dryRun="All")
        except Exception as error:
            if "down.example.com" in str(error):
                return
            raise
