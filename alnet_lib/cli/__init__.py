"""The command `alnet`. Research use only: nothing here is a medical device or a diagnosis.

A module holds the commands on one thing. What a command needs is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import typer

from alnet_lib.cli import cohorts, comparison, plan, runs, smears, starts

# rich's own error boxes cut long messages; validation lists must come out whole.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=(__doc__ or "").split("\n")[0])
app.command()(runs.reproduce)
app.command()(plan.plan)
app.add_typer(cohorts.app, name="cohort")
app.add_typer(starts.app, name="starts")
app.command()(smears.diagnose)
app.command()(runs.report)
app.command()(comparison.compare)
app.command()(runs.doctor)
app.command()(runs.verify)
