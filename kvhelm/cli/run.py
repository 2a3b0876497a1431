"""`kvhelm run`: the operator."""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from kvhelm import assets
from kvhelm.controller.operator import run
from kvhelm.controller.settings import Settings
from kvhelm.controller.waves import Waves
from kvhelm.errors import SpecError
from kvhelm.metadata.policy import DialPolicy
from kvhelm.values import Defaults


def command(
    namespace: Annotated[
        list[str],
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            help="A namespace to watch; may be given several times, or once with commas.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Watch all namespaces.")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(help="kubectl's rules by default, the service account inside a pod."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    chart: Annotated[
        Path | None, typer.Option(help="The pool's chart; the one that kvhelm brings by default.")
    ] = None,
    helm: Annotated[str, typer.Option(help="The helm executable (helm 4).")] = "helm",
    helm_processes: Annotated[
        int, typer.Option(min=1, max=64, help="Helm processes at a time.")
    ] = 4,
    helm_deadline: Annotated[
        float, typer.Option(min=5, help="Seconds that one helm process may take.")
    ] = 120,
    lease_namespace: Annotated[
        str, typer.Option(help="Namespace of the Lease by which one controller leads.")
    ] = "kvhelm-system",
    lease_name: Annotated[str, typer.Option(help="Name of that Lease.")] = "kvhelm",
    listen: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Serves /healthz, /readyz and /metrics."),
    ] = "127.0.0.1:8080",
    gpu_type_label: Annotated[
        str | None,
        typer.Option(help="Node label of the GPU's type, for pools that set no gpuTypeLabel."),
    ] = None,
    affinity_workload_label: Annotated[
        str | None,
        typer.Option(help="Pod label of the workload, for pools that set none."),
    ] = None,
    chart_canary: Annotated[
        int, typer.Option(min=0, help="Pools that get a new chart before all others.")
    ] = 1,
    chart_share: Annotated[
        int,
        typer.Option(
            min=0, max=100, help="Percent of the pools that get it at a time then; 0: none."
        ),
    ] = 25,
    etcd_endpoint: Annotated[
        list[str],
        typer.Option(
            metavar="URL",
            help="Client URL of the etcd of pools that say nothing of metadata; several times for "
            "several. Without it each of them gets an etcd of its own.",
        ),
    ] = [],  # noqa: B006
    allow_endpoint: Annotated[
        list[str],
        typer.Option(
            metavar="CIDR|HOST",
            help="Only these addresses and host patterns may be dialled for metadata. Loopback and "
            "link-local addresses need a CIDR of their own here.",
        ),
    ] = [],  # noqa: B006
    deny_endpoint: Annotated[
        list[str],
        typer.Option(metavar="CIDR|HOST", help="These may not, whatever is allowed."),
    ] = [],  # noqa: B006
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the operator: one Helm release for each KVCachePool of the watched namespaces."""
    namespaces = tuple(name for each in namespace for name in each.split(",") if name)
    if bool(namespaces) == all_namespaces:
        raise SpecError("give either --namespace (once or more) or --all-namespaces")
    try:
        defaults = Defaults(
            gpu_type_label=gpu_type_label,
            affinity_workload_label=affinity_workload_label,
            etcd_endpoints=etcd_endpoint,
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = {
            "gpuTypeLabel": "gpu-type-label",
            "affinityWorkloadLabel": "affinity-workload-label",
            "etcdEndpoints": "etcd-endpoint",
        }[str(first["loc"][0])]
        raise SpecError(f"--{option}: {first['msg']}") from None
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    settings = Settings(
        chart=chart or assets.chart_dir(),
        namespaces=namespaces,
        kubeconfig=kubeconfig,
        context=context,
        lease_namespace=lease_namespace,
        lease_name=lease_name,
        helm=helm,
        helm_processes=helm_processes,
        helm_deadline=helm_deadline,
        listen=listen,
        defaults=defaults,
        waves=Waves(chart_canary, chart_share),
        dial=DialPolicy.of(allow_endpoint, deny_endpoint),
    )
    asyncio.run(_until_signalled(settings))


async def _until_signalled(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signalled in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signalled, stop.set)
    if sys.version_info < (3, 12):
        # A pidfd instead of a thread for each helm process; the default since Python 3.12.
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
    await run(settings, stop)
