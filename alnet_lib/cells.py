"""ALNet judged on single cells: Tables 5, 7, 8 and 11, and the example of Figure 2."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from alnet_lib import augment, evaluation, paper, plots, training, vote
from alnet_lib.alnet import TASKS, Trained, labelled
from alnet_lib.cohorts.vocabulary import LABELS
from alnet_lib.results import Value
from alnet_lib.run import Run

PREFIX = {"module_1": "p1", "module_2": "p2"}
MATRIX = {"module_1": "table_07a", "module_2": "table_07b"}


@dataclass
class Judged:
    """One module on one set of cells. counts: confusion matrix, rows true. patients: bootstrap interval in [0, 1]."""

    task: str
    counts: pd.DataFrame
    patients: tuple[float, float]

    @property
    def title(self) -> str:
        """`Module 1` or `Module 2`."""
        return self.task.replace("_", " ").capitalize()

    @cached_property
    def percent(self) -> pd.DataFrame:
        """The confusion matrix in % of the true class."""
        return evaluation.percent(self.counts)

    @property
    def percent_table(self) -> pd.DataFrame:
        """`percent` with names as printed, and the number of cells."""
        table = self.percent.rename(index=LABELS, columns=LABELS)
        return table.assign(cells=self.counts.sum(axis=1).to_numpy())

    @property
    def heatmap(self) -> Figure:
        """`percent` as a picture."""
        return plots.confusion_heatmap(self.percent, self.counts, self.title.lower())

    @property
    def caption(self) -> str:
        """One sentence with the overall accuracy."""
        value, low, high, n = evaluation.accuracy(self.counts)
        return (
            f"{self.title}, {n} cells: {value:.1%} right (95% interval over cells {low:.1%} to {high:.1%}); "
            "rows are true, in %."
        )

    @property
    def sentence(self) -> str:
        """The overall accuracy with either interval, beside the printed one."""
        about = self.overall
        over = f"{about['low']:.1f} to {about['high']:.1f}% over cells"
        if not np.isnan(self.patients[0]):
            over += f", {about['low, patients']:.1f} to {about['high, patients']:.1f}% over patients"
        return (
            f"{self.title}: {about['accuracy']:.1f}% of {about['cells']:,} testing cells right (95% interval {over}); "
            f"the paper printed {about['paper']}%."
        )

    @property
    def matrix_values(self) -> list[Value]:
        """Cells of the matrix in %; those on the diagonal with Wilson intervals."""
        found = []
        for true in self.counts.index:
            n = int(self.counts.loc[true].sum())
            for predicted in self.counts.columns:
                id = f"{MATRIX[self.task]}.{true}.{predicted}"
                low, high = (100 * v for v in evaluation.interval(int(self.counts.loc[true, predicted]), n))
                value = self.percent.loc[true, predicted]
                found.append(Value(id, "%", paper.published(id), reproduced=value, ci_low=low, ci_high=high))
        return found

    @cached_property
    def rates(self) -> pd.DataFrame:
        """Sensitivity, specificity, precision; see evaluation.rates."""
        return evaluation.rates(self.counts)

    @property
    def rates_table(self) -> pd.DataFrame:
        """Rates in % with intervals and the printed ones."""
        table = self.rates.copy()
        for column in ("value", "low", "high"):
            table[column] *= 100
        table["paper"] = [paper.published(f"table_08.{r.rate}.{r['class']}") for _, r in self.rates.iterrows()]
        table["class"] = table["class"].map(LABELS)
        return table.assign(module=self.task[-1])[["module", "class", "rate", "value", "low", "high", "n", "paper"]]

    @property
    def rate_values(self) -> list[Value]:
        """Rates in % beside Table 8."""
        found = []
        for row in self.rates.to_dict("records"):
            id = f"table_08.{row['rate']}.{row['class']}"
            numbers = {"reproduced": row["value"], "ci_low": row["low"], "ci_high": row["high"]}
            found.append(Value(id, "%", paper.published(id), **{k: 100 * v for k, v in numbers.items()}))
        return found

    @cached_property
    def overall(self) -> dict:
        """Overall accuracy in %: over cells (Wilson) and over patients (bootstrap)."""
        value, low, high, n = evaluation.accuracy(self.counts)
        numbers = {"accuracy": value, "low": low, "high": high}
        numbers |= {"low, patients": self.patients[0], "high, patients": self.patients[1]}
        printed = paper.published(f"text.{self.task}.accuracy")
        return {"module": self.title, "cells": n, **{k: 100 * v for k, v in numbers.items()}, "paper": printed}

    @property
    def overall_values(self) -> list[Value]:
        """Overall accuracy in % beside the printed one; the interval is the bootstrap over patients."""
        id = f"text.{self.task}.accuracy"
        numbers = {k: self.overall[v] for k, v in (("ci_low", "low, patients"), ("ci_high", "high, patients"))}
        return [Value(id, "%", paper.published(id), reproduced=self.overall["accuracy"], **numbers)]


def called(cells: pd.DataFrame, task: str) -> tuple[pd.Series, pd.Series]:
    """True and predicted class of the cells that a module's classes cover, with the index of `cells`."""
    mapping, classes = TASKS[task]
    own = cells[cells["cell_type"].isin(mapping)]
    return own["cell_type"].map(mapping), vote.classify(own, PREFIX[task], classes)


