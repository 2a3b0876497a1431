"""`kvhelm local`: a real control plane on this machine."""

import typer

app = typer.Typer(help="A real Kubernetes control plane on this machine.", no_args_is_help=True)
