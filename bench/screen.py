"""Tables for whoever waits for the benchmark."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.report import Row


def show(console: Console, title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=True)
    table.add_column("")
    table.add_column("measured")
    if any(row.target for row in rows):
        table.add_column("target")
    for row in rows:
        cells = (row.what, row.measured, row.target)[: len(table.columns)]
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
