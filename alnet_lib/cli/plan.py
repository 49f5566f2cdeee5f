"""The command on what a run will take: plan."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from alnet_lib.cli.options import CohortName, Data, ProfileName, Rehearse, RunDir, directory_of, rehearsed
from alnet_lib.cli.printing import fail, print_frame
from alnet_lib.core.text import visible


def plan(
    cohort: CohortName = "synthetic",
    profile: ProfileName = "quick",
    data: Data = "",
    run_dir: RunDir = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Processors; default all.")] = None,
    rehearse: Rehearse = False,
    again: Annotated[bool, typer.Option("--again", help="Measure the device although that was done before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Tell what a run will take, step by step, and what will not fit; of a finished run also what it took."""
    from alnet_lib.workflow.plan import announcing, measured, wording

    profile = rehearsed(profile, rehearse)
    directory = directory_of(run_dir, cohort, profile)
    try:
        content = announcing.content(directory, cohort=cohort, profile=profile, data=data, cores=cores, again=again)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    taken = measured.beside_the_plan(directory) or {}
    if taken.get("steps"):
        content = content | {"steps": taken["steps"]}
    if as_json:
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    print_frame(wording.table(content))
    print(*(visible(line) for line in wording.lines(content)), sep="\n")