def judge(run: Run, cells: pd.DataFrame, task: str) -> Judged:
    """Confusion matrix of a module on cells that have one of its classes (module 2: all blasts, as Table 7B).

    cells: with cell_type, patient_id and the module's probabilities.
    """
    true, predicted = called(cells, task)
    patient = cells.loc[true.index, "patient_id"].to_numpy()
    frame = pd.DataFrame({"patient_id": patient, "right": true.eq(predicted).to_numpy()})
    patients = (np.nan, np.nan)
    if len(set(frame["patient_id"])) > 1:
        patients = evaluation.cluster_bootstrap(
            frame,
            lambda drawn: drawn["right"].mean(),
            replicates=run.profile.bootstrap,
            rng=run.generator(f"bootstrap/{task}"),
        )
    return Judged(task, evaluation.confusion(true, predicted, TASKS[task][1]), patients)


def by_source(cells: pd.DataFrame, task: str) -> tuple[pd.DataFrame, list[Value]]:
    """Share of a module's cells called rightly by source and class, where a cohort joins sources; else empty.

    cells: as of `judge`, with `source` in combined cohorts. Columns: source, class (`all classes` first), cells,
    right, low, high (%, Wilson over cells). Values: `source.<source>.<task>.accuracy`.
    """
    if "source" not in cells or cells["source"].nunique() < 2:
        return pd.DataFrame(), []
    true, predicted = called(cells, task)
    right = pd.DataFrame({"source": cells.loc[true.index, "source"], "class": true, "right": true.eq(predicted)})
    together = right.assign(**{"class": "all classes"})
    order = ["all classes", *TASKS[task][1]]
    rows, values = [], []
    for (source, name), own in pd.concat([together, right]).groupby(["source", "class"])["right"]:
        low, high = (100 * v for v in evaluation.interval(int(own.sum()), len(own)))
        rows.append((source, name, len(own), 100 * own.mean(), low, high))
        if name == "all classes":
            id = f"source.{source}.{task}.accuracy"
            values.append(Value(id, "%", reproduced=100 * own.mean(), ci_low=low, ci_high=high))
    frame = pd.DataFrame(rows, columns=["source", "class", "cells", "right", "low", "high"])
    frame = frame.sort_values(["source", "class"], key=lambda c: c.map(order.index) if c.name == "class" else c)
    return frame.replace({"class": LABELS}).reset_index(drop=True), values


