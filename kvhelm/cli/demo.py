"""`kvhelm demo`: a local cluster, the operator on it, and the sample pool's way to Ready."""

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from ruamel.yaml import YAML

from kvhelm import assets
from kvhelm.cli.local import Runtime
from kvhelm.cli.tensor import show_tensor
from kvhelm.cli.timeline import Line, Timeline
from kvhelm.controller.watches import POOLS
from kvhelm.errors import LocalError
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import EVENTS, PODS, Object, Resource
from kvhelm.local import cluster as local
from kvhelm.local.cluster import Cluster
from kvhelm.local.operator import ensure_operator
from kvhelm.local.places import state_root
from kvhelm.local.progress import ConsoleProgress
from kvhelm.local.realnode.client import ensure_client_image
from kvhelm.local.realnode.power import load_image
from kvhelm.local.realnode.preflight import problems
from kvhelm.values import release_name

CLUSTER = "demo"
"""Name of the demo's own local cluster."""

_PATIENCE = 180
"""Seconds until the pool must be Ready: it takes two, on a busy machine some more."""

_PATIENCE_AGAIN = 20
"""Seconds for a pool that was there: it may be what its person made of it that is not Ready."""


def command(
    runtime: Annotated[
        Runtime | None,
        typer.Option(
            help="containerd: real nodes, on which the pool really runs; kwok: nodes that "
            "pretend. By default real ones where this machine can (Linux, root)."
        ),
    ] = None,
) -> None:
    """Show what kvhelm does: a local cluster, the operator, and a pool on its way to Ready.

    On real nodes two engines then use the pool. Does all of its own set-up, needs neither Docker
    nor a cluster, and touches none of yours. It leaves everything running to play with, and says
    how to stop it. Run again, it starts what is missing and leaves the rest as you made it.
    """
    console = Console(soft_wrap=True, highlight=False)
    progress = ConsoleProgress(console)
    console.print(
        "[dim]The first run builds a Kubernetes control plane with Go, about 10 minutes on two "
        "cores, with real nodes 14; later runs start in seconds.[/dim]"
    )
    real_nodes = _real_nodes(console, runtime)
    if real_nodes:
        ensure_client_image(progress)
    cluster = local.up(CLUSTER, real_nodes=real_nodes, progress=progress)
    operator = ensure_operator(cluster, progress)
    metadata = YAML(typ="safe").load(_sample())["metadata"]
    name, namespace = str(metadata["name"]), str(metadata["namespace"])
    with ThreadPoolExecutor(1) as beside:
        # Meanwhile the pool comes up.
        engines = beside.submit(_load_engines, cluster) if cluster.real_nodes else None
        asyncio.run(_show_pool(console, cluster, name, namespace))
        _show_what_there_is(console, cluster, namespace)
        if engines:
            with progress.during("loading vineyard's client into the nodes"):
                engines.result()
            show_tensor(console, partial(_run, cluster), name, namespace)
    _suggest(console, name, operator.port)


def _real_nodes(console: Console, runtime: Runtime | None) -> int | None:
    """Return how many real nodes the demo has; None leaves a cluster that is there as it is."""
    if runtime is None and CLUSTER in local.names():
        return None
    if runtime is Runtime.kwok:
        return 0
    lacking = list(problems(state_root())) if runtime is None else []
    if lacking:
        console.print(f"[dim]The nodes only pretend to run the pool: {lacking[0]}[/dim]")
    return 0 if lacking else 2


def _load_engines(cluster: Cluster) -> None:
    load_image(cluster.place, ensure_client_image())


async def _show_pool(console: Console, cluster: Cluster, name: str, namespace: str) -> None:
    """Apply the sample unless its pool is there; print its way to Ready."""
    timeline = Timeline(name, release_name(name))
    async with await Client.connect(cluster.kubeconfig) as client:
        # Events of former pools are of no interest.
        since = (await client.list(EVENTS, namespace)).resource_version
        try:
            found = await client.get(POOLS, name, namespace)
        except NotFound:
            await asyncio.to_thread(_apply_sample, console, cluster)
            await _follow(console, client, timeline, namespace, since, _PATIENCE)
        else:
            console.print(f"\nThe sample pool is there, and left as it is: {name}")
            for _ in timeline.lines(found):
                pass  # only what turns from now on is news
            await _follow(console, client, timeline, namespace, since, _PATIENCE_AGAIN)


