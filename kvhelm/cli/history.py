"""`kvhelm history`: the revisions of a pool, and which of them were healthy."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kvhelm.controller.watches import POOLS
from kvhelm.kube.client import Client
from kvhelm.kube.resource import Object

Name = Annotated[str, typer.Argument(metavar="POOL", help="Name of the KVCachePool.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="kubectl's rules by default.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]


def command(
    name: Name,
    namespace: Namespace = "default",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show the revisions of a pool's release; `helm history` does not know which were healthy."""
    Console().print(history_table(asyncio.run(_read(name, namespace, kubeconfig, context))))


async def _read(name: str, namespace: str, kubeconfig: Path | None, context: str | None) -> Object:
    async with await Client.connect(kubeconfig, context) as client:
        return await client.get(POOLS, name, namespace)


def history_of(pool: Object) -> list[dict[str, Any]]:
    """Return the revisions in a pool's status, the newest last."""
    return list(pool.get("status", {}).get("history", []))


def history_table(pool: Object) -> Table:
    """Return the revisions of a pool as a table for people."""
    release = pool.get("status", {}).get("release", {})
    pinned = release.get("pinned", {}).get("revision")
    rejected = release.get("rejected", {}).get("revision")
    table = Table("Revision", "Made", "Chart", "Outcome", "Healthy", "", box=None, pad_edge=False)
    for entry in history_of(pool):
        number = entry["revision"]
        notes = [
            *(["current"] if number == release.get("revision") else []),
            *(["pinned by spec.rollbackTo"] if number == pinned else []),
            *(["taken back"] if number == rejected else []),
            *(["not made by kvhelm"] if "specDigest" not in entry else []),
        ]
        healthy = "yes" if entry["healthy"] else "no"
        chart = entry.get("chart", "")
        row = (str(number), entry["time"], chart, entry["outcome"], healthy, ", ".join(notes))
        table.add_row(*row)
    return table
