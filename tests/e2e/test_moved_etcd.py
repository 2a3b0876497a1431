"""An etcd of the user's whose pod comes back with another address, behind a headless Service."""

import json

import pytest

from kvhelm.controller.registered import SILENT_AFTER
from tests.e2e.pools import Pools

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.timeout(900)]


async def test_daemons_that_can_not_find_their_etcd_again_are_restarted(pools: Pools) -> None:
    """Its data is all there. vineyardd alone would be cut off for ever."""
    await pools.own_etcd()
    # On the node's own disk: what is in the pod would be gone with it.
    kept = {"path": f"/var/lib/{pools.namespace}", "type": "DirectoryOrCreate"}
    change = [{"op": "replace", "path": "/spec/template/spec/volumes/0", "value": {}}]
    change[0]["value"] = {"name": "data", "hostPath": kept}
    before = await pools.running("etcd-0")
    await pools.kubectl("patch", "statefulset/etcd", "--type=json", f"-p={json.dumps(change)}")
    etcd = await pools.running("etcd-0", besides=before["metadata"]["uid"])

    await pools.create("pool")
    await pools.ready("pool")
    (daemon,) = await pools.pods("pool")
    node = daemon["spec"]["nodeName"]
    engine = await pools.engine("pool", node)
    await pools.put(engine, 1)
    await pools.kubectl("delete", "pod", "etcd-0")
    moved = await pools.running("etcd-0", besides=etcd["metadata"]["uid"])
    assert moved["status"]["podIP"] != etcd["status"]["podIP"]

    words = str((await pools.event("pool", "DaemonsRestarted", SILENT_AFTER))["message"])
    assert "have not been heard of in etcd" in words
    await pools.running(daemon["metadata"]["name"], besides=daemon["metadata"]["uid"])
    await pools.ready("pool")
    await pools.kubectl("delete", "pod", engine, "--grace-period=0", "--force")
    engine = await pools.engine("pool", (await pools.nodes("pool"))[0])
    assert await pools.fetch(engine, await pools.put(engine, 2)) == 20_000
