"""The command `alnet`. Research use only: nothing here is a medical device or a diagnosis."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alnet_lib.core.text import visible

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.cohorts import manifest
    from alnet_lib.core.progress import Progress

# rich's own error boxes cut long messages; validation lists must come out whole.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


cohort_app = typer.Typer(no_args_is_help=True, help="Cohorts: list, describe, validate, build.")


app.add_typer(cohort_app, name="cohort")


starts_app = typer.Typer(no_args_is_help=True, help="Starts, what networks begin with: list, describe, make.")


app.add_typer(starts_app, name="starts")


console = Console()


def _print_frame(frame: pd.DataFrame, title: str = "") -> None:
    # `Text` is shown as it is: names may hold rich's markup, or codes that move the cursor.
    table = Table(title=Text(visible(title)) if title else None)
    for number, column in enumerate(frame.columns):
        table.add_column(Text(visible(column)), no_wrap=number == 0, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text("" if value is None or value != value else visible(value)) for value in row))
    console.print(table)


def _progress(label: str) -> Progress:
    def show(done: int, total: int) -> None:
        print(f"\r{label}: {done:,} of {total:,}\033[K", end="", file=sys.stderr, flush=True)

    return show


def _fail(error: Exception) -> typer.Exit:
    print(f"{type(error).__name__}: {visible(error, lines=True)}", file=sys.stderr)
    return typer.Exit(1)


def _run_dir(run_dir: Path | None, cohort: str, profile: str) -> Path:
    from alnet_lib.core.resources import runs_dir

    return run_dir or runs_dir() / f"{cohort}-{profile}"


class Split(StrEnum):
    """What `--split` may be."""

    given = "given"
    patient = "patient"


Cohort = Annotated[str, typer.Option(help="Cohort: `alnet cohort list`; `a+b` combines.")]


ProfileName = Annotated[str, typer.Option(help="Name of a file in profiles/.")]


Data = Annotated[str, typer.Option(help="Folder of a real cohort's original download; `a=DIR,b=DIR` for several.")]


AllowTruncated = Annotated[
    bool, typer.Option("--allow-truncated", help="Use JPEG files that end early; they are named.")
]


RunDir = Annotated[Path | None, typer.Option(help="Run directory; default runs/<cohort>-<profile>.")]


@app.command()
def reproduce(
    cohort: Cohort = "synthetic",
    profile: ProfileName = "quick",
    data: Data = "",
    run_dir: RunDir = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Processors; default all.")] = None,
    until: Annotated[str, typer.Option(help="Stop after this step, e.g. 03.")] = "",
    force: Annotated[str, typer.Option(help="Run this step again although nothing changed.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run.")] = False,
    workflow_profile: Annotated[
        str, typer.Option(help="Folder with a Snakemake profile, e.g. profiles/slurm: where jobs run.")
    ] = "",
) -> None:
    """Regenerate every table and figure, and the report; only what is stale runs."""
    from alnet_lib.workflow import reproduce as reproduce_module
    from alnet_lib.workflow.reproduce import RunBusy

    directory = _run_dir(run_dir, cohort, profile)
    try:
        code = reproduce_module.reproduce(
            directory,
            cohort=cohort,
            profile=profile,
            data=data,
            cores=cores,
            until=until,
            force=force,
            dry_run=dry_run,
            workflow_profile=workflow_profile,
        )
    except (ValueError, RunBusy, OSError) as error:
        raise _fail(error) from error
    if code:
        print(f"\nThe run in {directory} is not finished; the messages above say why.", file=sys.stderr)
        raise typer.Exit(code)
    if not until and not dry_run:
        print(directory / "report" / "index.html")


@cohort_app.command("list")
def cohort_list(name: Annotated[str, typer.Argument(help="All that is known of this one.")] = "") -> None:
    """List the cohorts that this kit knows, and where each comes from."""
    from alnet_lib.cohorts import building

    if not name:
        _print_frame(building.table())
        print("`alnet cohort list NAME` says where to get one, its layout, labels, scale and oddities.")
        return
    from rich.markdown import Markdown

    from alnet_lib.cohorts.adapters.source import SOURCES
    from alnet_lib.cohorts.document import section
    from alnet_lib.cohorts.manifest import CohortError

    try:
        sources = [SOURCES[part] for part in building.resolve(name)]
    except CohortError as error:
        raise _fail(error) from error
    for source in sources:
        console.print(Markdown(section(source)))


@cohort_app.command("build")
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
    from alnet_lib.cohorts.manifest import CohortError

    try:
        cohort = building.build(
            name, out, data=data or None, fraction=fraction, seed=seed, split=split.value, manifest_only=manifest_only,
            allow_truncated=allow_truncated, progress=_progress(name),
        )  # fmt: skip
    except (CohortError, ValueError, OSError) as error:
        raise _fail(error) from error
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
    _print_frame(frame, f"{cohort.name} ({cohort.kind}): images · smears · patients")
    for note in cohort.notes:
        print(f"- {visible(note)}")
    if len(cohort.excluded):
        _print_frame(cohort.excluded, "Left out")


@cohort_app.command("describe")
def cohort_describe(out: Annotated[Path, typer.Argument(help="Folder that `alnet cohort build` wrote.")]) -> None:
    """Count images, smears and patients by class and split."""
    from alnet_lib.cohorts.manifest import Cohort, CohortError

    try:
        _describe(Cohort.load(out))
    except (CohortError, OSError) as error:
        raise _fail(error) from error


@cohort_app.command("validate")
def cohort_validate(
    out: Annotated[Path, typer.Argument(help="Folder that `alnet cohort build` wrote.")],
    allow_truncated: AllowTruncated = False,
) -> None:
    """Report every problem of a manifest and its images at once, by row and file."""
    from alnet_lib.cohorts.manifest import Cohort, CohortError
    from alnet_lib.cohorts.validation import validate

    try:
        problems = validate(Cohort.load(out), allow_truncated=allow_truncated)
    except (CohortError, OSError) as error:
        raise _fail(error) from error
    for problem in problems:
        print(visible(f"{problem.severity}: row {problem.row}, {problem.path}: {problem.what} {problem.fix}"))
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"{errors} errors, {len(problems) - errors} warnings")
    raise typer.Exit(1 if errors else 0)


@starts_app.command("list")
def starts_list() -> None:
    """List what a network can begin with, and which networks the kit brings the start `cells` of."""
    import pandas as pd

    from alnet_lib.networks.starts import start

    _print_frame(pd.DataFrame(start.MEANING.items(), columns=["start", "what it is"]))
    print(f"`{start.CELLS}` is there for: {', '.join(start.brought()) or 'no network'}")


@starts_app.command("describe")
def starts_describe(
    name: Annotated[str, typer.Argument(metavar="START", help="One of `alnet starts list`.")],
    network: Annotated[str, typer.Option(help="Name of the network; default every one that the start is for.")] = "",
    weights_dir: Annotated[str, typer.Option(help="Folder with weight files, as in a profile.")] = "",
) -> None:
    """Tell where a start's weights come from: file, checksum, licence, what they were trained on, and how."""
    from alnet_lib.networks.starts import start
    from alnet_lib.networks.starts.imagenet import WeightsError

    try:
        names = [network] if network else start.networks_of(name) or [""]
        origins = [start.describe(name, one, weights_dir) for one in names]
    except (start.StartError, WeightsError, OSError) as error:
        raise _fail(error) from error
    for origin in origins:
        for what, value in vars(origin).items():
            if value:
                print(f"{what.replace('_', ' ')}: {visible(value)}")
        if name == start.IMAGENET and not origin.file:
            print("file: not at hand")
        print()


