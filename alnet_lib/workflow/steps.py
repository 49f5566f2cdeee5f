"""The steps of the work, said once: notebooks, what each needs and leaves, and the units of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

from alnet_lib.core.profile import Profile
from alnet_lib.paper.items import ITEMS, NOTEBOOKS


@dataclass(frozen=True)
class Step:
    """One notebook as Snakemake runs it.

    Attributes
    ----------
    notebook : str
        File name without its ending.
    needs : tuple of str
        Notebooks that must have run before.
    parallel : bool
        Uses every processor it is given.
    gpu : bool
        Uses a GPU where there is one.
    """

    notebook: str
    needs: tuple[str, ...] = ()
    parallel: bool = False
    gpu: bool = False

    @property
    def rule(self) -> str:
        """Snakemake's name of the rule, which may not begin with a digit."""
        return self.notebook[3:]

    @property
    def marker(self) -> str:
        """Completion marker, relative to the run: a small file with a hash of the step's results."""
        return marker(self.notebook)

    @property
    def outputs(self) -> list[str]:
        """Files that the finished step leaves, relative to the run: a record of each of its items, and its marker."""
        items = [f"items/{id}.json" for id, item in ITEMS.items() if item.notebook == self.notebook]
        return [*items, self.marker]


def _steps() -> dict[str, Step]:
    audit, comparison, training, smears, external, maps, scorecard = NOTEBOOKS
    listed = (
        Step(audit, parallel=True),
        Step(comparison, (audit,), parallel=True, gpu=True),
        Step(training, (audit,), parallel=True, gpu=True),
        Step(smears, (training,)),
        Step(external, (training,), parallel=True, gpu=True),
        Step(maps, (training,), gpu=True),
        Step(scorecard, NOTEBOOKS[:-1]),
    )
    return {step.notebook: step for step in listed}


STEPS: dict[str, Step] = _steps()
"""Notebook -> step, in the order of the work."""

AUDIT, COMPARISON, TRAINING, _, EXTERNAL = NOTEBOOKS[:5]
"""Notebooks whose artefacts the others read, or that train."""


def marker(notebook: str) -> str:
    """Completion marker of a step, relative to the run directory."""
    return f"done/{notebook}.json"


def units(*, cohort: str, profile: str) -> list[str]:
    """Markers of the comparison's units, where the profile makes each of them a job of its own.

    Parameters
    ----------
    cohort, profile : str
        Names.

    Returns
    -------
    list of str
        Paths relative to the run directory; empty where the notebook trains them itself.
    """
    plan = Profile.load(profile, cohort).comparison
    asked = [(backbone, name) for backbone in plan.backbones for name in plan.evaluations]
    return [f"comparison/{backbone}-{name}.json" for backbone, name in asked if plan.units]


def step_name(step: str) -> str:
    """Find the notebook that `step` means: `03`, `alnet_training` or `03_alnet_training`.

    Raises
    ------
    ValueError
        No such step; the message lists them.
    """
    found = [name for name in STEPS if step in (name, name[:2], name[3:])]
    if not found:
        raise ValueError(f"unknown step `{step}`: steps are {', '.join(STEPS)}")
    return found[0]
