"""kvhelm.kube on a real API server."""

import asyncio
from pathlib import Path

import pytest

from kvhelm.kube.cache import key_of
from kvhelm.kube.client import Client
from kvhelm.kube.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.lease import LeaderElection
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    PODS,
    SERVICE_ACCOUNTS,
    Object,
)
from kvhelm.local.cluster import Cluster


def config_map(name: str, value: str = "") -> Object:
    return {"metadata": {"name": name, "labels": {"of": "test"}}, "data": {"value": value}}


async def test_watching_any_number_of_objects_begins_with_one_request(
    cluster: Cluster, client: Client, namespace: str
) -> None:
    for number in range(30):
        await client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace)
    async with await Client.connect(cluster.kubeconfig) as other:
        reflector = Reflector[Object](
            other,
            CONFIG_MAPS,
            namespace=namespace,
            label_selector="of=test",
            metadata_only=True,
        )
        changed: asyncio.Queue[Object | None] = asyncio.Queue()
        async with reflector:
            await reflector.synced.wait()
            reflector.add_handler(lambda old, new: changed.put_nowait(new))
            assert len(reflector) == 30
            assert all("data" not in obj for obj in reflector.values())
            await client.patch(CONFIG_MAPS, "m7", {"data": {"value": "new"}}, namespace)
            news = await changed.get()
            assert news
            assert key_of(news) == (namespace, "m7")
            await client.delete(CONFIG_MAPS, "m7", namespace)
            assert await changed.get() is None
            assert len(reflector) == 29
        assert other.requests == {("watch", "configmaps"): 1}


async def test_a_write_is_read_back_at_once_and_announced_once(
    client: Client, namespace: str
) -> None:
    reflector = Reflector[Object](client, CONFIG_MAPS, namespace=namespace, label_selector="of")
    announced: asyncio.Queue[str] = asyncio.Queue()
    reflector.add_handler(
        lambda _, new: announced.put_nowait(new["data"]["value"] if new else "deleted")
    )
    async with reflector:
        await reflector.synced.wait()
        for number in range(20):
            written = await client.apply(
                CONFIG_MAPS, config_map("a", str(number)), namespace, field_manager="test"
            )
            reflector.upsert(written)
            assert reflector[namespace, "a"]["data"]["value"] == str(number)
        await client.delete(CONFIG_MAPS, "a", namespace)
        told = [await announced.get() for _ in range(21)]
    assert told == [*(str(number) for number in range(20)), "deleted"]
    assert announced.empty()


async def test_refusals_are_told_apart(client: Client, namespace: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match='pods "x" not found'):
        await client.get(PODS, "x", namespace)
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await client.create(CONFIG_MAPS, config_map("Upper_Case"), namespace)
    await client.apply(CONFIG_MAPS, config_map("a", "1"), namespace, field_manager="one")
    with pytest.raises(Conflict, match="conflict with") as caught:
        await client.apply(CONFIG_MAPS, config_map("a", "2"), namespace, field_manager="two")
    assert not caught.value.transient
    with pytest.raises(Conflict) as caught:
        stale = {"metadata": {"resourceVersion": "1"}, "data": {}}
        await client.patch(CONFIG_MAPS, "a", stale, namespace)
    assert caught.value.transient
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", namespace, uid="another")


async def test_a_service_account_by_its_token_file(
    cluster: Cluster, client: Client, namespace: str, tmp_path: Path
) -> None:
    account = {"metadata": {"name": "robot"}}
    await client.create(SERVICE_ACCOUNTS, account, namespace)
    path = SERVICE_ACCOUNTS.path(namespace, "robot", "token")
    answer = await client.request(
        "POST", path, body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    )
    token = tmp_path / "token"
    token.write_text(answer["status"]["token"])
    authority = cluster.paths.certificates.certificate("ca")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"""
        current-context: robot
        contexts: [{{name: robot, context: {{cluster: here, user: robot}}}}]
        clusters: [{{name: here, cluster: {{server: "{cluster.server}",
                   certificate-authority: "{authority}"}}}}]
        users: [{{name: robot, user: {{tokenFile: "{token}"}}}}]
        """
    )
    async with await Client.connect(kubeconfig) as robot:
        with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:robot"):
            await robot.list(PODS, namespace)
    token.write_text("expired")
    async with await Client.connect(kubeconfig) as robot:
        with pytest.raises(Unauthorized):
            await robot.list(PODS, namespace)


async def test_the_lease_goes_from_hand_to_hand(client: Client, namespace: str) -> None:
    def elect(identity: str) -> LeaderElection:
        # (An hour: who waits until it ran out waits longer than the test may.)
        return LeaderElection(
            client, namespace, "boss", identity=identity, lease_duration=3600, retry_period=0.2
        )

    second = elect("second")
    async with elect("first") as first:
        waiting = asyncio.create_task(second.__aenter__())
        await asyncio.wait([waiting], timeout=1.0)
        assert first.is_leader
        assert not waiting.done()
    await waiting  # given back, not run out
    spec = (await client.get(LEASES, "boss", namespace))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)
    assert spec["leaseDurationSeconds"] == 3600
    await second.__aexit__()
    spec = (await client.get(LEASES, "boss", namespace))["spec"]
    assert "holderIdentity" not in spec


async def test_events_count_up(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"), namespace)
    about = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "namespace": namespace,
        "name": "a",
        "uid": made["metadata"]["uid"],
    }
    async with EventRecorder(client, "test") as recorder:
        for _ in range(3):
            recorder.record(about, "Warning", "Odd", "it looks odd")
        recorder.record({**about, "namespace": "no-such"}, "Normal", "Lost", "nobody reads this")
    events = (await client.list(EVENTS, namespace)).items
    assert [(e["reason"], e["count"], e["type"]) for e in events] == [("Odd", 3, "Warning")]
    assert events[0]["source"]["component"] == "test"
