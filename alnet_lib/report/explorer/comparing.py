"""Two runs side by side: the verdicts on the smears that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.text import for_html
from alnet_lib.figures.tables import html_table
from alnet_lib.report.pairing import same_cells, same_smears
from alnet_lib.statistics.intervals import difference

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.report.explorer.finished import FinishedRun
    from alnet_lib.statistics.patients import Interval


@dataclass(frozen=True)
class Comparison:
    """What two runs say of the same smears.

    Attributes
    ----------
    first, second : str
        Names of the runs.
    smears : DataFrame
        One row a smear with a diagnosis: smear_id, patient_id and site in the first run, diagnosis, `verdict, <run>`
        and `outcome, <run>` of each run, `changed` (bool).
    difference : Interval
        Share of correct verdicts, the second run less the first, paired, in [-1, 1].
    """

    first: str
    second: str
    smears: pd.DataFrame
    difference: Interval

    @property
    def sentence(self) -> str:
        """One sentence with the numbers."""
        n = len(self.smears)
        shares = [100 * self.smears[f"outcome, {name}"].eq("correct").mean() for name in (self.first, self.second)]
        return (
            f"On the same {n} smears {self.first} is correct in {shares[0]:.1f}% and {self.second} in "
            f"{shares[1]:.1f}%: a difference of {100 * self.difference.estimate:+.1f} points "
            f"({self.difference.text()}); {int(self.smears['changed'].sum())} verdicts differ."
        )

    def _repr_html_(self) -> str:
        shown = self.smears[self.smears["changed"]].drop(columns=["changed", "patient_id"])
        caption = "Smears on which the two runs give different verdicts"
        table = html_table(shown, caption=caption, index=False) if len(shown) else ""
        return f"<p>{for_html(self.sentence)}</p>{table}"


def compared(
    first: FinishedRun, second: FinishedRun, split: str = "test", threshold: float | None = None
) -> Comparison | Unavailable:
    """Compare the verdicts of two runs on the smears that both have.

    Parameters
    ----------
    first, second : FinishedRun
        Two starts, two profiles, or a run and itself at another threshold.
    split : str
        Whose smears.
    threshold : float, optional
        Of the first run; default its profile's. The second votes at its own.

    Returns
    -------
    Comparison or Unavailable
        Unavailable where they have no smear with the same diagnosis in common. Smears are matched by the content of
        their pictures (`report.pairing`), whatever they are called.
    """
    names = [first.name, second.name if second.name != first.name else f"{second.name} (2)"]
    used = [first.profile.threshold if threshold is None else threshold, second.profile.threshold]
    sides = []
    for run, name, at in zip((first, second), names, used, strict=True):
        votes = run.votes(at)
        votes = votes[votes["split"].eq(split) & votes["outcome"].ne("")]
        renamed = {"verdict": f"verdict, {name}", "outcome": f"outcome, {name}"}
        sides.append(votes.rename(columns=renamed)[["smear_id", "patient_id", "site", "diagnosis", *renamed.values()]])
    smears = same_smears(same_cells(first.cells, second.cells)).set_axis(["smear_id", "other"], axis=1)
    others = sides[1].drop(columns=["patient_id", "site"]).rename(columns={"smear_id": "other"})
    both = sides[0].merge(smears, on="smear_id").merge(others, on=["other", "diagnosis"]).drop(columns="other")
    if not len(both):
        return Unavailable(f"{names[0]} and {names[1]} have no {split} smear in common")
    both["changed"] = both[f"verdict, {names[0]}"].ne(both[f"verdict, {names[1]}"])
    correct = [both[f"outcome, {name}"].eq("correct").to_numpy() for name in names]
    return Comparison(names[0], names[1], both, difference(correct[0], both, correct[1]))
