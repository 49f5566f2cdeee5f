"""What a reader does with a finished run: filter, move the threshold, look, compare, save."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from alnet_lib.core.files import atomic_path
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import DIAGNOSES, NON_APL, UNKNOWN
from alnet_lib.evaluation import smear_level
from alnet_lib.figures.exploration import cell_map, threshold_figure
from alnet_lib.figures.pictures import map_grid
from alnet_lib.networks.activations import PAPERS_MAP
from alnet_lib.report.explorer.comparing import Comparison, compared
from alnet_lib.report.explorer.finished import FinishedRun
from alnet_lib.report.explorer.showing import largest_smear, show
from alnet_lib.statistics import classification, roc

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.figures.style import DescribedFigure

ALL = "all"
"""Stands in a filter for no choice."""

OUTCOMES = ("correct", "wrong", "unknown")


@dataclass(frozen=True)
class Filter:
    """Which smears are looked at; `all` leaves a column as it is.

    Attributes
    ----------
    split : str
        `train`, `test`, `external`.
    site, diagnosis : str
        As the cohort names them.
    outcome : str
        `correct`, `wrong` or `unknown`.
    """

    split: str = "test"
    site: str = ALL
    diagnosis: str = ALL
    outcome: str = ALL

    def of(self, votes: pd.DataFrame, *, outcomes: bool = True) -> pd.DataFrame:
        """Keep the rows chosen; `outcomes` false leaves the verdict out of it."""
        for name in ("split", "site", "diagnosis", "outcome")[: None if outcomes else 3]:
            asked = getattr(self, name)
            votes = votes if asked == ALL else votes[votes[name].eq(asked)]
        return votes


class Session:
    """A finished run, to be looked at: its methods give frames and figures; nothing in its folder is written.

    Parameters
    ----------
    run : FinishedRun
        What is looked at.

    Attributes
    ----------
    run : FinishedRun
        What is looked at.
    threshold : float
        Share of a smear's cells that a class must exceed, in [0, 1); at first the profile's.
    chosen : Filter
        Which smears.
    """

    def __init__(self, run: FinishedRun) -> None:
        self.run = run
        self.threshold = run.profile.threshold
        splits = run.cells.loc[run.cells["eligible"], "split"]
        self.chosen = Filter("test" if splits.eq("test").any() else ALL)

    @classmethod
    def open(cls, run_dir: str | Path) -> Self:
        """Open a run for reading.

        Parameters
        ----------
        run_dir : str or Path
            A run's folder, e.g. `runs/synthetic-quick`; its notebook 03 has run.

        Raises
        ------
        MissingArtefact
            There is no such run, or notebook 03 has not run. A FileNotFoundError.
        """
        return cls(FinishedRun.open(run_dir))

    def __repr__(self) -> str:
        return f"<Explorer of {self.run.about}: {len(self.smears())} smears selected>"

    # --- what is selected ----------------------------------------------------------------------------------------

    def filter(self, **asked: str) -> Self:
        """Choose smears.

        Parameters
        ----------
        **asked : str
            `split`, `site`, `diagnosis`, `outcome` (`correct`, `wrong`, `unknown`); `all` for any. What is not named
            is as by default: the testing smears.

        Raises
        ------
        ValueError
            No smear has such a value.
        """
        votes = self.votes()
        for name, value in asked.items():
            known = list(OUTCOMES) if name == "outcome" else sorted(votes[name].dropna().unique())
            if value not in (ALL, *known):
                raise ValueError(f"no smear has the {name} `{value}`; there are {', '.join([ALL, *known])}")
        self.chosen = Filter(**asked)
        return self

    def votes(self) -> pd.DataFrame:
        """Verdicts on all smears at this threshold, as `FinishedRun.votes`."""
        return self._votes(self.threshold)

    def smears(self) -> pd.DataFrame:
        """Verdicts on the smears that the filter keeps, one row a smear."""
        return self.chosen.of(self.votes()).reset_index(drop=True)

    def cells(self) -> pd.DataFrame:
        """Give the cells that vote in these smears, one row a cell, with the smear's verdict and outcome."""
        smears = self.smears()[["smear_id", "verdict", "outcome"]]
        return self.run.cells[self.run.cells["eligible"]].merge(smears, on="smear_id")

    def save(self, path: str | Path, *, cells: bool = False) -> Path:
        """Write the selection as CSV.

        Parameters
        ----------
        path : str or Path
            File to write, outside the run.
        cells : bool
            One row a cell; else one a smear.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            The file would lie in the run's folder.
        """
        target = Path(path).resolve()
        if target.is_relative_to(self.run.dir):
            raise ValueError(f"{target} lies in the run, which stays as it is: save the selection elsewhere")
        with atomic_path(target) as temporary:
            (self.cells() if cells else self.smears()).to_csv(temporary, index=False, lineterminator="\n")
        return target

    def files(self, smear: str) -> list[Path]:
        """Files of the cells of a smear that vote."""
        return self.run.files(smear)

    # --- what is shown -------------------------------------------------------------------------------------------

    def show(self, name: str = "", *, threshold: float | None = None) -> DescribedFigure:
        """Show a smear, or a cell; without a name the largest smear of the selection.

        Parameters
        ----------
        name : str
            A smear_id or image_id.
        threshold : float, optional
            Default the explorer's.

        Raises
        ------
        KeyError
            No such smear or cell, or nothing is selected.
        """
        if not name:
            smears = self.smears()
            if not len(smears):
                raise KeyError("no smear is selected")
            name = str(largest_smear(smears))
        figure: DescribedFigure = show(self.run, name, threshold=self.threshold if threshold is None else threshold)  # type: ignore[assignment]
        return figure

    def at(self, threshold: float | None = None) -> DescribedFigure:
        """Show the ROC curves with the points of a threshold, and the confusion matrix there.

        Parameters
        ----------
        threshold : float, optional
            In [0, 1); default the explorer's.

        Returns
        -------
        DescribedFigure
            Over the smears of the filter's split, site and diagnosis, whatever their verdict.
        """
        threshold = self.threshold if threshold is None else threshold
        votes = self.chosen.of(self._votes(threshold), outcomes=False).reset_index(drop=True)
        known = votes[votes["reference"].notna()].reset_index(drop=True)
        shares = smear_level.shares_of(known)
        curves = roc.multiclass_roc(known["reference"], shares) if len(set(known["reference"])) > 1 else None
        points = roc.operating_points(known["reference"], shares, threshold)
        judged = smear_level.judged(votes)
        order = [name for name in (*DIAGNOSES, NON_APL) if judged["expected"].eq(name).any()]
        more = [name for name in (*DIAGNOSES, NON_APL, UNKNOWN) if judged["verdict"].eq(name).any()]
        extra = [name for name in more if name not in order]
        counts = classification.confusion(list(judged["expected"]), list(judged["verdict"]), order, extra)
        return threshold_figure(curves, points, counts, threshold)

    def cell_map(self, name: str = "") -> DescribedFigure | Unavailable:
        """Show the testing and external cells where module 1 places them.

        Parameters
        ----------
        name : str
            Smear or cell to ring.
        """
        points = self.run.points
        if isinstance(points, Unavailable):
            return points
        ringed = points.loc[points["smear_id"].eq(name) | points["image_id"].eq(name), "image_id"]
        return cell_map(points, set(ringed))

    def maps(self, name: str, module: str = "module_1", block: int = PAPERS_MAP[0], layer: int = PAPERS_MAP[1]) -> Any:
        """Show all feature maps of a layer for one cell.

        Parameters
        ----------
        name : str
            An image_id.
        module : str
            `module_1` or `module_2`.
        block, layer : int
            Counted from 1; by default those of the paper's Fig. 7B.
        """
        network = self.network(module)
        return map_grid(self.run.pictures([name], network.input_size)[0], network, block, layer)

    def network(self, module: str) -> Any:
        """Load a module once."""
        if module not in self._networks:
            self._networks[module] = self.run.network(module)
        return self._networks[module]

    def compare(self, other: str | Path | Session) -> Comparison | Unavailable:
        """Compare with another run on the smears that both have.

        Parameters
        ----------
        other : str, Path or Session
            Another run: its folder, or its explorer.

        Returns
        -------
        Comparison or Unavailable
            At this explorer's threshold and the other run's own, on the filter's split.
        """
        second = other.run if isinstance(other, Session) else FinishedRun.open(other)
        split = self.chosen.split if self.chosen.split != ALL else "test"
        return compared(self.run, second, split, self.threshold)

    def _votes(self, threshold: float) -> pd.DataFrame:
        if threshold not in self._voted:
            self._voted[threshold] = self.run.votes(threshold)
        return self._voted[threshold]

    @cached_property
    def _voted(self) -> dict[float, pd.DataFrame]:
        return {}

    @cached_property
    def _networks(self) -> dict[str, Any]:
        return {}
