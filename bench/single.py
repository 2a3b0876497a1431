"""One pool at a time: how long a person waits."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

from bench.figures import Single, Spread
from bench.pools import IMAGES, daemons_of, is_ready, manifest_for, pool_for, spec_for
from bench.setting import Setting
from bench.watch import Holds, Watch, watching
from kvhelm.controller.watches import POOLS
from kvhelm.kube.cache import version_of
from kvhelm.kube.client import Client
from kvhelm.kube.resource import CONFIG_MAPS, PODS, SECRETS, SERVICES, STATEFUL_SETS, Object

NAMESPACE = "bench-single"
ENDPOINT = "VINEYARD_RPC_ENDPOINT"
DEADLINE = 2
"""Seconds of progress that an upgrade is given which never gets on."""


async def measure_single(setting: Setting, times: int) -> Single:
    """Take a pool through its life, several times in turn."""
    client = setting.client
    loop = asyncio.get_running_loop()
    seconds: dict[str, list[float]] = defaultdict(list)

    def note(what: str, begun: float, ended: float) -> None:
        seconds[what].append(round(ended - begun, 4))

    spec = spec_for(setting.etcd)
    await setting.create_namespace(NAMESPACE)
    async with (
        watching(client, POOLS, NAMESPACE) as pools,
        watching(client, STATEFUL_SETS, NAMESPACE) as statefulsets,
        watching(client, CONFIG_MAPS, NAMESPACE) as config_maps,
        watching(client, SERVICES, NAMESPACE) as services,
        watching(client, PODS, NAMESPACE) as pods,
        watching(client, SECRETS, NAMESPACE) as secrets,
    ):
        for number in range(times):
            name = f"one-{number:02}"
            daemons = daemons_of(name)
            accepted = asyncio.create_task(pools.moment(name, lambda pool: pool is not None))
            ready = asyncio.create_task(pools.moment(name, is_ready))
            begun = loop.time()
            await setting.kubectl("apply", manifest_for([pool_for(name, NAMESPACE, spec)]))
            note("kubectl_to_ready", begun, await ready)
            note("accepted_to_ready", await accepted, await ready)

            begun = loop.time()
            await client.patch(POOLS, name, {"spec": {"cache": {"image": IMAGES[1]}}}, NAMESPACE)
            note("image_to_statefulset", begun, await statefulsets.moment(daemons, _has_new_image))
            await pools.moment(name, lambda pool: is_ready(pool, 2))

            begun = loop.time()
            two = {"spec": {"replicas": 2}}
            await client.patch(POOLS, name, two, NAMESPACE, subresource="scale")
            note("scale_to_statefulset", begun, await statefulsets.moment(daemons, _has_two))
            await pools.moment(name, lambda pool: is_ready(pool, 3))

            for what, begun, ended in await _drift(client, name, config_maps, services):
                note(what, begun, ended)

            note("deadline_to_rollback", *await _rollback(client, name, pools, pods, secrets))

            begun = loop.time()
            await client.delete(POOLS, name, NAMESPACE)
            note("delete_to_gone", begun, await pools.moment(name, lambda pool: pool is None))
    return Single(**{what: Spread(tuple(each)) for what, each in seconds.items()})


def _has_new_image(statefulset: Object | None) -> bool:
    containers = statefulset["spec"]["template"]["spec"]["containers"] if statefulset else ()
    return any(container["image"] == IMAGES[1] for container in containers)


def _has_two(statefulset: Object | None) -> bool:
    return statefulset is not None and statefulset["spec"]["replicas"] == 2


async def _drift(
    client: Client, pool: str, config_maps: Watch, services: Watch
) -> list[tuple[str, float, float]]:
    """Change objects of the release by hand; return when that was, and when each was right."""
    now = asyncio.get_running_loop().time
    connection, service = f"{pool}-connection", f"{pool}-rpc"
    moments = []

    begun = now()
    wrong: Object = {"data": {ENDPOINT: "elsewhere"}}
    changed = await client.patch(CONFIG_MAPS, connection, wrong, NAMESPACE)
    right = _since(changed, lambda it: it["data"][ENDPOINT] != "elsewhere")
    moments.append(("field_to_repaired", begun, await config_maps.moment(connection, right)))

    begun = now()
    wrong = {"spec": {"ports": [{"name": "rpc", "port": 9700, "targetPort": "rpc"}]}}
    changed = await client.patch(SERVICES, service, wrong, NAMESPACE)
    right = _since(changed, lambda it: it["spec"]["ports"][0]["port"] == 9600)
    moments.append(("port_to_repaired", begun, await services.moment(service, right)))

    begun = now()
    changed = await client.delete(SERVICES, service, NAMESPACE)
    uid = (changed.get("details") or changed["metadata"])["uid"]
    right = _since(changed, lambda it: it["metadata"]["uid"] != uid)
    moments.append(("deleted_to_again", begun, await services.moment(service, right)))
    return moments


async def _rollback(
    client: Client, name: str, pools: Watch, pods: Watch, secrets: Watch
) -> tuple[float, float]:
    """Upgrade to what no node fits; return the progress deadline and when helm began to go back."""
    upgrade = {"progressDeadlineSeconds": DEADLINE}
    nowhere = {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}
    spec = {"upgrade": upgrade, "scheduler": nowhere}
    before = await client.patch(POOLS, name, {"spec": spec}, NAMESPACE)
    revision = before["status"]["release"]["revision"] + 1
    stuck: Object = {}

    def is_stuck(pod: Object | None) -> bool:
        if pod is None or not pod["spec"].get("nodeSelector"):
            return False
        stuck.update(pod)
        return True

    await pods.moment(f"{daemons_of(name)}-1", is_stuck)
    begun = await secrets.moment(_secret(name, revision + 1), lambda it: it is not None)
    now = datetime.now(UTC).timestamp() - asyncio.get_running_loop().time()
    made = await client.get(SECRETS, _secret(name, revision), NAMESPACE)
    since = max(
        datetime.fromisoformat(each["metadata"]["creationTimestamp"]) for each in (made, stuck)
    )
    await pools.moment(name, _is_back)
    return since.timestamp() + DEADLINE - now, begun


def _secret(release: str, revision: int) -> str:
    return f"sh.helm.release.v1.{release}.v{revision}"


def _is_back(pool: Object | None) -> bool:
    status = pool["status"] if pool else {}
    return bool(status.get("release", {}).get("rejected")) and status.get("readyReplicas") == 2


def _since(changed: Object, right: Callable[[Object], bool]) -> Holds:
    """Tell of an object whether it is right at a later version than that of the change."""
    return lambda it: it is not None and version_of(it) > version_of(changed) and right(it)
