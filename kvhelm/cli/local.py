"""`kvhelm local`: a real control plane on this machine."""

import shlex
import subprocess
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kvhelm.local import cluster as local
from kvhelm.local.nodes import Node, fake_nodes, label_in, names_for, taint_in
from kvhelm.local.places import state_root
from kvhelm.local.progress import ConsoleProgress
from kvhelm.local.realnode.images import ensure_node_images
from kvhelm.local.realnode.nodes import KEEPER
from kvhelm.local.realnode.plan import MOST
from kvhelm.local.realnode.power import inside, switch_off, switch_on
from kvhelm.local.realnode.preflight import check_machine
from kvhelm.local.realnode.programs import ensure_node_programs
from kvhelm.local.status import status as status_of
from kvhelm.local.tools import ensure_tools

_REAL_NODES = 2


class Runtime(StrEnum):
    """What runs pods."""

    kwok = "kwok"
    containerd = "containerd"


app = typer.Typer(
    help="""A real Kubernetes control plane on this machine, without Docker.

    etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; the nodes
    are fake GPU nodes, on which kwok lets pods run without a container, or, on Linux as root, real
    ones with kubelet and containerd, each in namespaces of its own. Everything listens on
    127.0.0.1, or where only the nodes are. No cluster and no kubeconfig of yours is ever touched.
    """,
    no_args_is_help=True,
)
node_app = typer.Typer(help="The nodes of a local cluster.", no_args_is_help=True)
app.add_typer(node_app, name="node")

RealName = Annotated[str, typer.Argument(help="The node's name: node-1, node-2, ...")]
Name = Annotated[
    str, typer.Option("--name", help="The cluster's name; several can run side by side.")
]
Cluster = Annotated[str, typer.Option("--cluster", help="The cluster's name.")]


@app.command()
def up(
    name: Name = local.DEFAULT_NAME,
    runtime: Annotated[
        Runtime,
        typer.Option(
            help="What runs the pods of a new cluster's nodes: kwok pretends to, on any machine; "
            "containerd really does, with kubelet and runc, on Linux as root."
        ),
    ] = Runtime.kwok,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST,
            help="How many nodes, each with an A10. By default 2 real ones; or 4 fake ones: "
            "2 with an A10, 1 with eight H100, 1 without GPU.",
        ),
    ] = None,
    api_server_arg: Annotated[
        list[str] | None,
        typer.Option(
            help="One more flag for kube-apiserver, such as --api-server-arg=--v=4. Repeatable; "
            "kept for later starts until others are given. Other flags restart a running cluster."
        ),
    ] = None,
) -> None:
    """Start a local cluster, and wait until pods can run.

    The first start builds the programs with Go (about 10 minutes on two cores) into a cache of
    your user's; later starts take seconds. Programs in $KUBEBUILDER_ASSETS or on PATH are used
    instead where their version fits. Real nodes take 4 minutes more the first time, and are for
    as long as the cluster is; fake ones can stand beside them (`node add`). A cluster that was
    stopped with --keep-data, or of which a part died, starts again with its data.
    """
    real = None
    if runtime is Runtime.containerd:
        real = _REAL_NODES if nodes is None else nodes
    cluster = local.up(
        name,
        nodes=None if real or nodes is None else fake_nodes(nodes),
        real_nodes=real,
        api_server_args=api_server_arg,
        progress=_progress(),
    )
    selected = "" if name == local.DEFAULT_NAME else f" --name {name}"
    typer.echo(f"The local cluster {name} is ready at {cluster.server}")
    typer.echo(f'  use it:   eval "$(kvhelm local env{selected})"; kubectl get nodes')
    typer.echo(f"  look:     kvhelm local status{selected}    (logs: {cluster.paths.logs})")
    typer.echo(f"  stop it:  kvhelm local down{selected}")


@app.command()
def down(
    name: Name = local.DEFAULT_NAME,
    every: Annotated[bool, typer.Option("--all", help="Stop every local cluster.")] = False,
    keep_data: Annotated[
        bool,
        typer.Option("--keep-data", help="Keep objects, certificates and ports for the next `up`."),
    ] = False,
) -> None:
    """Stop a local cluster and remove every trace of it.

    Only the programs in the cache stay, for the next start.
    """
    for each in local.names() if every else [name]:
        if not local.down(each, keep_data=keep_data, progress=_progress()):
            typer.echo(f"there is no local cluster {each}")


