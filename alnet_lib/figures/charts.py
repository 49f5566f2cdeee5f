"""Heat maps and bars in the kit's style, each with a text alternative (`figure.alt`)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alnet_lib.core.outcomes import if_available
from alnet_lib.core.vocabulary import LABELS, MODULE_1_CLASSES
from alnet_lib.figures.style import (
    CLASS_COLOURS,
    OKABE_ITO,
    PAGE,
    DescribedFigure,
    given,
    labelled,
    new_figure,
    style,
)
from alnet_lib.paper.values import Result
from alnet_lib.statistics import classification

if TYPE_CHECKING:
    import pandas as pd

NAMED, UPRIGHT = 24, 8
"""Most smears of `vote_bars` that stand with name and verdict, and most whose names fit side by side."""


@if_available
def confusion_heatmap(counts: pd.DataFrame | Result, title: str = "") -> DescribedFigure:
    """Show a confusion matrix in percent of the reference class, with counts beneath.

    Parameters
    ----------
    counts : DataFrame or Result
        Cells or smears, rows reference classes, columns predicted ones; a Result has it as the fact `counts` or as its
        frame.
    title : str
        Above the matrix.

    Returns
    -------
    DescribedFigure
        A heat map.
    """
    import seaborn as sns

    counts = given(counts, "counts")
    percent = classification.percent(counts)
    with style():
        across, down = percent.shape[1], percent.shape[0]
        figure = new_figure(min(0.75 * across + 1.4, PAGE), 0.5 * down + 0.9)
        axes = figure.add_subplot()
        shown = percent.map(lambda p: "" if np.isnan(p) else f"{p:.1f}") + "\n(" + counts.astype(str) + ")"
        sns.heatmap(
            percent, annot=shown, fmt="", cmap="Blues", vmin=0, vmax=100, ax=axes, linewidths=0.5, linecolor="0.85",
            annot_kws={"size": 6.5}, cbar_kws={"label": "% of the reference class"},
            xticklabels=labelled(percent.columns), yticklabels=labelled(percent.index),
        )  # fmt: skip
        axes.set(xlabel="predicted", ylabel="reference", title=title)
        for text in axes.get_xticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="y", rotation=0)
        diagonal = ", ".join(
            f"{LABELS.get(n, n)} {percent.loc[n, n]:.1f}" for n in percent.index if not np.isnan(percent.loc[n, n])
        )
        figure.alt = f"Confusion matrix {title}. Percent on the diagonal: {diagonal}."
    return figure


@if_available
def vote_bars(votes: pd.DataFrame | Result, classes: Sequence[str] = MODULE_1_CLASSES) -> DescribedFigure:
    """Show each smear as a bar of the shares of its cells; smears grouped by diagnosis, one half as a line.

    A few smears stand with their names and verdicts.

    Parameters
    ----------
    votes : DataFrame or Result
        Of `diagnosis.aggregation.vote`; a Result has it as the fact `votes` or as its frame.
    classes : sequence of str
        Classes whose shares are stacked.

    Returns
    -------
    DescribedFigure
        One bar a smear.
    """
    votes = given(votes, "votes")
    order = votes.sort_values(["diagnosis", "module_1"]).reset_index(drop=True)
    named = len(order) <= NAMED
    with style():
        figure = new_figure(PAGE, 2.8 if named else 2.2)
        axes = figure.add_subplot()
        bottom = np.zeros(len(order))
        for name in classes:
            share = order[f"share_{name}"].to_numpy()
            width = 0.8 if named else 1.0
            axes.bar(order.index, share, bottom=bottom, width=width, color=CLASS_COLOURS[name], label=LABELS[name])
            bottom += share
        for diagnosis, part in order.groupby("diagnosis"):
            axes.text(part.index.to_numpy().mean(), 1.03, str(diagnosis), ha="center", va="bottom")
            axes.axvline(part.index.max() + 0.5, color="0.6" if named else "white", lw=0.8 if named else 1.5)
        axes.axhline(0.5, color="0.7", lw=0.8, ls=":")
        axes.set(ylabel="share of cells", xlim=(-0.5, len(order) - 0.5), ylim=(0, 1.12), xticks=[])
        if named:
            texts = [_named(line) for line in order.itertuples()]
            axes.set_xticks(order.index, texts, rotation=0 if len(order) <= UPRIGHT else 90)
            axes.tick_params(axis="x", length=0)
            figure.legend(ncols=5, loc="outside lower center")
        else:
            axes.set_xlabel("smears")
            axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.08))
        counts = ", ".join(f"{count} {name}" for name, count in order["diagnosis"].value_counts().items())
        figure.alt = f"Bars of the shares of cell classes in each of {len(order)} smears, by diagnosis: {counts}."
        if named and "verdict" in order:
            figure.alt += " Verdicts: " + "; ".join(f"{r.smear_id} {r.verdict}" for r in order.itertuples()) + "."
    return figure


def _named(smear: Any) -> str:
    """Name of a smear in lines of at most 14 letters, and its verdict."""
    name = "\n".join(textwrap.wrap(str(smear.smear_id), 14))
    return f"{name}\n{smear.verdict}" if hasattr(smear, "verdict") else name


@if_available
def bars(values: pd.Series | Result, label: str) -> DescribedFigure:
    """Show named numbers as horizontal bars, the first on top.

    Parameters
    ----------
    values : Series or Result
        Index names the bars; of a Result the first column of its frame.
    label : str
        Name and unit of the numbers.

    Returns
    -------
    DescribedFigure
        One bar a number.
    """
    values = values.frame.iloc[:, 0] if isinstance(values, Result) else values
    with style():
        figure = new_figure(PAGE * 0.75, 0.17 * len(values) + 0.6)
        axes = figure.add_subplot()
        y = np.arange(len(values))[::-1]
        axes.barh(y, values.to_numpy(), color=OKABE_ITO["blue"])
        axes.set_yticks(y, [str(name).replace("_", " ") for name in values.index])
        axes.set(xlabel=label, ylim=(-0.7, len(values) - 0.3))
        listed = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in values.head(5).items())
        figure.alt = f"Bars, {label}: {listed}" + (" and others." if len(values) > 5 else ".")
    return figure


@if_available
def forest(frame: pd.DataFrame | Result, *, unit: str = "%") -> DescribedFigure:
    """Show published beside reproduced numbers, with intervals.

    Parameters
    ----------
    frame : DataFrame or Result
        Columns `label`, `published`, `reproduced`, `ci_low`, `ci_high`, in `unit`.
    unit : str
        Names the axis.

    Returns
    -------
    DescribedFigure
        One line a number.
    """
    frame = given(frame)
    with style():
        figure = new_figure(PAGE * 0.85, 0.18 * len(frame) + 0.7)
        axes = figure.add_subplot()
        y = np.arange(len(frame))[::-1]
        known = frame[["ci_low", "ci_high"]].notna().all(axis=1).to_numpy()  # few patients: a point without a line
        axes.hlines(y[known], frame["ci_low"][known], frame["ci_high"][known], color=OKABE_ITO["blue"], lw=1.4)
        axes.plot(
            frame["reproduced"], y, "o", ms=3.5, color=OKABE_ITO["blue"], label="this run, 95% interval over patients"
        )
        axes.plot(frame["published"], y, "D", ms=3.5, mfc="none", color=OKABE_ITO["vermillion"], label="paper")
        axes.set_yticks(y, frame["label"])
        axes.set(xlabel=unit, ylim=(-0.7, len(frame) - 0.3))
        axes.grid(axis="x", lw=0.3)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        figure.alt = (
            f"{len(frame)} numbers of the paper beside what this run measured, with 95% intervals over patients."
        )
    return figure
