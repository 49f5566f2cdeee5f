"""The command on one smear: diagnose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from alnet_lib.cli.options import folder_named
from alnet_lib.cli.printing import fail, print_frame


def diagnose(
    folder: Annotated[
        Path, typer.Argument(parser=folder_named, metavar="FOLDER", help="Folder with the cell images of one smear.")
    ],
    model: Annotated[
        Path, typer.Option(parser=folder_named, metavar="FOLDER", help="Run directory that holds models/.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
    few: Annotated[bool, typer.Option("--few", help="Also a verdict on fewer than five cells.")] = False,
    anyway: Annotated[
        bool, typer.Option("--synthetic-model-anyway", help="Also a model that has never seen a real cell.")
    ] = False,
) -> None:
    """Give the verdict on one smear: APL, AML, ALL, infection, control or unknown. Research use only."""
    from alnet_lib.diagnosis.model import ALNet

    try:
        result = ALNet.load(model).diagnose(folder, few=few, synthetic_anyway=anyway)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    if as_json:
        print(json.dumps(result.as_dict(), indent=1, ensure_ascii=False))
        return
    print(*result.lines(), sep="\n")
    print_frame(result.proportions, "Cells by class")
    print_frame(result.cells, "Images")
