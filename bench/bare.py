"""The floor: helm processes alone, installing the same releases."""

import asyncio
import json
import resource
import uuid

from bench.figures import Bare
from bench.meter import cpu_between, cpu_of
from bench.pools import daemons_of, names_for, spec_for
from bench.setting import Setting, run
from bench.watch import watching
from kvhelm import assets
from kvhelm.api.v1alpha1 import parse_spec
from kvhelm.kube.resource import STATEFUL_SETS, Object
from kvhelm.values import Defaults, values_for

NAMESPACE = "bench-bare"
PROCESSES = 4
"""As many as kvhelm runs at a time."""


async def measure_bare(setting: Setting, count: int) -> Bare:
    """Install as many releases, with the flags that kvhelm uses; no operator may be running."""
    loop = asyncio.get_running_loop()
    spec = parse_spec(spec_for(setting.etcd))
    turns = asyncio.Semaphore(PROCESSES)
    names = names_for(count)

    async def install(name: str) -> None:
        values = values_for(
            spec, name=name, namespace=NAMESPACE, uid=str(uuid.uuid4()), defaults=Defaults()
        )
        command = [
            *(str(setting.cluster.helm), "upgrade", name, str(assets.chart_dir()), "--install"),
            *("--namespace", NAMESPACE, "--values", "-"),
            *("--server-side=true", "--force-conflicts", "--disable-openapi-validation"),
        ]
        async with turns:
            await run(command, json.dumps(values), setting.environment | {"GOGC": "400"})

    await setting.create_namespace(NAMESPACE)
    async with watching(setting.client, STATEFUL_SETS, NAMESPACE) as statefulsets:
        helm_before, control_plane_before = _cpu_of_children(), cpu_of(setting.cluster)
        begun = loop.time()
        await asyncio.gather(*(install(name) for name in names))
        installed = loop.time()
        ready = await statefulsets.last_moment((daemons_of(name) for name in names), _is_ready)
    return Bare(
        releases=count,
        processes=PROCESSES,
        installed=round(installed - begun, 3),
        ready=round(ready - begun, 3),
        helm_cpu=round(_cpu_of_children() - helm_before, 3),
        control_plane_cpu=cpu_between(control_plane_before, cpu_of(setting.cluster)),
    )


def _cpu_of_children() -> float:
    """Return the CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _is_ready(statefulset: Object | None) -> bool:
    return statefulset is not None and statefulset.get("status", {}).get("readyReplicas", 0) >= 1
