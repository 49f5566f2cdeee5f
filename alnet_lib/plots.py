"""Figures in one style: colours that colour-blind readers can tell apart, vector and 300 dpi, alternative texts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from alnet_lib.cohorts.vocabulary import LABELS
from alnet_lib.files import atomic_path
from alnet_lib.roc import Curve, MulticlassRoc

COLUMN, PAGE = 85 / 25.4, 180 / 25.4
"""Widths in inches of one and of two journal columns."""

_OKABE_ITO = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442", "blue": "#0072B2",
    "vermillion": "#D55E00", "purple": "#CC79A7", "grey": "#7F7F7F", "black": "#000000",
}  # fmt: skip
CLASS_COLOURS: dict[str, str] = {
    "lymphocyte": _OKABE_ITO["sky"],
    "monocyte": _OKABE_ITO["blue"],
    "control": _OKABE_ITO["sky"],
    "reactive_lymphocyte": _OKABE_ITO["green"],
    "infection": _OKABE_ITO["green"],
    "abnormal_promyelocyte": _OKABE_ITO["vermillion"],
    "APL": _OKABE_ITO["vermillion"],
    "blast": _OKABE_ITO["black"],
    "AL non-APL": _OKABE_ITO["black"],
    "myeloid_blast": _OKABE_ITO["orange"],
    "myeloblast": _OKABE_ITO["orange"],
    "monoblast": _OKABE_ITO["yellow"],
    "AML": _OKABE_ITO["orange"],
    "b_lymphoblast": _OKABE_ITO["purple"],
    "ALL": _OKABE_ITO["purple"],
    "unknown": _OKABE_ITO["grey"],
}
"""The same colour for the same class in every figure (palette of Okabe and Ito, 2008)."""

_STYLE = Path(__file__).with_name("alnet.mplstyle")


@contextmanager
def style():
    """The kit's matplotlib style, for the block only."""
    with matplotlib.rc_context():
        matplotlib.style.use(_STYLE)
        yield


def _figure(width: float, height: float) -> Figure:
    # A figure of our own, not pyplot's, leaves nothing open behind.
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, stem: Path) -> tuple[bytes, bytes]:
    """Write <stem>.svg and <stem>.png (300 dpi); both as bytes, the same for the same figure."""
    with style():
        svg, png = BytesIO(), BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=300, metadata={"Software": None})
    for suffix, content in ((".svg", svg), (".png", png)):
        with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
            temporary.write_bytes(content.getvalue())
    return svg.getvalue(), png.getvalue()


def _note(axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axes.transAxes)


def _labelled(names: Iterable[str]) -> list[str]:
    return [LABELS.get(name, name) for name in names]


def montage(rows: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str] = (), *, width: float = PAGE) -> Figure:
    """Pictures in rows: name of the row -> uint8 (H, W, 3) pictures; `columns` head them."""
    with style():
        across = max((len(pictures) for pictures in rows.values()), default=0)
        figure = _figure(width, max(width / max(across, 1) * len(rows) * 1.08, 0.8))
        if not across:
            _note(figure.add_subplot(), "no picture")
            figure.alt = "No picture."
            return figure
        grid = figure.subplots(len(rows), across, squeeze=False)
        for r, (name, pictures) in enumerate(rows.items()):
            for c in range(across):
                axes = grid[r, c]
                axes.set_xticks([]), axes.set_yticks([])
                axes.spines[:].set_visible(False)
                if c < len(pictures):
                    axes.imshow(pictures[c], cmap="gray" if np.ndim(pictures[c]) == 2 else None)
                if c == 0:
                    axes.set_ylabel(textwrap.fill(name, 13, break_long_words=False))
                if r == 0 and c < len(columns):
                    axes.set_title(columns[c])
        described = "; ".join(f"{name}: {len(pictures)} pictures" for name, pictures in rows.items())
        figure.alt = f"Pictures of cells. {described}" + (f". Columns: {', '.join(columns)}." if columns else ".")
    return figure


