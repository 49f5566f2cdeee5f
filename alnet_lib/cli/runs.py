"""Commands on runs: reproduce, report, verify, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from alnet_lib.cli.options import CohortName, Data, ProfileName, Rehearse, RunDir, directory_of, rehearsed
from alnet_lib.cli.printing import fail, print_frame


def reproduce(
    cohort: CohortName = "synthetic",
    profile: ProfileName = "quick",
    data: Data = "",
    run_dir: RunDir = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Processors; default all.")] = None,
    until: Annotated[str, typer.Option(help="Stop after this step, e.g. 03.")] = "",
    force: Annotated[str, typer.Option(help="Run this step again although nothing changed.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run.")] = False,
    rehearse: Rehearse = False,
    workflow_profile: Annotated[
        str, typer.Option(help="Folder with a Snakemake profile, e.g. profiles/slurm: where jobs run.")
    ] = "",
) -> None:
    """Regenerate every table and figure, and the report; only what is stale runs."""
    from alnet_lib.workflow import reproduce as reproduce_module
    from alnet_lib.workflow.plan.announcing import announce
    from alnet_lib.workflow.reproduce import RunBusy

    profile = rehearsed(profile, rehearse)
    directory = directory_of(run_dir, cohort, profile)
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
            announce=announce,
        )
    except (ValueError, RunBusy, OSError) as error:
        raise fail(error) from error
    if code:
        print(f"\nThe run in {directory} is not finished; the messages above say why.", file=sys.stderr)
        raise typer.Exit(code)
    if not until and not dry_run:
        print(directory / "report" / "index.html")


def report(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    as_zip: Annotated[
        bool, typer.Option("--zip", help="Also report.zip: the folder as an RO-Crate to hand on.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also report.pdf, printed by Chromium.")] = False,
) -> None:
    """Render results.json and the HTML report of a run from what is there."""
    from alnet_lib.core.integrity.reading import Damaged
    from alnet_lib.core.resources import NOTEBOOKS_DIR
    from alnet_lib.report import rendering

    if not run_dir.is_dir():
        raise fail(FileNotFoundError(f"{run_dir} is not a run directory"))
    try:
        first = rendering.render(run_dir.resolve(), sources=NOTEBOOKS_DIR)
        print(first)
        if as_zip:
            from alnet_lib.report.pages import folder

            print(folder.write_zip(first.parent))
        if pdf:
            from alnet_lib.report.pages import pdf as printing

            print(printing.write_pdf(first.parent))
    except (Damaged, OSError, RuntimeError) as error:
        raise fail(error) from error


def doctor() -> None:
    """Tell what will work here and what won't: Python, torch, GPU, weights, kernel, disk, the paper's profile."""
    from alnet_lib.workflow.doctor import examine

    checks = examine()
    for check in checks:
        print(f"{'ok  ' if check.ok else 'WARN'} {check.name}: {check.what}")
    raise typer.Exit(0 if all(check.ok or not check.needed for check in checks) else 1)


def verify(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    mend: Annotated[
        bool, typer.Option("--mend", help="Put aside what is damaged; `reproduce` makes it again.")
    ] = False,
) -> None:
    """Compare every file of a run with the digest that was written with it; name what is damaged or missing."""
    import pandas as pd

    from alnet_lib.core.integrity import index
    from alnet_lib.workflow import children
    from alnet_lib.workflow.damage import examination

    if not run_dir.is_dir():
        raise fail(FileNotFoundError(f"{run_dir} is not a run directory"))
    run_dir = run_dir.resolve()
    seen = examination.examine(run_dir, full=True)
    if not seen.sound and not seen.findings:
        what = f"{index.INDEX} of {run_dir} is missing or empty: nothing can be compared"
        raise fail(FileNotFoundError(what))
    if rows := [(one.path, one.what, one.step or "every start") for one in seen.findings]:
        print_frame(pd.DataFrame(rows, columns=["file", "what", "made again by"]))
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
        raise fail(error) from error
    print(f"What is damaged is put aside. The next `alnet reproduce` runs: {', '.join(steps) or 'nothing more'}.")
