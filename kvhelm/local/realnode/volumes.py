"""Volumes on the nodes' own disks: a folder on the node that the scheduler chose for a claim.

Kubernetes' volumes of type `local`, since kubelet gives those to a pod's fsGroup, so that a
container of any user can write there (those of type `hostPath` stay root's). A volume is made when
a claim's first pod has a node, keeps its pods there, and goes with its claim, its files as well.
"""

import asyncio
import shutil
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kvhelm.kube.cache import Cache
from kvhelm.kube.client import Client
from kvhelm.kube.errors import AlreadyExists, Conflict, NotFound
from kvhelm.kube.reflector import Reflector
from kvhelm.kube.resource import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Object
from kvhelm.local.realnode.plan import VOLUMES

USER = "kvhelm:volumes"
"""Who makes them."""

_PROVISIONER = "kvhelm.local/volumes"
_CLASS = "node-disk"
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": _CLASS,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": _PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}
RULES = [
    {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims"],
        "verbs": ["list", "watch"],
    },
    {
        "apiGroups": [""],
        "resources": ["persistentvolumes"],
        "verbs": ["list", "watch", "create", "delete"],
    },
]

_CHOSEN = "volume.kubernetes.io/selected-node"
_BY = "pv.kubernetes.io/provisioned-by"
# Seconds until a failure is tried again.
_AGAIN = 1.0

FolderOf = Callable[[str], Path | None]
"""Tells which folder of this machine is VOLUMES of a node; None for a node that is no real one."""


def volume_for(claim: Object) -> Object | None:
    """Return the volume that a claim waits for; None if it waits for none of these, or not yet."""
    spec, metadata = claim["spec"], claim["metadata"]
    node = metadata.get("annotations", {}).get(_CHOSEN)
    if spec.get("storageClassName") != _CLASS or spec.get("volumeName") or not node:
        return None
    if spec["volumeMode"] != "Filesystem":
        return None  # a folder is no block device
    name = f"pvc-{metadata['uid']}"
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": PERSISTENT_VOLUMES.api_version,
        "kind": PERSISTENT_VOLUMES.kind,
        "metadata": {"name": name, "annotations": {_BY: _PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": _CLASS,
            "local": {"path": f"{VOLUMES}/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
                "kind": PERSISTENT_VOLUME_CLAIMS.kind,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def node_of(volume: Object) -> str:
    """Return the node that a volume of this class is on."""
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return str(term["matchExpressions"][0]["values"][0])


def is_done_with(volume: Object) -> bool:
    """Tell whether a volume was made here, and its claim has gone."""
    if volume["metadata"].get("annotations", {}).get(_BY) != _PROVISIONER:
        return False
    # A person may have said Retain since.
    deleted = volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    return bool(deleted and volume.get("status", {}).get("phase") == "Released")


async def keep_volumes(client: Client, folder_of: FolderOf) -> None:
    """Make the volumes that claims wait for, and remove those of claims that have gone, for ever.

    Failures are told on standard error, and tried again.
    """
    news = asyncio.Event()
    async with (
        Reflector[Object](client, PERSISTENT_VOLUME_CLAIMS) as claims,
        Reflector[Object](client, PERSISTENT_VOLUMES) as volumes,
    ):
        for cache in (claims, volumes):
            cache.add_handler(lambda *_: news.set())
            await cache.synced.wait()
        while True:
            news.clear()
            try:
                for claim in list(claims.values()):
                    await _ensure_volume(client, claim, volumes, folder_of)
                for volume in list(volumes.values()):
                    if is_done_with(volume):
                        await _remove(client, volume, folder_of)
            except Exception:  # the nodes go on without
                traceback.print_exc()
                asyncio.get_running_loop().call_later(_AGAIN, news.set)
            await news.wait()


async def _ensure_volume(
    client: Client, claim: Object, volumes: Cache[Object], folder_of: FolderOf
) -> None:
    volume = volume_for(claim)
    if volume is None or ("", volume["metadata"]["name"]) in volumes:
        return
    # Kubelet makes no folder for a local volume.
    if folder := folder_of(node_of(volume)):
        (folder / volume["metadata"]["name"]).mkdir(parents=True, exist_ok=True)
    with suppress(AlreadyExists):  # made before, and not seen yet
        await client.create(PERSISTENT_VOLUMES, volume)


async def _remove(client: Client, volume: Object, folder_of: FolderOf) -> None:
    metadata = volume["metadata"]
    if folder := folder_of(node_of(volume)):
        with suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, folder / metadata["name"])
    with suppress(NotFound, Conflict):
        await client.delete(PERSISTENT_VOLUMES, metadata["name"], uid=metadata["uid"])
