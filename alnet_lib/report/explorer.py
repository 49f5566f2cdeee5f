"""Looking at smears, cells and feature maps in JupyterLab: `show(run, name)`, and two small browsers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from alnet_lib.core.outcomes import MissingArtefact, Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.figures.pictures import cell_card, map_grid, smear_sheet
from alnet_lib.figures.style import DescribedFigure, given
from alnet_lib.networks import activations, storage
from alnet_lib.workflow.steps import TRAINING

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.paper.values import Result
    from alnet_lib.workflow.run import Run

OFFERED = 350
"""Smears or cells in a list to choose from; a browser takes long over thousands."""


@if_available
def show(run: Run, name: str, *, threshold: float | None = None) -> DescribedFigure | Unavailable:
    """Show a smear as a contact sheet with its shares and verdict, or one cell with its probabilities.

    Only the eligible cells of a smear are on its sheet, those that vote in Table 9A.

    Parameters
    ----------
    run : Run
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
    cells, images = run.predictions(), run.images()
    if isinstance(cells, Unavailable):
        return cells
    threshold = run.profile.threshold if threshold is None else threshold
    if len(own := cells[cells["smear_id"].eq(name)]):
        voting = own[own["eligible"]]
        if not len(voting):
            raise KeyError(f"no cell of smear `{name}` is eligible for the vote")
        return smear_sheet(voting, images.pixels[images.rows_of(voting["image_id"])], threshold)
    if len(own := cells[cells["image_id"].eq(name)]):
        return cell_card(own.iloc[0], images.pixels[images.rows_of(own["image_id"])[0]])
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


def browser(run: Run, *, split: str = "test") -> Any:
    """Let a user choose a smear and move the threshold, and see the sheet and the verdict.

    Parameters
    ----------
    run : Run
        Its notebook 03 has run.
    split : str
        Whose smears are offered, OFFERED at most; `show` takes any.

    Returns
    -------
    ipywidgets.VBox
        Without a live kernel, as in the report, the first smear is shown.

    Raises
    ------
    MissingArtefact
        Notebook 03 has not run, or could not train module 1.
    """
    import ipywidgets

    cells = _predictions(run)
    offered = cells[cells["split"].eq(split) & cells["eligible"]]
    diagnoses = offered.groupby("smear_id")["diagnosis"].first().head(OFFERED)
    options = [(f"{s} ({d})", s) for s, d in diagnoses.items()]
    smear = ipywidgets.Dropdown(options=options, description="Smear")
    threshold = ipywidgets.FloatSlider(
        run.profile.threshold, min=0, max=0.95, step=0.05, description="Threshold", continuous_update=False
    )
    return _live(lambda: show(run, smear.value, threshold=threshold.value), smear, threshold)


def map_browser(run: Run, *, module: str = "module_1", split: str = "test", image_ids: Sequence[str] = ()) -> Any:
    """Let a user choose a cell and a convolution of a trained module, and see all maps of that layer.

    Parameters
    ----------
    run : Run
        Its notebook 03 has run.
    module : str
        `module_1` or `module_2`.
    split : str
        Whose cells are offered, OFFERED at most, as many of each cell type.
    image_ids : sequence of str
        The cells to offer instead.

    Returns
    -------
    ipywidgets.VBox
        Without a live kernel the first cell's maps of the paper's layer (Fig. 7B) are shown.

    Raises
    ------
    MissingArtefact
        Notebook 03 has not run, or the cohort could not train this module.
    """
    import ipywidgets

    network, _ = storage.load_network(run.need(f"models/{module}.safetensors", TRAINING))
    cells, images = _predictions(run), run.images()
    offered = cells[cells["image_id"].isin(image_ids) if image_ids else cells["split"].eq(split)]
    if not image_ids:
        of_type = offered.groupby("cell_type")
        offered = offered[of_type.cumcount() < max(OFFERED // max(of_type.ngroups, 1), 1)]
    rows, labels = images.rows_of(offered["image_id"]), offered["cell_type"].map(LABELS).fillna("no label")
    named = zip(offered["image_id"], labels, rows, strict=True)
    cell = ipywidgets.Dropdown(
        options=[(f"{name} ({label})", int(row)) for name, label, row in named], description="Cell"
    )
    known = activations.layers(network)
    layer = ipywidgets.Dropdown(
        options=[(f"block {b}, layer {n}", (b, n)) for b, n in known],
        value=activations.PAPERS_MAP[:2] if activations.PAPERS_MAP[:2] in known else known[0],
        description="Layer",
    )
    return _live(lambda: map_grid(images.pixels[cell.value], network, *layer.value), cell, layer)


def _predictions(run: Run) -> pd.DataFrame:
    if isinstance(cells := run.predictions(), Unavailable):
        raise MissingArtefact(f"this run has no predictions: {cells.reason}")
    return cells


def _live(draw: Callable[[], DescribedFigure | Unavailable], *controls: Any) -> Any:
    """Put the controls above a figure that is made again when one of them changes."""
    import ipywidgets
    from IPython.display import display

    out = ipywidgets.Output()

    def update(*_: Any) -> None:
        with out:
            out.clear_output(wait=True)
            display(draw())

    for control in controls:
        control.observe(update, "value")
    update()
    return ipywidgets.VBox([ipywidgets.HBox(controls), out])
