"""Looking at smears, cells and feature maps in JupyterLab: `alnet.show(run, name)`, and two small browsers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from alnet_lib import feature_maps, maps, plots, training, vote
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_1_CLASSES
from alnet_lib.run import Run

ACROSS, MOST = 8, 40


def _cells(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    cells = pd.read_parquet(run.need("predictions/cells.parquet", "03_alnet_training"))
    position = pd.Series(np.arange(len(run.cohort().manifest)), index=run.cohort().manifest["image_id"])
    return cells, position[cells["image_id"]].to_numpy()


def show(run: Run, name: str, *, threshold: float | None = None) -> Figure:
    """A smear as a contact sheet with its shares and verdict, or one cell with its probabilities.

    name: a smear_id or an image_id of the run's cohort. threshold: in [0, 1), default the profile's.

    Raises
    ------
    KeyError
        no such smear and no such cell.
    MissingArtefact
        notebook 03 has not run.
    """
    cells, rows = _cells(run)
    threshold = run.profile.threshold if threshold is None else threshold
    if (own := cells["smear_id"].eq(name).to_numpy()).any():
        return _smear(cells[own], run.pixels()[rows[own]], threshold)
    if (own := cells["image_id"].eq(name).to_numpy()).any():
        return _cell(cells[own].iloc[0], run.pixels()[rows[own][0]])
    some = ", ".join(cells["smear_id"].unique()[:3])
    raise KeyError(f"no smear and no cell `{name}`; smears are called {some} ...")


def _smear(cells: pd.DataFrame, pictures: np.ndarray, threshold: float) -> Figure:
    verdict = vote.vote(cells, threshold).iloc[0]
    called = vote.classify(cells, "p1", MODULE_1_CLASSES).to_numpy()
    shown = min(len(cells), MOST)
    down = -(-shown // ACROSS)
    with plots.style():
        figure = Figure(figsize=(plots.PAGE, 0.98 * down + 1.5), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=[1.2, 0.98 * down])
        bars = top.add_subplot()
        shares = [verdict[f"share_{c}"] for c in MODULE_1_CLASSES]
        bars.barh(
            [LABELS[c] for c in MODULE_1_CLASSES], shares, color=[plots.CLASS_COLOURS[c] for c in MODULE_1_CLASSES]
        )
        bars.axvline(threshold, color="0.25", lw=0.8, ls=":")
        bars.set(xlim=(0, 1), xlabel="share of cells")
        bars.invert_yaxis()
        title = f"{verdict['smear_id']}: {verdict['verdict']} (truly {verdict['diagnosis']}), {len(cells)} cells"
        bars.set_title(title)
        for i, axes in enumerate(bottom.subplots(down, ACROSS, squeeze=False).ravel()):
            axes.set_xticks([]), axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if i < shown:
                axes.imshow(pictures[i])
                axes.set_xlabel(LABELS[called[i]].replace(" ", "\n"), color=plots.CLASS_COLOURS[called[i]], fontsize=6)
        told = ", ".join(f"{LABELS[c]} {s:.0%}" for c, s in zip(MODULE_1_CLASSES, shares, strict=True) if s)
        figure.alt = f"Smear {title}. Shares: {told}."
    return figure


def _cell(cell: pd.Series, picture: np.ndarray) -> Figure:
    with plots.style():
        figure = Figure(figsize=(plots.COLUMN * 1.3, 1.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
        left.imshow(picture)
        left.set_xticks([]), left.set_yticks([])
        p = [cell[f"p1_{c}"] for c in MODULE_1_CLASSES]
        right.barh([LABELS[c] for c in MODULE_1_CLASSES], p, color=[plots.CLASS_COLOURS[c] for c in MODULE_1_CLASSES])
        right.set(xlim=(0, 1), xlabel="probability, module 1")
        right.invert_yaxis()
        true = LABELS.get(cell["cell_type"], "unlabelled")
        figure.suptitle(f"{cell['image_id']}: {true}", fontsize=7)
        best = MODULE_1_CLASSES[int(np.argmax(p))]
        figure.alt = f"Cell {cell['image_id']}, truly {true}, called {LABELS[best]} with probability {max(p):.2f}."
    return figure


def browser(run: Run, *, split: str = "test") -> Any:
    """An ipywidgets box: choose a smear, move the threshold, see the sheet and the verdict.

    split: which smears are offered. Without a live kernel (as in the report) the first smear is shown still.
    """
    import ipywidgets

    cells, _ = _cells(run)
    offered = cells[cells["split"].eq(split) & cells["selected"]]
    options = [(f"{s} ({d})", s) for s, d in offered.groupby("smear_id")["diagnosis"].first().items()]
    smear = ipywidgets.Dropdown(options=options, description="Smear")
    threshold = ipywidgets.FloatSlider(
        run.profile.threshold, min=0, max=0.95, step=0.05, description="Threshold", continuous_update=False
    )
    return _live(lambda: show(run, smear.value, threshold=threshold.value), smear, threshold)


def map_browser(run: Run, *, module: str = "module_1", split: str = "test") -> Any:
    """An ipywidgets box: choose a cell and a convolution of a trained module, see all maps of that layer as a grid.

    Without a live kernel the first cell's maps of the paper's layer (Fig. 7B) are shown still.

    Raises
    ------
    MissingArtefact
        notebook 03 has not run, or the cohort could not train this module.
    """
    import ipywidgets

    network, _ = training.load_network(run.need(f"models/{module}.safetensors", "03_alnet_training"))
    cells, rows = _cells(run)
    offered = np.flatnonzero(cells["split"].eq(split))
    told = cells["cell_type"].map(LABELS).fillna("unlabelled")
    cell = ipywidgets.Dropdown(
        options=[(f"{cells['image_id'][i]} ({told[i]})", int(rows[i])) for i in offered], description="Cell"
    )
    known = feature_maps.layers(network)
    layer = ipywidgets.Dropdown(
        options=[(f"block {b}, layer {n}", (b, n)) for b, n in known],
        value=feature_maps.PAPERS_MAP[:2] if feature_maps.PAPERS_MAP[:2] in known else known[0],
        description="Layer",
    )
    pixels = run.pixels()
    return _live(lambda: maps.grid(pixels[cell.value], network, *layer.value), cell, layer)


def _live(draw: Callable[[], Figure], *controls: Any) -> Any:
    """The controls above a figure that is drawn again when one of them changes."""
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
