"""One pool at a time: how long a person waits."""

import asyncio
from collections import defaultdict

from bench.figures import Single, Spread
from bench.pools import IMAGES, daemons_of, is_ready, manifest_for, pool_for, spec_for
from bench.setting import Setting
from bench.watch import watching
from kvhelm.controller.observe import POOLS
from kvhelm.kube.resource import STATEFUL_SETS, Object

NAMESPACE = "bench-single"


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

            begun = loop.time()
            await client.delete(POOLS, name, NAMESPACE)
            note("delete_to_gone", begun, await pools.moment(name, lambda pool: pool is None))
    return Single(**{what: Spread(tuple(each)) for what, each in seconds.items()})


def _has_new_image(statefulset: Object | None) -> bool:
    containers = statefulset["spec"]["template"]["spec"]["containers"] if statefulset else ()
    return any(container["image"] == IMAGES[1] for container in containers)


def _has_two(statefulset: Object | None) -> bool:
    return statefulset is not None and statefulset["spec"]["replicas"] == 2