def confusion_heatmap(percent: pd.DataFrame, counts: pd.DataFrame, title: str = "") -> Figure:
    """A confusion matrix in percent of the true class, with counts beneath; rows true, columns predicted."""
    with style():
        across, down = percent.shape[1], percent.shape[0]
        figure = _figure(min(0.75 * across + 1.4, PAGE), 0.5 * down + 0.9)
        axes = figure.add_subplot()
        shown = percent.map(lambda p: "" if np.isnan(p) else f"{p:.1f}") + "\n(" + counts.astype(str) + ")"
        sns.heatmap(
            percent, annot=shown, fmt="", cmap="cividis_r", vmin=0, vmax=100, ax=axes, linewidths=0.5,
            annot_kws={"size": 6.5}, cbar_kws={"label": "% of the true class"},
            xticklabels=_labelled(percent.columns), yticklabels=_labelled(percent.index),
        )  # fmt: skip
        axes.set(xlabel="predicted", ylabel="true", title=title)
        axes.set_xticks(axes.get_xticks(), axes.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="y", rotation=0)
        diagonal = ", ".join(
            f"{LABELS.get(n, n)} {percent.loc[n, n]:.1f}" for n in percent.index if not np.isnan(percent.loc[n, n])
        )
        figure.alt = f"Confusion matrix {title}. Percent on the diagonal: {diagonal}."
    return figure


def multiclass_roc(roc: MulticlassRoc) -> Figure:
    """Figure 4: a curve a class, their average, and the interval of best thresholds."""
    with style():
        figure = _figure(COLUMN * 1.25, COLUMN * 1.1)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        for name, curve in roc.classes.items():
            label = f"{LABELS.get(name, name)} ({curve.auc:.3f})"
            axes.plot(curve.fpr, curve.tpr, color=CLASS_COLOURS.get(name, "0.5"), lw=1, label=label)
        axes.plot(
            roc.average.fpr,
            roc.average.tpr,
            color="0.2",
            lw=2.2,
            ls=(0, (4, 2)),
            label=f"average ({roc.average.auc:.3f})",
        )
        low, high = roc.threshold
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_title(f"M = {roc.hand_till:.3f}; best threshold {low:.2f} to {high:.2f}")
        axes.legend(title="AUC", loc="lower right")
        aucs = ", ".join(f"{LABELS.get(n, n)} {c.auc:.3f}" for n, c in roc.classes.items())
        figure.alt = (
            f"ROC curves over smears. AUC: {aucs}; average {roc.average.auc:.3f}. Hand and Till's M "
            f"{roc.hand_till:.3f}. Thresholds from {low:.2f} to {high:.2f} are equally best."
        )
    return figure


def learning_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss (smoothed over 15 iterations) and learning rate of trainings: name -> iteration, loss, learning_rate."""
    with style():
        figure = _figure(PAGE * 0.8, 2.1)
        left, right = figure.subplots(1, 2)
        for colour, (name, history) in zip(_OKABE_ITO.values(), histories.items(), strict=False):
            smooth = history["loss"].rolling(15, min_periods=1).mean()
            left.plot(history["iteration"], smooth, color=colour, label=name)
            right.plot(history["iteration"], history["learning_rate"], color=colour, label=name)
        left.set(xlabel="iteration", ylabel="cross-entropy", ylim=(0, None))
        right.set(xlabel="iteration", ylabel="learning rate")
        left.legend()
        ends = ", ".join(f"{n} {h['loss'].iloc[-15:].mean():.2f}" for n, h in histories.items() if len(h))
        figure.alt = f"Training loss and cyclical learning rate. Loss at the end: {ends}."
    return figure


def range_test(curve: pd.DataFrame, proposed: tuple[float, float], used: tuple[float, float]) -> Figure:
    """Smoothed loss against learning rate, the proposed range shaded, the profile's range between dotted lines."""
    with style():
        figure = _figure(COLUMN, COLUMN * 0.7)
        axes = figure.add_subplot()
        if not np.isnan(proposed).any():
            axes.axvspan(*proposed, color=_OKABE_ITO["sky"], alpha=0.25, lw=0, label="proposed")
        axes.plot(curve["learning_rate"], curve["smoothed"], color=_OKABE_ITO["blue"], label="loss, smoothed")
        for i, rate in enumerate(used):
            axes.axvline(rate, color="0.3", lw=0.8, ls=":", label="this profile" if i else None)
        top = float(curve["smoothed"].iloc[0])
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0, 2 * top))
        axes.legend()
        figure.alt = (
            f"Loss against learning rate from {curve['learning_rate'].iloc[0]:.0e} to "
            f"{curve['learning_rate'].iloc[-1]:.0e}; proposed range {proposed[0]:.0e} to {proposed[1]:.0e}."
        )
    return figure


