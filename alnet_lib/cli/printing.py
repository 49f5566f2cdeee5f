"""What every command prints with: tables, progress, errors. What is not the kit's own text is made visible first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alnet_lib.core.text import visible

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.core.progress import Progress

console = Console()


def print_frame(frame: pd.DataFrame, title: str = "") -> None:
    """Print a table.

    Parameters
    ----------
    frame : DataFrame
        One row a line; missing values are empty.
    title : str
        Above it.
    """
    # `Text` is shown as it is: names may hold rich's markup, or codes that move the cursor.
    table = Table(title=Text(visible(title)) if title else None)
    for number, column in enumerate(frame.columns):
        table.add_column(Text(visible(column)), no_wrap=number == 0, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text("" if value is None or value != value else visible(value)) for value in row))
    console.print(table)


def progress(label: str) -> Progress:
    """Count on one line of stderr.

    Parameters
    ----------
    label : str
        What is counted.

    Returns
    -------
    Progress
        To be called with how many are done, and of how many.
    """

    def show(done: int, total: int) -> None:
        print(f"\r{label}: {done:,} of {total:,}\033[K", end="", file=sys.stderr, flush=True)

    return show


def fail(error: Exception) -> typer.Exit:
    """Print an error without its traceback.

    Parameters
    ----------
    error : Exception
        What stopped the command.

    Returns
    -------
    typer.Exit
        Exit code 1, to be raised.
    """
    print(f"{type(error).__name__}: {visible(error, lines=True)}", file=sys.stderr)
    return typer.Exit(1)
