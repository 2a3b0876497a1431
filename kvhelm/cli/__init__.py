"""The command line: one file per command, each parses its arguments and calls one function."""

import sys

import typer

from kvhelm.cli import demo, export, history, local, rollback, run
from kvhelm.errors import KvhelmError

app = typer.Typer(
    name="kvhelm",
    help="KV cache pools for LLM inference on Kubernetes: one Helm release a pool.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.command)
app.command("run")(run.command)
app.command("export")(export.command)
app.command("history")(history.command)
app.command("rollback")(rollback.command)
app.add_typer(local.app, name="local")


def main() -> None:
    """Run the command line; a KvhelmError is one line on standard error and exit code 1."""
    try:
        app()
    except KvhelmError as error:
        print(f"kvhelm: {error}", file=sys.stderr)
        raise SystemExit(1) from None