def vote_bars(votes: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Each smear as a bar of the shares of its cells; smears grouped by true diagnosis, the threshold as a line."""
    with style():
        figure = _figure(PAGE, 2.2)
        axes = figure.add_subplot()
        order = votes.sort_values(["diagnosis", "module_1"]).reset_index(drop=True)
        bottom = np.zeros(len(order))
        for name in classes:
            share = order[f"share_{name}"].to_numpy()
            axes.bar(order.index, share, bottom=bottom, width=1.0, color=CLASS_COLOURS[name], label=LABELS[name])
            bottom += share
        for diagnosis, part in order.groupby("diagnosis"):
            axes.text(part.index.to_numpy().mean(), 1.03, str(diagnosis), ha="center", va="bottom")
            axes.axvline(part.index.max() + 0.5, color="white", lw=1.5)
        axes.axhline(0.5, color="0.25", lw=0.8, ls=":")
        axes.set(ylabel="share of cells", xlabel="smears", xlim=(-0.5, len(order) - 0.5), ylim=(0, 1.12), xticks=[])
        axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.08))
        counts = order["diagnosis"].value_counts().to_dict()
        figure.alt = f"Shares of cell classes in each of {len(order)} smears, by diagnosis: {counts}."
    return figure


def patient_roc(curves: Mapping[str, tuple[Curve, float, float]]) -> Figure:
    """ROC curves per patient: name -> (curve, low, high), the interval being of the AUC."""
    with style():
        figure = _figure(COLUMN * 1.2, COLUMN * 1.2 + 0.16 * len(curves))
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        colours = [_OKABE_ITO[c] for c in ("vermillion", "blue", "green", "purple", "orange", "black")]
        for colour, (name, (curve, low, high)) in zip(colours, curves.items(), strict=False):
            axes.plot(curve.fpr, curve.tpr, color=colour, label=f"{name}: {curve.auc:.2f} ({low:.2f} to {high:.2f})")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        figure.legend(title="AUC (95% interval)", loc="outside lower left")
        listed = "; ".join(f"{n}: AUC {c.auc:.2f}, {low:.2f} to {high:.2f}" for n, (c, low, high) in curves.items())
        figure.alt = f"ROC curves per patient. {listed}."
    return figure


def lines(
    curves: Mapping[str, pd.DataFrame],
    xlabel: str,
    ylabel: str,
    *,
    diagonal: bool = False,
    logx: bool = False,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Curves: name -> frame with x, y and, where known, low and high (drawn as a band)."""
    with style():
        figure = _figure(COLUMN * 1.25, COLUMN)
        axes = figure.add_subplot()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="0.8", lw=0.8, zorder=0)
        colours = [_OKABE_ITO[name] for name in ("vermillion", "blue", "green", "purple", "orange", "black")]
        for colour, (name, frame) in zip(colours, curves.items(), strict=False):
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


def bars(values: pd.Series, label: str) -> Figure:
    """Named numbers as horizontal bars, the first on top."""
    with style():
        figure = _figure(PAGE * 0.75, 0.17 * len(values) + 0.6)
        axes = figure.add_subplot()
        y = np.arange(len(values))[::-1]
        axes.barh(y, values.to_numpy(), color=_OKABE_ITO["blue"])
        axes.set_yticks(y, [str(name).replace("_", " ") for name in values.index])
        axes.set(xlabel=label, ylim=(-0.7, len(values) - 0.3))
        listed = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in values.head(5).items())
        figure.alt = f"Bars, {label}: {listed}" + (" and others." if len(values) > 5 else ".")
    return figure


def forest(frame: pd.DataFrame, *, unit: str = "%") -> Figure:
    """Published beside reproduced with intervals. frame: label, published, reproduced, ci_low, ci_high."""
    with style():
        figure = _figure(PAGE * 0.85, 0.18 * len(frame) + 0.7)
        axes = figure.add_subplot()
        y = np.arange(len(frame))[::-1]
        known = frame["ci_low"].notna().to_numpy()
        axes.hlines(y[known], frame["ci_low"][known], frame["ci_high"][known], color=_OKABE_ITO["blue"], lw=1.4)
        axes.plot(frame["reproduced"], y, "o", ms=3.5, color=_OKABE_ITO["blue"], label="this run, 95% interval")
        axes.plot(frame["published"], y, "D", ms=3.5, mfc="none", color=_OKABE_ITO["vermillion"], label="paper")
        axes.set_yticks(y, frame["label"])
        axes.set(xlabel=unit, ylim=(-0.7, len(frame) - 0.3))
        axes.grid(axis="x", lw=0.3)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        figure.alt = f"{len(frame)} numbers of the paper beside what this run measured, with 95% intervals."
    return figure
