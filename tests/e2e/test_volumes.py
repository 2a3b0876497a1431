"""Volumes on the nodes' own disks: whoever runs a container can write there, and finds it again."""

import json

import pytest

from kvhelm.kube.resource import PERSISTENT_VOLUMES, PODS, Object
from kvhelm.local.realnode.client import CLIENT_IMAGE
from kvhelm.local.realnode.plan import VOLUMES
from tests.e2e.pools import NODES, Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(600)]


async def test_a_volume_is_on_the_disk_of_its_node_and_goes_with_its_claim(pools: Pools) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    write = pod_for("writer", "open('/kept/word', 'w').write('here')")
    write["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODES[1]}
    both = {"apiVersion": "v1", "kind": "List", "items": [claim, write]}
    await pools.kubectl("apply", "-f", "-", stdin=json.dumps(both))
    await pools.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer")
    volume = await pools.kubectl("get", "pvc", "kept", "-o=jsonpath={.spec.volumeName}")
    assert pools.on_node(NODES[1], "cat", f"{VOLUMES}/{volume}/word") == "here"

    # Whoever comes later need not know where it is.
    read = pod_for("reader", "assert open('/kept/word').read() == 'here'")
    await pools.kubectl("apply", "-f", "-", stdin=json.dumps(read))
    await pools.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader")
    assert await pools.node_of("reader", pools.namespace) == NODES[1]

    await pools.kubectl("delete", "pod/writer", "pod/reader", "pvc/kept")
    await pools.gone(PERSISTENT_VOLUMES, volume)
    assert volume not in pools.on_node(NODES[1], "ls", VOLUMES)


def pod_for(name: str, script: str) -> Object:
    """Return a pod that runs Python once, as no user that a node knows, with the claim `kept`."""
    container = {
        "name": name,
        "image": CLIENT_IMAGE,
        "command": ["python3", "-c", script],
        "volumeMounts": [{"name": "kept", "mountPath": "/kept"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 4711, "runAsGroup": 4711, "fsGroup": 4712},
            "containers": [container],
            "volumes": [{"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}],
        },
    }


async def test_a_pools_own_etcd_finds_its_data_again(pools: Pools) -> None:
    """It is no root, so its volume must be its own. The pod is lost, and comes back as another."""
    await pools.create("pool", replicas=2, metadata={"managed": {"storage": {"size": "1Gi"}}})
    members = (await pools.ready("pool"))["status"]["members"]
    daemons = [pod["metadata"]["uid"] for pod in await pools.pods("pool")]
    first, second = [await pools.engine("pool", node) for node in NODES]
    key = await pools.put(first, 6)
    assert await pools.fetch(second, key) == 60_000

    etcd = await pools.client.get(PODS, "pool-etcd-0", pools.namespace)
    await pools.kubectl("delete", "pod", "pool-etcd-0", "--grace-period=0", "--force")
    await pools.running("pool-etcd-0", besides=etcd["metadata"]["uid"])
    assert (await pools.ready("pool"))["status"]["members"] == members
    assert await pools.fetch(second, key) == 60_000
    assert await pools.fetch_news(first, await pools.put(second, 9)) == 90_000
    found = await pools.pods("pool")
    assert [pod["metadata"]["uid"] for pod in found] == daemons
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in found]
    assert restarts == [0, 0]
