"""One smear or one cell of a run as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.figures.exploration import MOST, cell_card, smear_sheet
from alnet_lib.figures.style import DescribedFigure, given

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alnet_lib.paper.values import Result

SIDE = 128
"""Pixels a side of a picture on a contact sheet."""


class _Profile(Protocol):
    @property
    def threshold(self) -> float: ...


class Shown(Protocol):
    """What `show` takes: a Run in a notebook of the chain, a FinishedRun elsewhere."""

    @property
    def profile(self) -> _Profile:
        """Has the threshold of the vote."""

    def predictions(self) -> pd.DataFrame | Unavailable:
        """Give one row a cell, or why there is none."""

    def pictures(self, image_ids: Sequence[str] | pd.Series, side: int = 0) -> list[np.ndarray]:
        """Read cells, uint8 (S, S, 3); `side` 0 is the file's own resolution."""


@if_available
def show(run: Shown, name: str, *, threshold: float | None = None) -> DescribedFigure | Unavailable:
    """Show a smear as a contact sheet with its shares and verdict, or one cell with its probabilities.

    Only the eligible cells of a smear are on its sheet, those that vote in Table 9A.

    Parameters
    ----------
    run : Run or FinishedRun
        Its notebook 03 has run.
    name : str
        A smear_id or an image_id of the run's cohort.
    threshold : float, optional
        In [0, 1): the share of cells that a class must exceed; default the profile's.

    Returns
    -------
    DescribedFigure or Unavailable
        Contact sheet or cell; unavailable where the run could not predict any.

    Raises
    ------
    KeyError
        No such smear and no such cell, or a smear without an eligible cell.
    MissingArtefact
        Notebook 03 has not run.
    """
    cells = run.predictions()
    if isinstance(cells, Unavailable):
        return cells
    threshold = run.profile.threshold if threshold is None else threshold
    if len(own := cells[cells["smear_id"].eq(name)]):
        voting = own[own["eligible"]]
        if not len(voting):
            raise KeyError(f"no cell of smear `{name}` is eligible for the vote")
        return smear_sheet(voting, run.pictures(voting["image_id"].head(MOST), SIDE), threshold)
    if len(own := cells[cells["image_id"].eq(name)]):
        return cell_card(own.iloc[0], run.pictures([name])[0])
    some = ", ".join(cells["smear_id"].dropna().unique()[:3])
    raise KeyError(f"no smear and no cell `{name}`; smears are named {some} ...")


@if_available
def largest_smear(votes: pd.DataFrame | Result) -> str:
    """Name the smear with the most cells, the first of several.

    Parameters
    ----------
    votes : DataFrame or Result
        Of `diagnosis.aggregation.vote`; a Result has it as the fact `votes` or as its frame.

    Returns
    -------
    str
        Its smear_id.
    """
    frame: pd.DataFrame = given(votes, "votes")
    return str(frame.sort_values("n_cells", ascending=False)["smear_id"].iloc[0])
