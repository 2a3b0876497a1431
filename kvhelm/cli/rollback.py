"""`kvhelm rollback`: writes `spec.rollbackTo`, by which the operator goes back."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kvhelm.cli.history import Context, Kubeconfig, Name, Namespace, history_of, history_table
from kvhelm.controller.watches import POOLS
from kvhelm.errors import SpecError
from kvhelm.kube.client import Client
from kvhelm.kube.resource import Object


def command(
    name: Name,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Revision to go back to; left out, they are listed."),
    ] = None,
    end: Annotated[
        bool, typer.Option("--end", help="Remove spec.rollbackTo: the pool follows its spec again.")
    ] = False,
    namespace: Namespace = "default",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Take a pool back to a revision of its release, and keep it there until --end."""
    if to is not None and end:
        raise SpecError("give either --to or --end")
    asyncio.run(_run(name, namespace, to, end, kubeconfig, context))


async def _run(
    name: str,
    namespace: str,
    to: int | None,
    end: bool,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    console = Console()
    async with await Client.connect(kubeconfig, context) as client:
        if end:
            await client.patch(POOLS, name, {"spec": {"rollbackTo": None}}, namespace)
            console.print(f"{name} follows its spec again")
            return
        pool = await client.get(POOLS, name, namespace)
        if to is None:
            console.print(history_table(pool))
            console.print(f"Go back with: kvhelm rollback {name} --namespace {namespace} --to N")
            return
        check_target(pool, to)
        wanted = {"spec": {"rollbackTo": {"revision": to}}}
        await client.patch(POOLS, name, wanted, namespace)
        console.print(f"{name} goes back to revision {to}; kvhelm rollback {name} --end ends it")


def check_target(pool: Object, to: int) -> None:
    """Raise SpecError, naming what there is, if a pool can't go back to a revision."""
    there = [entry["revision"] for entry in history_of(pool) if "specDigest" in entry]
    if to not in there:
        name = pool["metadata"]["name"]
        known = ", ".join(map(str, there)) or "none"
        raise SpecError(f"--to {to}: {name} has no such revision of kvhelm's; there are: {known}")
