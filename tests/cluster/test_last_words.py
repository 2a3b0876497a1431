"""Pods that get a node and do not run: the pool says why in words that a person can act on.

No node here runs containers, so each story writes what a kubelet would have written.
"""

import contextlib
from typing import Any

from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import PODS, Object
from tests.cluster.stories import Stories, condition

CRASHED = {"exitCode": 1, "reason": "Error"}


async def test_an_image_that_can_not_be_pulled(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    said = 'rpc error: code = NotFound desc = failed to pull "vineyard:1": not found'
    await kubelet_says(stories, "p", state={"waiting": {"reason": "ErrImagePull", "message": said}})
    words = await stories.turned("p", "Ready", "False", "ImageUnavailable")
    assert words == f"p-daemon-0: the image vineyard:1 can't be pulled (ErrImagePull): {said}."
    assert condition(await stories.get("p"), "Stalled")["status"] == "False"
    await kubelet_says(stories, "p", ready=True, started=True, state={"running": {}})
    await stories.ready("p")


async def test_a_daemon_that_crashes_and_comes_back(stories: Stories) -> None:
    await stories.create("p")
    await stories.ready("p")
    last = {"terminated": CRASHED | {"message": "ERROR: unknown command line flag 'bogus'\n"}}
    again = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    await kubelet_says(stories, "p", state=again, lastState=last, restartCount=1)
    words = await stories.turned("p", "Ready", "False", "Crashing")
    assert words.endswith("its last words: ERROR: unknown command line flag 'bogus'.")
    seen = await stories.get("p")
    # The next restart is no news.
    await kubelet_says(stories, "p", state={"running": {}}, lastState=last, restartCount=2)
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    await kubelet_says(stories, "p", state=again, lastState=killed, restartCount=3)
    words = await stories.turned("p", "Ready", "False", "OutOfMemory")
    assert "cache.resources.limits.memory" in words
    assert (
        condition(seen, "Ready")["lastTransitionTime"]
        == (condition(await stories.get("p"), "Ready")["lastTransitionTime"])
    )
    ready = {"ready": True, "started": True, "state": {"running": {}}, "lastState": killed}
    await kubelet_says(stories, "p", **ready)
    await stories.ready("p")


async def test_an_image_whose_vineyardd_knows_no_redis(stories: Stories) -> None:
    nowhere = {"redis": {"endpoint": "redis://127.0.0.1:1"}, "preflight": "Warn"}
    await stories.create("p", metadata=nowhere)
    await stories.ready("p")
    said = "ERROR: unknown command line flag 'redis_endpoint'\n"
    await kubelet_says(stories, "p", state={"terminated": CRASHED | {"message": said}})
    words = await stories.turned("p", "Stalled", "True", "BuiltWithoutRedis")
    assert "this image's vineyardd was built without redis" in words
    # Mended by a person, with another service or another image.
    await stories.change("p", metadata={"redis": None, "etcd": {"endpoints": [stories.etcd]}})
    await stories.turned("p", "Stalled", "False", "Done")
    # A StatefulSet in order waits for ever for a pod that is not ready: that one has to go.
    with contextlib.suppress(NotFound):
        await stories.client.delete(PODS, "p-daemon-0", stories.namespace)
    await stories.ready("p")


async def kubelet_says(stories: Stories, pool: str, **container: Any) -> None:
    """Write the status of the first daemon's container."""
    (pod,) = await stories.pods(pool)
    (known,) = pod["status"]["containerStatuses"]
    status = {
        "name": known["name"],
        "image": known["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
    }
    state: Object = {
        "containerStatuses": [status | container],
        "conditions": [
            {"type": kind, "status": str(bool(container.get("ready")))}
            for kind in ("Ready", "ContainersReady")
        ],
    }
    await stories.client.patch_status(PODS, pod["metadata"]["name"], state, stories.namespace)
