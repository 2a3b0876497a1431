"""Many pools at once: created, left alone, found again by a new operator, updated."""

import asyncio

from bench.figures import Cost, Fleet, Restart
from bench.meter import cost_between, cost_since, reading
from bench.operators import Operator
from bench.pools import IMAGES, is_ready, manifest_for, names_for, pool_for, spec_for
from bench.setting import Setting
from bench.watch import watching
from kvhelm.controller.watches import POOLS

NAMESPACE = "bench-fleet"

_PATCHES = 8
"""Pools that are patched at a time."""


async def measure_create(setting: Setting, operator: Operator, count: int) -> Fleet:
    """Create all pools with one kubectl."""
    loop = asyncio.get_running_loop()
    spec = spec_for(setting.etcd)
    names = names_for(count)
    manifest = manifest_for(pool_for(name, NAMESPACE, spec) for name in names)
    await setting.create_namespace(NAMESPACE)
    async with watching(setting.client, POOLS, NAMESPACE) as pools:
        before = reading(setting.cluster, await operator.until_quiet())
        begun = loop.time()
        await setting.kubectl("create", manifest)
        ready = await pools.last_moment(names, is_ready)
    return Fleet(round(ready - begun, 3), await cost_since(before, setting.cluster, operator))


async def measure_update(setting: Setting, operator: Operator, count: int) -> Fleet:
    """Change the image of every pool."""
    loop = asyncio.get_running_loop()
    names = names_for(count)
    turns = asyncio.Semaphore(_PATCHES)

    async def change(name: str) -> None:
        async with turns:
            body = {"spec": {"cache": {"image": IMAGES[1]}}}
            await setting.client.patch(POOLS, name, body, NAMESPACE)

    async with watching(setting.client, POOLS, NAMESPACE) as pools:
        before = reading(setting.cluster, await operator.until_quiet())
        begun = loop.time()
        await asyncio.gather(*(change(name) for name in names))
        ready = await pools.last_moment(names, lambda pool: is_ready(pool, 2))
    return Fleet(round(ready - begun, 3), await cost_since(before, setting.cluster, operator))


async def measure_idle(setting: Setting, operator: Operator, seconds: float) -> Cost:
    """Do nothing for a while; whatever happens then happens by itself."""
    before = reading(setting.cluster, await operator.until_quiet())
    await asyncio.sleep(seconds)
    return cost_between(before, reading(setting.cluster, await operator.scrape()))


async def measure_restart(setting: Setting, operator: Operator) -> tuple[Operator, Restart]:
    """Stop the operator and start another; return it."""
    loop = asyncio.get_running_loop()
    told = loop.time()
    await operator.stop()
    ended = loop.time()
    before = reading(setting.cluster)
    successor = await setting.start_operator()
    leading, settled = await successor.until_settled()
    return successor, Restart(
        ended=round(ended - told, 3),
        leading=round(leading - successor.spawned, 3),
        settled=round(settled - successor.spawned, 3),
        cost=await cost_since(before, setting.cluster, successor),
    )