def table_11(probabilities: pd.DataFrame, earlier: pd.DataFrame | None) -> tuple[pd.DataFrame, list[Value]]:
    """True positive rates in % as Table 11 has them; its blast rows are module 2's, as in the paper.

    Parameters
    ----------
    probabilities: testing cells, of `alnet.predict_cells`. earlier: value, low, high of the linear discriminant in %,
    by cell group (classical.sensitivities), or None where there is none.
    """
    frame = paper.table("11").rename(columns={"earlier": "earlier, paper", "proposed": "ALNet, paper"})
    rates = {}
    for task in ("module_1", "module_2"):
        if f"{PREFIX[task]}_{TASKS[task][1][0]}" in probabilities:
            true, predicted = called(probabilities, task)
            own = evaluation.rates(evaluation.confusion(true, predicted, TASKS[task][1]))
            own = own[own["rate"].eq("sensitivity")].set_index("class")
            rates |= own[["value", "low", "high"]].mul(100).to_dict("index")
    names = {"myeloblast": "myeloid_blast"}
    values = []
    for name in frame.index:
        group = names.get(name, name)
        if earlier is not None and group in earlier.index:
            frame.loc[name, "LDA, this run"] = round(earlier.loc[group, "value"], 1)
        if (rate := rates.get(group)) is None:
            continue
        frame.loc[name, ["ALNet, this run", "low", "high"]] = [round(rate[k], 1) for k in ("value", "low", "high")]
        id = f"table_11.{name}.proposed"
        values.append(
            Value(id, "%", paper.published(id), reproduced=rate["value"], ci_low=rate["low"], ci_high=rate["high"])
        )
    frame.index = [LABELS[name] for name in frame.index]
    return frame, values


def table_5(run: Run, networks: dict[str, Trained]) -> tuple[pd.DataFrame, list[Value]]:
    """Training and testing accuracy in %, minutes of training, seconds of classifying the testing blasts."""
    rows, values = {}, []
    for backbone, trained in networks.items():
        test = labelled(run, "module_2", split="test", classes=trained.network.classes)
        began = time.perf_counter()
        probability = training.predict(trained.network, test, trained.options, batch=run.profile.prediction_batch)
        seconds = time.perf_counter() - began
        right = int((probability.argmax(1) == test.labels).sum())
        low, high = evaluation.interval(right, len(test))
        rows[backbone] = {
            "training": 100 * trained.train_accuracy,
            "testing": 100 * right / len(test) if len(test) else float("nan"),
            "training_minutes": trained.seconds / 60,
            "classification_seconds": seconds,
        }
        for column, number in rows[backbone].items():
            id = f"table_05.{backbone}.{column}"
            interval = {"ci_low": 100 * low, "ci_high": 100 * high} if column == "testing" else {}
            values.append(Value(id, paper.record().loc[id, "unit"], paper.published(id), reproduced=number, **interval))
    frame = pd.DataFrame(rows).T
    printed = paper.table("05").add_suffix(", paper")
    return frame.join(printed), values


@dataclass(frozen=True)
class Example:
    """A picture and its augmented versions: uint8 (H, W, 3) each, with a label each."""

    cell_type: str
    pictures: list[np.ndarray]
    labels: list[str]


def augmentation_example(run: Run, versions: int = 4) -> Example:
    """A B-lymphoblast (else the rarest training class) and its first versions of the balancing plan (Figure 2)."""
    manifest = run.cohort().manifest
    counts = manifest[manifest["split"].eq("train")]["cell_type"].value_counts()
    cell_type = "b_lymphoblast" if "b_lymphoblast" in counts else counts.index[-1]
    rows = np.flatnonzero(manifest["cell_type"].eq(cell_type) & manifest["split"].eq("train"))
    plan = augment.balancing_plan(
        np.zeros(1, int),
        1 + versions,
        run.generator("figure_02"),
        versions=versions,
        rotation=run.profile.rotation,
    )
    source = augment.to_float(run.pixels()[rows[:1]]).expand(len(plan), -1, -1, -1)
    turned = augment.transform(source, plan, np.arange(len(plan)))
    pictures = (turned.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()
    labels = ["original"]
    for v, h, angle in zip(plan.flip_vertical[1:], plan.flip_horizontal[1:], plan.angle[1:], strict=True):
        flips = " and ".join(word for word, on in (("vertical", v), ("horizontal", h)) if on)
        labels.append((f"{flips} flip, " if flips else "") + f"{angle:.0f}°")
    return Example(cell_type, list(pictures), labels)
