"""Something that only a person can mend: said once, in words that help, and over when mended."""

from collections.abc import Callable

from kvhelm.assets import chart_dir
from kvhelm.kube.resource import NAMESPACES, SERVICES, Object, Resource
from tests.cluster.operators import Operator
from tests.cluster.stories import Stories, condition

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")

Start = Callable[..., Operator]


async def test_a_release_of_someone_else(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    values = '{"cache": {"image": "theirs:1"}}'
    await alone.helm("install", "p", str(chart_dir()), "--values", "-", stdin=values)
    theirs = await alone.objects("p")
    await alone.create("p")
    words = await alone.turned("p", "Stalled", "True", "ReleaseInTheWay")
    assert f"helm uninstall p -n {alone.namespace}" in words
    untouched = await alone.objects("p")
    assert {name: untouched[name] for name in theirs if "Secret" in name} == {
        name: version for name, version in theirs.items() if "Secret" in name
    }
    assert operator.helm_processes == 0
    await alone.helm("uninstall", "p")
    await alone.ready("p")
    assert operator.helm_processes == 1


async def test_an_object_of_someone_else(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    foreign: Object = {"metadata": {"name": "p-rpc"}, "spec": {"ports": [{"port": 1}]}}
    theirs = await alone.client.create(SERVICES, foreign, alone.namespace)
    await alone.create("p")
    words = await alone.turned("p", "Stalled", "True", "ObjectInTheWay")
    assert "Service/p-rpc" in words
    assert await alone.client.get(SERVICES, "p-rpc", alone.namespace) == theirs
    assert (await alone.event("p", "ObjectInTheWay"))["type"] == "Warning"
    # kstatus: who waits for Ready is told that waiting is in vain.
    pool = await alone.get("p")
    assert condition(pool, "Reconciling")["status"] == "False"

    # Nothing else of the pool moves it to try again: no label, no scale, no restart.
    patch = {"metadata": {"labels": {"touched": "yes"}}, "spec": {"replicas": 2}}
    await alone.kubectl("patch", "kvcp", "p", "--type=merge", "-p", str(patch).replace("'", '"'))
    await alone.pool("p", lambda it: it["status"]["observedGeneration"] == 2, "to be looked at")
    assert operator.helm_processes == 1

    # It goes on by itself, and by nothing but the way being free.
    await alone.client.delete(SERVICES, "p-rpc", alone.namespace)
    pool = await alone.ready("p")
    assert pool["status"]["readyReplicas"] == 2
    assert operator.helm_processes == 2


async def test_pod_security_refuses_the_daemons(stories: Stories) -> None:
    await enforce(stories, "baseline")
    await stories.create("p")
    words = await stories.turned("p", "Stalled", "True", "PodsForbidden")
    assert "EmptyDir" in words
    assert "hostPath" in words
    # The remedy that the condition names, in the strictest of namespaces.
    await enforce(stories, "restricted")
    await stories.change("p", cache={"socket": "EmptyDir"})
    pool = await stories.ready("p")
    assert condition(pool, "Stalled")["status"] == "False"


async def test_an_etcd_of_its_own_fits_the_restricted_profile(stories: Stories) -> None:
    await enforce(stories, "restricted")
    await stories.create("p", metadata=None, cache={"image": "v:1", "socket": "EmptyDir"})
    await stories.ready("p")


async def test_a_quota_of_pods(stories: Stories) -> None:
    await limit(stories, {"pods": "0"})
    await stories.create("p")
    words = await stories.turned("p", "Stalled", "True", "QuotaExceeded")
    assert "exceeded quota: small" in words
    await stories.client.delete(QUOTAS, "small", stories.namespace)
    await stories.ready("p")


async def test_a_quota_of_services(stories: Stories) -> None:
    await limit(stories, {"count/services": "0"})
    await stories.create("p")
    words = await stories.turned("p", "Ready", "False", "QuotaExceeded")
    assert "exceeded quota: small" in words
    await stories.client.delete(QUOTAS, "small", stories.namespace)
    await stories.ready("p")


async def test_an_object_that_the_api_server_refuses(alone: Stories, start: Start) -> None:
    operator = start(alone.namespace)
    await alone.create("p", service={"type": "NodePort", "nodePort": 5})
    words = await alone.turned("p", "Stalled", "True", "ObjectRefused")
    assert "valid ports is 30000-32767" in words
    assert operator.helm_processes == 1
    await alone.change("p", service={"nodePort": None})
    await alone.ready("p")
    assert operator.helm_processes == 2


async def enforce(stories: Stories, profile: str) -> None:
    label = {"pod-security.kubernetes.io/enforce": profile}
    await stories.client.patch(NAMESPACES, stories.namespace, {"metadata": {"labels": label}})


async def limit(stories: Stories, hard: dict[str, str]) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": hard}}
    await stories.client.create(QUOTAS, quota, stories.namespace)
    await stories.wait(QUOTAS, "small", lambda it: "hard" in it.get("status", {}), "to count")
