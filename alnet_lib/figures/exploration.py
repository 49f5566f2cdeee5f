"""Figures that are drawn again at every move of a slider: the layout is fixed, as finding one takes longest."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from alnet_lib.core.text import visible
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.diagnosis.cell_map import COLUMNS
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, MODULES, ModuleSpec
from alnet_lib.figures.style import CLASS_COLOURS, COLUMN, PAGE, DescribedFigure, labelled, note, style
from alnet_lib.statistics.classification import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from alnet_lib.statistics.roc import MulticlassRoc

ACROSS, MOST = 8, 40
"""Pictures in a row of a contact sheet, and on the whole of it."""

SLOT = 1.5
"""Height of a picture on a contact sheet with the text below it, in its widths."""

HALF = 0.5
"""Where the colour of a square of the confusion matrix is dark enough for white numbers."""


def threshold_figure(
    roc: MulticlassRoc | None, points: pd.DataFrame, counts: pd.DataFrame, threshold: float
) -> DescribedFigure:
    """Show where a threshold puts each class on its ROC curve, and the verdicts that it gives.

    Parameters
    ----------
    roc : MulticlassRoc or None
        Of the smears; None where they are of one class.
    points : DataFrame
        Of `statistics.roc.operating_points`.
    counts : DataFrame
        Smears, rows their diagnoses, columns the verdicts.
    threshold : float
        In [0, 1).

    Returns
    -------
    DescribedFigure
        Two panels.
    """
    with style():
        figure = DescribedFigure(figsize=(PAGE, 2.9))
        left, right = figure.add_axes((0.07, 0.17, 0.36, 0.74)), figure.add_axes((0.6, 0.17, 0.39, 0.74))
        left.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        left.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        left.set_title(f"share above {threshold:.2f}", loc="left")
        described = []
        for name, curve in (roc.classes if roc else {}).items():
            colour = CLASS_COLOURS.get(name, "0.5")
            left.plot(curve.fpr, curve.tpr, color=colour, lw=1, label=f"{LABELS.get(name, name)} ({curve.auc:.2f})")
            if name in points.index:
                x, y = points.loc[name, ["fpr", "tpr"]]
                left.plot(x, y, "o", ms=6, color=colour, mec="white", mew=0.8, zorder=3)
                described.append(f"{LABELS.get(name, name)} sensitivity {y:.2f}, specificity {1 - x:.2f}")
        if described:
            left.legend(title="AUC; the points are at this threshold", loc="lower right")
        else:
            left.text(0.5, 0.4, "a curve needs smears of two classes", ha="center")
        _matrix(right, counts)
        correct = int(sum(counts.loc[name, name] for name in counts.index if name in counts.columns))
        total = int(counts.to_numpy().sum())
        right.set_title(f"{correct} of {total} smears correct", loc="left")
        figure.alt = (
            f"At a threshold of {threshold:.2f}, {correct} of {total} smears get their diagnosis. "
            f"{'; '.join(described)}."
        )
    return figure


def _matrix(axes: Axes, counts: pd.DataFrame) -> None:
    if not counts.to_numpy().sum():
        note(axes, "no smear with a diagnosis is selected")
        return
    share = (percent(counts) / 100).to_numpy()
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), number in np.ndenumerate(counts.to_numpy()):
        colour = "white" if share[row, column] > HALF else "0.15"
        axes.text(column, row, f"{number}", ha="center", va="center", color=colour if number else "0.6")
    axes.set_xticks(range(counts.shape[1]), [text.replace(" ", "\n", 1) for text in labelled(counts.columns)])
    axes.set_yticks(range(counts.shape[0]), labelled(counts.index))
    axes.tick_params(length=0)
    axes.set(xlabel="verdict", ylabel="diagnosis")


def cell_map(points: pd.DataFrame, chosen: Collection[str] = ()) -> DescribedFigure:
    """Show cells where the network places them, coloured by their label; predicted otherwise as crosses.

    Parameters
    ----------
    points : DataFrame
        `image_id`, the coordinates of `diagnosis.cell_map`, and classes of module 1 in `reference` (missing where there
        is no label) and `predicted`.
    chosen : collection of str
        image_id of cells to ring.

    Returns
    -------
    DescribedFigure
        One panel.
    """
    x, y = COLUMNS
    with style():
        figure = DescribedFigure(figsize=(PAGE, 3.6))
        axes = figure.add_axes((0.07, 0.11, 0.57, 0.86))
        wrong = points["reference"].notna() & points["reference"].ne(points["predicted"])
        for name in [n for n in CLASS_COLOURS if points["reference"].eq(n).any()]:
            own = points["reference"].eq(name)
            right, missed = points[own & ~wrong], points[own & wrong]
            label = f"{LABELS.get(name, name)} ({len(right) + len(missed)}, {len(missed)} wrong)"
            axes.scatter(right[x], right[y], s=9, color=CLASS_COLOURS[name], alpha=0.6, lw=0, label=label)
            axes.scatter(missed[x], missed[y], s=22, color=CLASS_COLOURS[name], marker="x", lw=1)
        bare = points[points["reference"].isna()]
        if len(bare):
            axes.scatter(bare[x], bare[y], s=6, color="0.75", lw=0, zorder=0, label=f"no label ({len(bare)})")
        ringed = points[points["image_id"].isin(set(chosen))]
        if len(ringed):
            axes.scatter(ringed[x], ringed[y], s=60, facecolors="none", edgecolors="0.1", lw=0.9, label="selected")
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="label; crosses: predicted otherwise")
        names = ", ".join(visible(name) for name in ringed["image_id"].head(3))
        figure.alt = (
            f"{len(points)} cells on the first two principal components of the network's embedding; "
            f"{int(wrong.sum())} are predicted otherwise than labelled"
            + (f"; {len(ringed)} selected: {names}." if len(ringed) else ".")
        )
    return figure


def smear_sheet(
    cells: pd.DataFrame, pictures: Sequence[np.ndarray], threshold: float, spec: ModuleSpec = MODULE_1
) -> DescribedFigure:
    """Show a smear as a contact sheet: shares of its cells, its verdict, and each cell with the class predicted.

    Parameters
    ----------
    cells : DataFrame
        The cells of one smear that vote, with their probabilities.
    pictures : sequence of ndarray
        uint8 (S, S, 3), all of one size, in the order of `cells`; at least as many as are shown.
    threshold : float
        In [0, 1): the share that a class must exceed.
    spec : ModuleSpec
        Whose classes are shown.

    Returns
    -------
    DescribedFigure
        The first 40 cells at most, blasts with the class of module 2; the label stands in brackets where module 1
        predicts another class.
    """
    verdict = vote(cells, MajorityAboveThreshold(threshold)).iloc[0]
    predicted = spec.predicted(cells).to_numpy()
    shown = min(len(cells), MOST)
    down = -(-shown // ACROSS)
    second = spec is MODULE_1 and pd.notna(verdict[f"share2_{MODULE_2.classes[0]}"])
    lineage = MODULE_2.predicted(cells).to_numpy() if second else np.full(len(cells), "")
    top, row = 1.6, PAGE / ACROSS * SLOT
    height = top + down * row
    with style():
        figure = DescribedFigure(figsize=(PAGE, height))
        bars = figure.add_axes((0.26, 1 - 1.3 / height, 0.71, 1.08 / height))
        shares = [verdict[f"share_{c}"] for c in spec.classes]
        bars.barh([LABELS[c] for c in spec.classes], shares, color=[CLASS_COLOURS[c] for c in spec.classes])
        if second:
            lineages = [verdict[f"share2_{c}"] for c in MODULE_2.classes]
            names = [f"{LABELS[c]} (of the blasts)" for c in MODULE_2.classes]
            bars.barh(names, lineages, color=[CLASS_COLOURS[c] for c in MODULE_2.classes])
        bars.axvline(threshold, color="0.25", lw=0.8, ls=":")
        bars.set(xlim=(0, 1))
        bars.set_xlabel("share of cells; dotted: the threshold", labelpad=1)
        bars.invert_yaxis()
        title = f"{verdict['smear_id']}: {verdict['verdict']}{_diagnosed(verdict)}, {len(cells)} cells"
        bars.set_title(title)
        axes = figure.add_axes((0, 0, 1, down * row / height))
        called = np.where((predicted == "blast") & (lineage != ""), lineage, predicted)
        _sheet(axes, pictures[:shown], predicted, called, spec.reference(cells).to_numpy())
        described = ", ".join(f"{LABELS[c]} {s:.0%}" for c, s in zip(spec.classes, shares, strict=True) if s)
        figure.alt = f"Smear {title}. Shares: {described}."
    return figure


def _diagnosed(verdict: pd.Series) -> str:
    diagnosis = verdict.get("diagnosis", "")
    return f" (diagnosis {diagnosis})" if isinstance(diagnosis, str) and diagnosis else ""


def _sheet(
    axes: Axes, pictures: Sequence[np.ndarray], predicted: np.ndarray, called: np.ndarray, reference: np.ndarray
) -> None:
    """Pictures in rows of ACROSS in one pair of axes: forty pairs would take a second to draw."""
    side, down = pictures[0].shape[0], -(-len(pictures) // ACROSS)
    gap, slot = max(side // 20, 1), round(side * SLOT)
    canvas = np.full((down * slot, ACROSS * side, 3), 255, np.uint8)
    for i, one in enumerate(pictures):
        y, x = i // ACROSS * slot, i % ACROSS * side
        canvas[y + gap : y + side, x + gap // 2 : x + gap // 2 + side - gap] = one[gap // 2 :, gap // 2 :][
            : side - gap, : side - gap
        ]
        text = textwrap.wrap(LABELS[called[i]], 14)
        at: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 6, "linespacing": 1.0}
        axes.text(x + side / 2, y + side * 1.02, "\n".join(text), color=CLASS_COLOURS[called[i]], **at)
        if isinstance(reference[i], str) and reference[i] != predicted[i]:
            label = textwrap.fill(f"(label: {LABELS[reference[i]].lower()})", 15)
            axes.text(x + side / 2, y + side * (1.02 + 0.105 * len(text)), label, color="0.35", **at)
    axes.imshow(canvas, aspect="auto", interpolation="antialiased")
    axes.set_axis_off()


def cell_card(cell: pd.Series, picture: np.ndarray, specs: Sequence[ModuleSpec] = MODULES) -> DescribedFigure:
    """Show one cell with its probabilities.

    Parameters
    ----------
    cell : Series
        With image_id, cell_type and the columns of the first of `specs`.
    picture : ndarray
        uint8 (S, S, 3), RGB, of any size.
    specs : sequence of ModuleSpec
        Whose probabilities; those that the cell has none of are left out, and module 2's where the first module
        does not predict a blast.

    Returns
    -------
    DescribedFigure
        Picture and bars.
    """
    first = specs[0]
    best = first.classes[int(np.argmax([cell[column] for column in first.columns]))]
    asked = [spec for spec in specs if spec is first or (best == "blast" and _has(cell, spec))]
    reference = LABELS.get(cell["cell_type"], "no label")
    with style():
        figure = DescribedFigure(figsize=(COLUMN * 1.6, 1.85))
        left = figure.add_axes((0.01, 0.02, 0.33, 0.83))
        left.imshow(picture)
        left.set(xticks=[], yticks=[])
        names, values, colours = [], [], []
        for spec in asked:
            names += [LABELS[c] for c in spec.classes]
            values += [float(cell[column]) for column in spec.columns]
            colours += [CLASS_COLOURS[c] for c in spec.classes]
        right = figure.add_axes((0.62, 0.2, 0.36, 0.65))
        places = [i + (0.6 if i >= len(first.classes) else 0) for i in range(len(names))]
        right.barh(places, values, color=colours)
        right.set_yticks(places, names)
        right.set(xlim=(0, 1), xlabel=f"probability, {' and '.join(spec.title.lower() for spec in asked)}")
        right.invert_yaxis()
        figure.suptitle(f"{cell['image_id']}: {reference}", fontsize=7)
        figure.alt = (
            f"Cell {cell['image_id']}, reference label {reference}, predicted {LABELS[best]} with probability "
            f"{values[first.classes.index(best)]:.2f}."
        )
    return figure


def _has(cell: pd.Series, spec: ModuleSpec) -> bool:
    return all(column in cell and pd.notna(cell[column]) for column in spec.columns)
