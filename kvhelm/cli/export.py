"""`kvhelm export`: the files that travel inside kvhelm, for GitOps, `helm install` and editors."""

import shutil
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kvhelm import assets


class Asset(StrEnum):
    """What can be exported."""

    CRD = "crd"
    SAMPLE = "sample"
    CHART = "chart"
    DEPLOY = "deploy"
    SCHEMAS = "schemas"
    EXAMPLES = "examples"


_FILES: dict[Asset, Callable[[], Path]] = {
    Asset.CRD: lambda: assets.schemas_dir() / "crd.yaml",
    Asset.SAMPLE: lambda: assets.examples_dir() / "sample.yaml",
}
_FOLDERS: dict[Asset, Callable[[], Path]] = {
    Asset.CHART: assets.chart_dir,
    Asset.DEPLOY: assets.deploy_dir,
    Asset.SCHEMAS: assets.schemas_dir,
    Asset.EXAMPLES: assets.examples_dir,
}


def command(
    what: Annotated[
        Asset,
        typer.Argument(
            help="crd and sample (a pool) are printed; chart (of a pool), deploy (the operator's "
            "chart), schemas (for editors) and examples are folders.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The folder to make; it must not exist, or be empty."),
    ] = None,
) -> None:
    """Write out the files that travel inside kvhelm, of exactly this version."""
    if what in _FILES:
        if directory is not None:
            raise typer.BadParameter(f"{what} is printed: redirect it to a file", param_hint="DIR")
        typer.echo(_FILES[what]().read_text(), nl=False)
        return
    if directory is None:
        raise typer.BadParameter(f"{what} is a folder: say where it shall be", param_hint="DIR")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise typer.BadParameter(f"{directory} exists and is not empty", param_hint="DIR")
    shutil.copytree(_FOLDERS[what](), directory, dirs_exist_ok=True)
    typer.echo(f"{what}: {directory}")