class Makeable(StrEnum):
    """What `alnet starts make` makes."""

    cells = "cells"


@starts_app.command("make")
def starts_make(
    what: Annotated[Makeable, typer.Argument(help="The start.")],
    teacher: Annotated[Path, typer.Option(help="ImageNet weights of SqueezeNet 1.1: .h5 (Keras) or .pth.")],
    out: Annotated[Path, typer.Option(help="Folder for a file a network, and SHA256SUMS.")],
    healthy: Annotated[Path | None, typer.Option(help="Folder of pbc_normal_dib: cells of healthy people.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Optimiser steps.")] = 2000,
    drawn: Annotated[int, typer.Option(min=0, help="Cells to draw; 0 for none.")] = 8400,
) -> None:
    """Make the start `cells` by distillation: 20 to 40 minutes on two cores with the steps that are the default."""
    from alnet_lib.experiments.transfer.distillation import Recipe
    from alnet_lib.experiments.transfer.making import make_cells
    from alnet_lib.networks.starts.imagenet import WeightsError

    print(f"Making `{what.value}`: 20 to 40 minutes on two cores for 2,000 steps.", file=sys.stderr)
    try:
        made = make_cells(teacher, healthy, out, drawn=drawn, recipe=Recipe(steps=steps), progress=_progress)
    except (WeightsError, ValueError, OSError) as error:
        raise _fail(error) from error
    print(file=sys.stderr)
    for network, loss in made.losses.items():
        print(f"{network}: loss {loss:.3f} (1.5 knows nothing)")
    for path in made.paths:
        print(visible(path))


