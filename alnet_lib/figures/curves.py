"""Curves: ROC, trainings, calibration, decision curves, each with a text alternative (`figure.alt`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.figures.style import (
    CLASS_COLOURS,
    COLUMN,
    OKABE_ITO,
    PAGE,
    DescribedFigure,
    given,
    new_figure,
    style,
)
from alnet_lib.training import learning_rate_range

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.evaluation.calibration import Calibrated
    from alnet_lib.paper.values import Result
    from alnet_lib.statistics.roc import Curve, MulticlassRoc

_COLOURS = [OKABE_ITO[name] for name in ("vermillion", "blue", "green", "purple", "orange", "black")]


@if_available
def multiclass_roc(analysis: MulticlassRoc | Result) -> DescribedFigure:
    """Figure 4: a curve a class and their average, with the points of the paper's threshold.

    Parameters
    ----------
    analysis : MulticlassRoc or Result
        The analysis of section 3.3; a Result has it as the fact `roc`.

    Returns
    -------
    DescribedFigure
        ROC curves with their areas in the legend, A whole and B the corner that holds the points.
    """
    roc: MulticlassRoc = given(analysis, "roc")
    with style():
        figure = new_figure(PAGE, 3.5)
        panels = figure.subplots(1, 2)
        for axes in panels:
            axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
            for name, curve in roc.classes.items():
                colour, label = CLASS_COLOURS.get(name, "0.5"), f"{LABELS.get(name, name)} ({curve.auc:.3f})"
                axes.plot(curve.fpr, curve.tpr, color=colour, lw=1, label=label)
                if name in roc.at_half.index:
                    x, y = roc.at_half.loc[name]
                    axes.plot(x, y, "o", ms=5, color=colour, mec="white", mew=0.7, zorder=3, clip_on=False)
            label = f"average ({roc.average.auc:.3f})"
            axes.plot(roc.average.fpr, roc.average.tpr, color="0.2", lw=2, ls=(0, (4, 2)), label=label, zorder=1)
            axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        side = float(np.clip(1.25 * max(roc.at_half["fpr"].max(), 1 - roc.at_half["tpr"].min()), 0.1, 0.5))
        panels[0].set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panels[0].add_patch(Rectangle((0, 1 - side), side, side, fc="none", ec="0.5", lw=0.6))
        panels[1].set(xlim=(-0.02 * side, side), ylim=(1 - side, 1 + 0.02 * side))
        for letter, axes in zip("AB", panels, strict=True):
            axes.set_title(letter, loc="left", weight="bold")
        panels[1].set_title("the corner marked in A")
        low, high = roc.threshold
        words = f"Hand and Till's M, the mean AUC over pairs of classes: {roc.hand_till:.3f}"
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, ncols=3, loc="outside lower center",
            title=f"AUC; points: threshold 0.50 (equally best: {low:.2f} to {high:.2f}). {words}",
        )  # fmt: skip
        aucs = ", ".join(f"{LABELS.get(n, n)} {c.auc:.3f}" for n, c in roc.classes.items())
        points = ", ".join(f"{LABELS.get(n, n)} {p.tpr:.2f} and {1 - p.fpr:.2f}" for n, p in roc.at_half.iterrows())
        figure.alt = (
            f"ROC curves over smears. AUC: {aucs}; average {roc.average.auc:.3f}. Hand and Till's M "
            f"{roc.hand_till:.3f}. Thresholds from {low:.2f} to {high:.2f} are equally best. "
            f"Sensitivity and specificity at 0.50: {points}."
        )
    return figure


@if_available
def patient_roc(scores: Mapping[str, tuple[Curve, float, float]] | Result) -> DescribedFigure:
    """ROC curves per patient.

    Parameters
    ----------
    scores : mapping of str to tuple, or Result
        Name of a score to its curve and the 95% interval of its AUC, NaN where there is none; a Result has it as the
        fact `curves`.

    Returns
    -------
    DescribedFigure
        One curve a score.
    """
    curves: Mapping[str, tuple[Curve, float, float]] = given(scores, "curves")
    with style():
        figure = new_figure(COLUMN * 1.2, COLUMN * 1.2 + 0.16 * len(curves))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        areas = {name: f"{curve.auc:.2f} ({_ends(low, high)})" for name, (curve, low, high) in curves.items()}
        for colour, (name, (curve, _, _)) in zip(_COLOURS, curves.items(), strict=False):
            axes.plot(curve.fpr, curve.tpr, color=colour, label=f"{name}: {areas[name]}")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        figure.legend(title="AUC (95% interval over patients)", loc="outside lower left")
        listed = "; ".join(f"{name}: AUC {area}" for name, area in areas.items())
        figure.alt = f"ROC curves per patient. {listed}."
    return figure


def _ends(low: float, high: float) -> str:
    return "no interval" if np.isnan(low) or np.isnan(high) else f"{low:.2f} to {high:.2f}"


def learning_curves(trained: Mapping[str, Any]) -> DescribedFigure | Unavailable:
    """Loss, smoothed over 15 iterations, and learning rate of trainings.

    Parameters
    ----------
    trained : mapping of str to Trained, DataFrame or Unavailable
        Name of a training to what it gave (its `history` is shown) or to a frame with `iteration`, `loss` and
        `learning_rate`. Those that are unavailable are left out.

    Returns
    -------
    DescribedFigure or Unavailable
        Two panels; the first Unavailable where no training is there.
    """
    there = {name: one for name, one in trained.items() if not isinstance(one, Unavailable)}
    if not there:
        return next(iter(trained.values()))
    histories = {name: getattr(one, "history", one) for name, one in there.items()}
    with style():
        figure = new_figure(PAGE * 0.8, 2.1)
        left, right = figure.subplots(1, 2)
        for colour, (name, history) in zip(OKABE_ITO.values(), histories.items(), strict=False):
            smooth = history["loss"].rolling(15, min_periods=1).mean()
            left.plot(history["iteration"], smooth, color=colour, label=name)
            right.plot(history["iteration"], history["learning_rate"], color=colour, label=name)
        left.set(xlabel="iteration", ylabel="cross-entropy", ylim=(0, None))
        right.set(xlabel="iteration", ylabel="learning rate")
        left.legend()
        ends = ", ".join(f"{n} {h['loss'].iloc[-15:].mean():.2f}" for n, h in histories.items() if len(h))
        figure.alt = f"Training loss and cyclical learning rate. Loss at the end: {ends}."
    return figure


@if_available
def range_test(
    curve: pd.DataFrame | Result, used: tuple[float, float], proposed: tuple[float, float] | None = None
) -> DescribedFigure:
    """Smoothed loss against learning rate, the proposed range shaded, the profile's range between dotted lines.

    Parameters
    ----------
    curve : DataFrame or Result
        Columns `learning_rate` and `smoothed` (loss).
    used : tuple of float
        Lowest and highest learning rate of the profile.
    proposed : tuple of float, optional
        What the test proposes, NaN where it proposes nothing; default what `learning_rate_range.propose` reads from it.

    Returns
    -------
    DescribedFigure
        One curve (Smith, WACV 2017).
    """
    curve = given(curve)
    proposed = learning_rate_range.propose(curve) if proposed is None else proposed
    with style():
        figure = new_figure(COLUMN, COLUMN * 0.7)
        axes = figure.add_subplot()
        if not np.isnan(proposed).any():
            axes.axvspan(*proposed, color=OKABE_ITO["sky"], alpha=0.25, lw=0, label="proposed")
        axes.plot(curve["learning_rate"], curve["smoothed"], color=OKABE_ITO["blue"], label="loss, smoothed")
        for i, rate in enumerate(used):
            axes.axvline(rate, color="0.3", lw=0.8, ls=":", label="this profile" if i else None)
        top = float(curve["smoothed"].iloc[0])
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0, 2 * top))
        axes.legend()
        figure.alt = (
            f"Loss against learning rate from {curve['learning_rate'].iloc[0]:.0e} to "
            f"{curve['learning_rate'].iloc[-1]:.0e}; proposed: {learning_rate_range.in_words(*proposed)}."
        )
    return figure


@if_available
def reliability_figure(calibrated: Calibrated | Result) -> DescribedFigure:
    """Accuracy against confidence, before and after temperature scaling: a panel for testing, one for external cells.

    Parameters
    ----------
    calibrated : Calibrated or Result
        Reliability of each part before and after; a Result has it as the fact `calibrated`.

    Returns
    -------
    DescribedFigure
        Two curves a panel, with 95% intervals over patients where there are enough.
    """
    found: Calibrated = given(calibrated, "calibrated")
    panels = {
        title: {
            f"as trained (ECE {found.ece[title][0]:.3f})": before.rename(columns={"confidence": "x", "accuracy": "y"}),
            f"temperature {found.temperature:.2f} (ECE {found.ece[title][1]:.3f})": after.rename(
                columns={"confidence": "x", "accuracy": "y"}
            ),
        }
        for title, (before, after) in found.curves.items()
    }
    return _panels(panels, "confidence", "accuracy", {title: (-0.02, 1.3) for title in panels}, diagonal=True)


@if_available
def benefit_figure(curve: Mapping[str, pd.DataFrame] | Result) -> DescribedFigure:
    """Net benefit against threshold probability, a panel a prevalence: by the vote, every smear as APL, none as APL.

    Parameters
    ----------
    curve : mapping of str to DataFrame, or Result
        Title of a panel to columns `threshold` (in [0, 1]), `score`, `everyone`, `no_one` (net benefits); a Result has
        it as the fact `curves`.

    Returns
    -------
    DescribedFigure
        Three curves a panel (Vickers and Elkin, Med. Decis. Making 2006).
    """
    panels, limits = {}, {}
    names = {"score": "recalibrated vote", "everyone": "everyone as APL", "no_one": "no one as APL"}
    for title, frame in given(curve, "curves").items():
        panels[title] = {
            name: frame.rename(columns={"threshold": "x", key: "y"})[["x", "y"]] for key, name in names.items()
        }
        top = max(float(frame[["score", "everyone"]].max().max()), 0.001)
        limits[title] = (-0.4 * top, 1.15 * top)
    return _panels(panels, "threshold probability", "net benefit", limits)


@if_available
def cells_figure(curve: pd.DataFrame | Result) -> DescribedFigure:
    """Share of smears with the correct verdict, and without one, against the number of cells seen.

    Parameters
    ----------
    curve : DataFrame or Result
        Columns `cells`, `correct`, `low`, `high` (95% interval over patients), `unknown`, `unknown low`, `unknown
        high`; shares in [0, 1].

    Returns
    -------
    DescribedFigure
        Two curves with bands.
    """
    frame = given(curve)
    names = ["x", "y", "low", "high"]
    shown = {
        "correct verdict": frame[["cells", "correct", "low", "high"]].set_axis(names, axis=1),
        "unknown": frame[["cells", "unknown", "unknown low", "unknown high"]].set_axis(names, axis=1),
    }
    figure = _lines(shown, "cells of a smear that are seen", "share of smears", logx=True, ylim=(-0.02, 1.02))
    axes = figure.axes[0]
    # At few cells the numbers of a logarithmic axis would be 10 to the 0 and to the 1.
    axes.set_xticks(frame["cells"], [f"{n:g}" for n in frame["cells"]])
    axes.set_xticks([], minor=True)
    tied = frame[frame["cells"].eq(2)]
    if len(tied) and len(frame) > 1:
        words = "two cells that differ:\na tie, no verdict"
        to = (2, float(tied["unknown"].iloc[0]))
        arrow = {"arrowstyle": "-", "lw": 0.6, "color": "0.4"}
        axes.annotate(words, to, (2.6, min(to[1] + 0.12, 0.6)), fontsize=6.5, color="0.3", arrowprops=arrow)
    return figure


@if_available
def dots(frame: pd.DataFrame | Result, label: str, *, mark: float = 0.5) -> DescribedFigure:
    """Show named numbers in [0, 1] as dots with their intervals, the first on top, and a line at what chance gives.

    Parameters
    ----------
    frame : DataFrame or Result
        Columns `label`, `value`, `low`, `high` (NaN where there is no interval); a Result has it as the fact `dots`.
    label : str
        Names the axis.
    mark : float
        Where the line is.

    Returns
    -------
    DescribedFigure
        One line a number.
    """
    shown: pd.DataFrame = given(frame, "dots")
    with style():
        figure = new_figure(PAGE * 0.85, 0.2 * len(shown) + 0.6)
        axes = figure.add_subplot()
        y, known = np.arange(len(shown))[::-1], shown[["low", "high"]].notna().all(axis=1).to_numpy()
        axes.axvline(mark, color="0.5", lw=0.8, ls="--", zorder=0)
        axes.hlines(y[known], shown["low"][known], shown["high"][known], color=OKABE_ITO["blue"], lw=1.4)
        axes.plot(shown["value"], y, "o", ms=4, color=OKABE_ITO["vermillion"])
        axes.set_yticks(y, shown["label"])
        axes.set(xlabel=label, xlim=(min(mark, shown[["value", "low"]].min().min()) - 0.02, 1.02))
        axes.grid(axis="x", lw=0.3)
        listed = "; ".join(f"{r.label}: {r.value:.2f} ({_ends(r.low, r.high)})" for r in shown.itertuples())
        figure.alt = f"{label}, a dot with its interval each; the dashed line is at {mark:g}. {listed}."
    return figure


def _lines(
    curves: Mapping[str, pd.DataFrame],
    xlabel: str,
    ylabel: str,
    *,
    diagonal: bool = False,
    logx: bool = False,
    ylim: tuple[float, float] | None = None,
) -> DescribedFigure:
    with style():
        figure = new_figure(COLUMN * 1.25, COLUMN)
        axes = figure.add_subplot()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        for colour, (name, frame) in zip(_COLOURS, curves.items(), strict=False):
            axes.plot(frame["x"], frame["y"], color=colour, marker="o" if len(frame) < 15 else "", ms=3, label=name)
            if {"low", "high"} <= set(frame.columns):
                axes.fill_between(frame["x"], frame["low"], frame["high"], color=colour, alpha=0.15, lw=0)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if logx:
            axes.set_xscale("log")
        if ylim:
            axes.set_ylim(*ylim)
        axes.legend()
        ends = "; ".join(
            f"{n}: from {f['y'].iloc[0]:.2f} to {f['y'].iloc[-1]:.2f}" for n, f in curves.items() if len(f)
        )
        figure.alt = f"Curves of {ylabel} against {xlabel}. {ends}."
    return figure


def _panels(
    panels: Mapping[str, Mapping[str, pd.DataFrame]],
    xlabel: str,
    ylabel: str,
    ylim: Mapping[str, tuple[float, float]],
    *,
    diagonal: bool = False,
) -> DescribedFigure:
    """Curves in panels, two a row; `low` and `high` are drawn as error bars where they are known."""
    rows, columns = -(-len(panels) // 2), min(len(panels), 2)
    with style():
        figure = new_figure(PAGE if columns > 1 else COLUMN * 1.25, COLUMN * (0.9 if rows == 1 else 0.75 * rows))
        every = figure.subplots(rows, columns, squeeze=False).ravel()
        described = []
        for axes, (title, curves) in zip(every, panels.items(), strict=False):
            if diagonal:
                axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
            for colour, (name, frame) in zip(_COLOURS, curves.items(), strict=False):
                marker = "o" if len(frame) < 15 else ""
                axes.plot(frame["x"], frame["y"], color=colour, marker=marker, ms=3, label=name)
                if {"low", "high"} <= set(frame.columns):
                    known = frame[frame["low"].notna()]
                    sides = [known["y"] - known["low"], known["high"] - known["y"]]
                    axes.errorbar(known["x"], known["y"], sides, fmt="none", color=colour, alpha=0.5, lw=0.8)
                described.append(f"{title}, {name}: from {frame['y'].iloc[0]:.2f} to {frame['y'].iloc[-1]:.2f}")
            axes.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim[title], title=title)
            axes.legend(loc="upper left" if diagonal else "best")
        for axes in every[len(panels) :]:
            axes.set_axis_off()
        figure.alt = f"Curves of {ylabel} against {xlabel}. {'; '.join(described)}."
    return figure
