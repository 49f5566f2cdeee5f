"""The command on several runs: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alnet_lib.cli.printing import fail


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run directories; the first is the measure.")
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
) -> None:
    """Set runs or cohorts side by side: paired differences on the same patients, with intervals, on one page."""
    from alnet_lib.core.integrity.reading import Damaged
    from alnet_lib.report.pages import comparison

    try:
        print(comparison.write(runs, out))
    except (ValueError, Damaged, OSError) as error:
        raise fail(error) from error