def _apply_sample(console: Console, cluster: Cluster) -> None:
    sample = _sample()
    console.print(f"\n[bold]$ kubectl apply --filename {_shown(sample)}[/bold]")
    console.print(sample.read_text(), markup=False)
    _run(cluster, "kubectl", "apply", "--filename", str(sample))


async def _follow(
    console: Console,
    client: Client,
    timeline: Timeline,
    namespace: str,
    since: str,
    patience: float,
) -> None:
    """Print what turns until the pool is Ready. Raises LocalError if it stalls, or takes long."""
    queue: asyncio.Queue[Object | Exception] = asyncio.Queue()

    async def watch(resource: Resource, **query: Any) -> None:
        try:
            async with client.stream_watch(
                resource, namespace, timeout=patience, silence=patience, **query
            ) as events:
                async for event in events:
                    if event["type"] != "BOOKMARK":
                        queue.put_nowait(event["object"])
        except Exception as error:  # raised again below
            queue.put_nowait(error)

    watches = [
        asyncio.create_task(watch(POOLS, fieldSelector=f"metadata.name={timeline.name}")),
        asyncio.create_task(
            watch(PODS, labelSelector=f"app.kubernetes.io/instance={timeline.release}")
        ),
        asyncio.create_task(watch(EVENTS, resourceVersion=since)),
    ]
    begun = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            while not timeline.ready:
                seen = await queue.get()
                if isinstance(seen, Exception):
                    raise seen
                for line in timeline.lines(seen):
                    _print(console, time.monotonic() - begun, line)
                if timeline.stalled:
                    raise LocalError(f"the sample pool stalled: {timeline.stalled}")
    except TimeoutError:
        raise LocalError(
            f"the sample pool is not Ready after {patience} s: {timeline.message or 'no status'}. "
            f"`{_program()} local status --name {CLUSTER}` names the logs; to start anew, delete "
            "the pool and run this again."
        ) from None
    finally:
        for each in watches:
            each.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


def _print(console: Console, seconds: float, line: Line) -> None:
    text = Text()
    text.append(f"{seconds:6.2f} s  ", style="dim")
    text.append(f"{line.subject:14}", style="bold" if line.subject != "event" else "dim")
    text.append(f"{line.what:24}", style=line.style)
    text.append(f" {line.detail}", style="" if line.subject != "event" else "dim")
    console.print(text)


def _show_what_there_is(console: Console, cluster: Cluster, namespace: str) -> None:
    for line in (
        ("kubectl", "get", "kvcp,pods,services", "--namespace", namespace),
        ("helm", "list", "--namespace", namespace),
    ):
        console.print(f"\n[bold]$ {' '.join(line)}[/bold]")
        console.print(_run(cluster, *line).rstrip(), markup=False)


def _suggest(console: Console, name: str, port: int | None) -> None:
    me = _program()
    console.print(
        f"""
[bold green]The pool is Ready.[/bold green] All of this keeps running. Try:

  eval "$({me} local env --name {CLUSTER})"    [dim]# kubectl and helm of this cluster, here[/dim]
  kubectl describe kvcp {name}
  kubectl scale kvcp {name} --replicas=2
  kubectl patch kvcp {name} --type=merge --patch '{{"spec": {{"cache": {{"memory": "2Gi"}}}}}}'
  kubectl get events --watch
  helm history {name}
  helm get manifest {name}
  kubectl delete kvcp {name}    [dim]# run the demo again to get it back[/dim]
  curl http://127.0.0.1:{port}/metrics
  {me} local status --name {CLUSTER}

[bold]Stop it[/bold] and remove every trace of it:

  {_stop(me)}
"""
    )


def _sample() -> Path:
    return assets.examples_dir() / "sample.yaml"


def _run(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl or helm as a person would after `kvhelm local env`; return what it prints."""
    done = subprocess.run(
        [str(cluster.paths.bin / arguments[0]), *arguments[1:]],
        input=stdin,
        env={**os.environ, **local.environment(cluster, os.environ.get("PATH", ""))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _program() -> str:
    """Return how the person called kvhelm, for lines that can be pasted."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(_shown(Path(sys.executable)))} -m kvhelm"
    found = shutil.which("kvhelm")
    if found and Path(found).resolve() == called.resolve():
        return "kvhelm"
    return shlex.quote(_shown(called))


def _shown(path: Path) -> str:
    """Return the path as seen from the current folder, where that is shorter."""
    here = Path.cwd()
    absolute = path.absolute()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _stop(me: str) -> str:
    # `make demo` says so: its reader wants the other half of that pair.
    return os.environ.get("KVHELM_DEMO_STOP") or f"{me} local down --name {CLUSTER}"
