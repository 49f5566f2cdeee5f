"""Commands on cohorts: list, describe, validate, build."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alnet_lib.cli.options import AllowTruncated, Data
from alnet_lib.cli.printing import console, fail, print_frame, progress
from alnet_lib.core.text import visible

if TYPE_CHECKING:
    from alnet_lib.cohorts import manifest

app = typer.Typer(no_args_is_help=True, help="Cohorts: list, describe, validate, build.")


class Split(StrEnum):
    """What `--split` may be."""

    given = "given"
    patient = "patient"


@app.command("list")
def cohort_list(name: Annotated[str, typer.Argument(help="All that is known of this one.")] = "") -> None:
    """List the cohorts that this kit knows, and where each comes from."""
    from alnet_lib.cohorts import building

    if not name:
        print_frame(building.table())
        print("`alnet cohort list NAME` says where to get one, its layout, labels, scale and oddities.")
        return
    from rich.markdown import Markdown

    from alnet_lib.cohorts.adapters.source import SOURCES
    from alnet_lib.cohorts.document import section
    from alnet_lib.cohorts.manifest import CohortError

    try:
        sources = [SOURCES[part] for part in building.resolve(name)]
    except CohortError as error:
        raise fail(error) from error
    for source in sources:
        console.print(Markdown(section(source)))


@app.command("build")
def cohort_build(
    name: Annotated[str, typer.Argument(help="Cohort name.")],
    out: Annotated[Path, typer.Argument(help="Folder for manifest.parquet and, if synthetic, the images.")],
    data: Data = "",
    fraction: Annotated[float, typer.Option(min=1e-4, max=1, help="Share of the synthetic cohort's images.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 2021,
    split: Annotated[Split, typer.Option(help="`patient`: no patient on both sides of the split.")] = Split.given,
    manifest_only: Annotated[bool, typer.Option("--manifest-only", help="Make no image.")] = False,
    allow_truncated: AllowTruncated = False,
) -> None:
    """Write OUT/manifest.parquet (and the synthetic images), and print the counts."""
    from alnet_lib.cohorts import building

    try:
        cohort = building.build(
            name, out, data=data or None, fraction=fraction, seed=seed, split=split.value, manifest_only=manifest_only,
            allow_truncated=allow_truncated, progress=progress(name),
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise fail(error) from error
    print(file=sys.stderr)
    _describe(cohort)


def _describe(cohort: manifest.Cohort) -> None:
    import pandas as pd

    counts = cohort.describe()
    splits = [split for split in ("train", "test", "external") if f"images, {split}" in counts]
    measures = ("images", "smears", "patients")
    shown = {
        split: [" · ".join(f"{row[f'{measure}, {split}']:,}" for measure in measures) for _, row in counts.iterrows()]
        for split in splits
    }
    frame = pd.DataFrame(shown, index=counts.index).reset_index()
    print_frame(frame, f"{cohort.name} ({cohort.kind}): images · smears · patients")
    for note in cohort.notes:
        print(f"- {visible(note)}")
    if len(cohort.excluded):
        print_frame(cohort.excluded, "Left out")


@app.command("describe")
def cohort_describe(out: Annotated[Path, typer.Argument(help="Folder that `alnet cohort build` wrote.")]) -> None:
    """Count images, smears and patients by class and split."""
    from alnet_lib.cohorts.manifest import Cohort

    try:
        _describe(Cohort.load(out))
    except (ValueError, OSError) as error:
        raise fail(error) from error


@app.command("validate")
def cohort_validate(
    out: Annotated[Path, typer.Argument(help="Folder that `alnet cohort build` wrote.")],
    allow_truncated: AllowTruncated = False,
) -> None:
    """Report every problem of a manifest and its images at once, by row and file."""
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.cohorts.validation import validate

    try:
        problems = validate(Cohort.load(out), allow_truncated=allow_truncated)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    for problem in problems:
        print(visible(f"{problem.severity}: row {problem.row}, {problem.path}: {problem.what} {problem.fix}"))
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"{errors} errors, {len(problems) - errors} warnings")
    raise typer.Exit(1 if errors else 0)