@app.command()
def status(name: Name = local.DEFAULT_NAME) -> None:
    """Show the parts of a local cluster and its nodes; exit code 1 if it is not running."""
    seen = status_of(name)
    parts = Table("PART", "PID", "STATE", "PORT", "MEMORY", box=None, pad_edge=False)
    for part in (*seen.parts, *seen.operators):
        parts.add_row(
            part.name,
            str(part.pid),
            "running" if part.alive else "died",
            str(part.port or "-"),
            f"{part.memory / 2**20:.0f} MiB" if part.alive else "-",
        )
    nodes = Table("NODE", "STATE", "GPU", "GPUS", "ZONE", box=None, pad_edge=False)
    for node in seen.nodes:
        state = "Ready" if node.ready else "NotReady"
        nodes.add_row(node.name, state, node.gpu or "-", str(node.gpus), node.zone)
    console = Console(soft_wrap=True)
    console.print(parts)
    answer = f"Kubernetes {seen.version}" if seen.version else "does not answer"
    console.print(f"\n{seen.server}: {answer}\nlogs: {seen.logs}\n", highlight=False)
    if seen.nodes:
        console.print(nodes)
    if not seen.running:
        typer.echo(f"The local cluster {name} is not running as a whole: kvhelm local up", err=True)
        raise typer.Exit(1)


@app.command()
def env(name: Name = local.DEFAULT_NAME) -> None:
    """Print the lines that point kubectl and helm at a local cluster.

    Use it as: eval "$(kvhelm local env)"
    """
    cluster = local.find(name)
    for line in export_lines(local.environment(cluster, "")):
        typer.echo(line)


def export_lines(environment: dict[str, str]) -> list[str]:
    """Return lines for a POSIX shell; PATH is put in front of the one that the shell has."""
    lines = []
    for variable, value in environment.items():
        after = ':"$PATH"' if variable == "PATH" else ""
        lines.append(f"export {variable}={shlex.quote(value)}{after}")
    return lines


@app.command()
def tools(
    runtime: Annotated[
        Runtime, typer.Option(help="containerd: what real nodes need as well, 4 minutes more.")
    ] = Runtime.kwok,
) -> None:
    """Build what `up` needs, without starting anything, and print where it is.

    Takes about 10 minutes the first time: good for an image or a cache of a CI system.
    """
    found = vars(ensure_tools(_progress()))
    if runtime is Runtime.containerd:
        check_machine(state_root())
        found |= ensure_node_programs(_progress()).all
        ensure_node_images(_progress())
    for name, path in found.items():
        typer.echo(f"{name.replace('_', '-')} {path}")


@node_app.command("add")
def node_add(
    cluster: Cluster = local.DEFAULT_NAME,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="The GPU, as the node label nvidia.com/gpu.product has it, such as "
            "NVIDIA-L40S; without it the nodes have no GPU."
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="GPUs a node; by default what such machines have."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many nodes.")] = 1,
    zone: Annotated[str, typer.Option(help="Their topology.kubernetes.io/zone.")] = "local-a",
    label: Annotated[
        list[str] | None, typer.Option(help="A further label, key=value. Repeatable.")
    ] = None,
    taint: Annotated[
        list[str] | None, typer.Option(help="A taint, key=value:Effect. Repeatable.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The node's name; with --count the names' beginning.")
    ] = None,
) -> None:
    """Add fake nodes with the labels and resources of real ones, and wait until they are Ready."""
    if gpus is not None and gpu is None:
        raise typer.BadParameter("--gpus needs --gpu")
    found = local.find(cluster)
    if name is None:
        names = names_for(gpu, count, local.node_names(found))
    else:
        names = [name] if count == 1 else [f"{name}-{number}" for number in range(count)]
    labels = dict(label_in(text) for text in label or ())
    taints = tuple(taint_in(text) for text in taint or ())
    nodes = [Node(each, gpu, gpus, zone, labels, taints) for each in names]
    local.add_nodes(found, nodes)
    for each in nodes:
        typer.echo(f"node {each.name} is Ready")


@node_app.command("stop")
def node_stop(name: RealName, cluster: Cluster = local.DEFAULT_NAME) -> None:
    """End a real node at once, as a power cut does; its disk stays."""
    found = local.find(cluster)
    node = found.real_node(name)
    switch_off(found.place, found.processes[KEEPER], node)


@node_app.command("start")
def node_start(name: RealName, cluster: Cluster = local.DEFAULT_NAME) -> None:
    """Start a real node that was stopped, or that ended by itself."""
    found = local.find(cluster)
    node = found.real_node(name)
    switch_on(found.place, found.processes[KEEPER], node)


@node_app.command("exec")
def node_exec(
    name: RealName,
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    cluster: Cluster = local.DEFAULT_NAME,
) -> None:
    """Run a command on a real node, such as: kvhelm local node exec node-1 -- ls /run."""
    found = local.find(cluster)
    enter = inside(found.place, found.real_node(name))
    raise typer.Exit(subprocess.run([*enter, *command], check=False).returncode)


def _progress() -> ConsoleProgress:
    # Standard output is for what a script reads.
    return ConsoleProgress(Console(stderr=True))


__all__ = ["app", "export_lines"]