@app.command()
def diagnose(
    folder: Annotated[Path, typer.Argument(help="Folder with the cell images of one smear.")],
    model: Annotated[Path, typer.Option(help="Run directory that holds models/.")],
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
        raise _fail(error) from error
    if as_json:
        print(json.dumps(result.as_dict(), indent=1, ensure_ascii=False))
        return
    print(*result.lines(), sep="\n")
    _print_frame(result.proportions, "Cells by class")
    _print_frame(result.cells, "Images")


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Render results.json and the HTML report of a run from what is there."""
    from alnet_lib.core.integrity.reading import Damaged
    from alnet_lib.core.resources import NOTEBOOKS_DIR
    from alnet_lib.report import rendering

    if not run_dir.is_dir():
        raise _fail(FileNotFoundError(f"{run_dir} is not a run directory"))
    try:
        print(rendering.render(run_dir, sources=NOTEBOOKS_DIR))
    except Damaged as error:
        raise _fail(error) from error


@app.command()
def doctor() -> None:
    """Tell what will work here and what won't: Python, torch, GPU, weights, kernel, disk."""
    from alnet_lib.workflow.doctor import examine

    checks = examine()
    for check in checks:
        print(f"{'ok  ' if check.ok else 'WARN'} {check.name}: {check.what}")
    raise typer.Exit(0 if all(check.ok or not check.needed for check in checks) else 1)


@app.command()
def verify(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    mend: Annotated[
        bool, typer.Option("--mend", help="Put aside what is damaged; `reproduce` makes it again.")
    ] = False,
) -> None:
    """Compare every file of a run with the digest that was written with it; name what is damaged or missing."""
    import pandas as pd

    from alnet_lib.workflow import children
    from alnet_lib.workflow.damage import examination

    if not run_dir.is_dir():
        raise _fail(FileNotFoundError(f"{run_dir} is not a run directory"))
    run_dir = run_dir.resolve()
    seen = examination.examine(run_dir, full=True)
    if rows := [(one.path, one.what, one.step or "every start") for one in seen.findings]:
        _print_frame(pd.DataFrame(rows, columns=["file", "what", "made again by"]))
    print(f"{seen.sound:,} files are as they were written, {len(rows):,} are damaged or missing.")
    if seen.unknown:
        print(f"{seen.unknown:,} have no digest, and were only looked at.")
    if seen.unreadable:
        print(f"{seen.unreadable:,} lines of digests.jsonl cannot be read and do not count.")
    if not rows or not mend:
        raise typer.Exit(1 if rows else 0)
    try:
        with children.alone(run_dir):
            steps = examination.mend(run_dir, seen.findings)
    except children.RunBusy as error:
        raise _fail(error) from error
    print(f"What is damaged is put aside. The next `alnet reproduce` runs: {', '.join(steps) or 'nothing more'}.")


if __name__ == "__main__":
    app()
