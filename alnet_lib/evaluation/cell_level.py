"""ALNet evaluated on single cells: Tables 5, 7, 8 and 11."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, MODULES, ModuleSpec
from alnet_lib.evaluation import overall
from alnet_lib.experiments.datasets import CellImages, labelled
from alnet_lib.experiments.module_training import Trained
from alnet_lib.paper import printed
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import bootstrap, classification
from alnet_lib.training import inference

MATRIX = {"module_1": "table_07a", "module_2": "table_07b"}
"""Module -> the printed table with its confusion matrix."""


@dataclass(frozen=True)
class Judged:
    """One module on one set of cells.

    Attributes
    ----------
    spec : ModuleSpec
        The module.
    counts : DataFrame
        Confusion matrix, rows reference classes, columns predicted ones.
    patients : tuple of float
        95% bootstrap interval of the accuracy over patients, in [0, 1]; NaN with fewer than two patients.
    """

    spec: ModuleSpec
    counts: pd.DataFrame
    patients: tuple[float, float]

    @cached_property
    def percent(self) -> pd.DataFrame:
        """The confusion matrix in % of the reference class."""
        return classification.percent(self.counts)

    @cached_property
    def rates(self) -> pd.DataFrame:
        """Sensitivity, specificity and precision in [0, 1]; see `statistics.classification.rates`."""
        return classification.rates(self.counts)

    @property
    def mean_sensitivity(self) -> float:
        """Mean over the classes of the sensitivity, in [0, 1]."""
        return float(self.rates.loc[self.rates["rate"].eq("sensitivity"), "value"].mean())

    @property
    def facts(self) -> dict[str, Any]:
        """Named numbers for sentences: module, accuracy with its interval over cells (%), paper (%), counts."""
        return overall.accuracy(self.counts) | {
            "module": self.spec.title,
            "paper": printed.published(f"text.{self.spec.name}.accuracy"),
            "mean_sensitivity": 100 * self.mean_sensitivity,
            "counts": self.counts,
        }


def predictions_of(cells: pd.DataFrame, spec: ModuleSpec) -> tuple[pd.Series, pd.Series]:
    """Give reference and predicted class of the cells that have a class under a module.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, with `cell_type` and the module's probabilities.
    spec : ModuleSpec
        The module.

    Returns
    -------
    tuple of Series
        Reference and predicted class names, with the index of those cells.
    """
    own = spec.labelled(cells)
    return spec.reference(own), spec.predicted(own)


@if_available
def judge(
    cells: pd.DataFrame,
    spec: ModuleSpec,
    *,
    replicates: int,
    generator: Callable[[str], np.random.Generator],
    split: str = "test",
) -> Judged | Unavailable:
    """Evaluate a module on the cells of a split that have one of its classes (module 2: all blasts, as Table 7B).

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `cell_type`, `patient_id`, `split` and the module's probabilities.
    spec : ModuleSpec
        The module.
    replicates : int
        Bootstrap replicates over patients.
    generator : callable
        Purpose to random generator, of the profile.
    split : str
        `train`, `test` or `external`.

    Returns
    -------
    Judged or Unavailable
        Unavailable where the module could not be trained, or no cell of the split has one of its classes.
    """
    if not spec.predicts(cells):
        return Unavailable(spec.lacking(cells))
    cells = cells[cells["split"].eq(split)]
    reference, predicted = predictions_of(cells, spec)
    if reference.empty:
        return Unavailable(f"no cell of this split has a class of {spec.title.lower()}")
    patient = cells.loc[reference.index, "patient_id"].to_numpy()
    frame = pd.DataFrame({"patient_id": patient, "correct": reference.eq(predicted).to_numpy()})
    patients = (np.nan, np.nan)
    if len(set(frame["patient_id"])) > 1:
        patients = bootstrap.cluster_bootstrap(
            frame,
            lambda resampled: resampled["correct"].mean(),
            replicates=replicates,
            rng=generator(f"bootstrap/{spec.name}"),
        )
    return Judged(spec, classification.confusion(reference, predicted, spec.classes), patients)


@if_available
def table_7(judged: Judged) -> Result:
    """Give the confusion matrix of a module in % of the reference class, as Tables 7A and 7B.

    Parameters
    ----------
    judged : Judged
        The module on the testing cells.

    Returns
    -------
    Result
        Frame: rows and columns named as printed, and `cells`. Values: every entry, with its Wilson interval. Facts:
        those of `Judged.facts`.
    """
    values = []
    for reference in judged.counts.index:
        n = int(judged.counts.loc[reference].sum())
        for predicted in judged.counts.columns:
            bounds = overall.interval(int(judged.counts.loc[reference, predicted]), n)
            id = f"{MATRIX[judged.spec.name]}.{reference}.{predicted}"
            value = judged.percent.loc[reference, predicted]
            values.append(Value(id, "%", printed.published(id), None, value, *bounds))
    frame = judged.percent.rename(index=LABELS, columns=LABELS)
    return Result(frame.assign(cells=judged.counts.sum(axis=1).to_numpy()), tuple(values), judged.facts)


@if_available
def over_patients(judged: Judged) -> Result | Unavailable:
    """Give the interval of a module's accuracy over patients, for a sentence.

    Parameters
    ----------
    judged : Judged
        The module on the testing cells.

    Returns
    -------
    Result or Unavailable
        Facts: `module`, `low`, `high` (%). Unavailable with fewer than two patients.
    """
    if np.isnan(judged.patients[0]):
        return Unavailable("the testing cells are of one patient")
    low, high = (100 * bound for bound in judged.patients)
    facts = {"module": judged.spec.title, "low": low, "high": high}
    return Result(pd.DataFrame([facts]), (), facts)


def _there(judged: tuple[Judged | Unavailable, ...]) -> list[Judged]:
    return [one for one in judged if isinstance(one, Judged)]


def _first_reason(judged: tuple[Judged | Unavailable, ...]) -> Unavailable:
    return next((one for one in judged if isinstance(one, Unavailable)), Unavailable("no module was evaluated"))


def table_8(*judged: Judged | Unavailable) -> Result | Unavailable:
    """Give sensitivity, specificity and precision of each class, as Table 8.

    Parameters
    ----------
    *judged : Judged or Unavailable
        The modules on the testing cells; those that are unavailable are left out.

    Returns
    -------
    Result or Unavailable
        Frame: `module`, `class`, `rate`, `value`, `low`, `high` (%, 95% Wilson), `n`, `paper` (%).
    """
    if not (there := _there(judged)):
        return _first_reason(judged)
    frames, values = [], []
    for one in there:
        table = one.rates.copy()
        table[["value", "low", "high"]] *= 100
        ids = [f"table_08.{row['rate']}.{row['class']}" for row in table.to_dict("records")]
        table["paper"] = [printed.published(id) for id in ids]
        values += [
            Value(id, "%", printed.published(id), None, row["value"], row["low"], row["high"])
            for id, row in zip(ids, table.to_dict("records"), strict=True)
        ]
        table = table.assign(module=one.spec.name[-1]).replace({"class": LABELS})
        frames.append(table[["module", "class", "rate", "value", "low", "high", "n", "paper"]])
    return Result(pd.concat(frames, ignore_index=True), tuple(values))


def overall_accuracy(
    *judged: Judged | Unavailable, trained: tuple[Trained | Unavailable, ...] = ()
) -> Result | Unavailable:
    """Give the overall accuracy of the modules, with intervals over cells (Wilson) and over patients (bootstrap).

    Parameters
    ----------
    *judged : Judged or Unavailable
        The modules on the testing cells; those that are unavailable are left out.
    trained : tuple of Trained or Unavailable
        Their trainings, whose validation accuracies become values (section 3.2).

    Returns
    -------
    Result or Unavailable
        Frame: `module`, `cells`, `accuracy`, `low`, `high`, `low, patients`, `high, patients`, `paper` (%).
    """
    if not (there := _there(judged)):
        return _first_reason(judged)
    rows, values = [], []
    for one in there:
        facts, patients = one.facts, tuple(100 * bound for bound in one.patients)
        row = {"module": one.spec.title, "cells": facts["n"]} | {k: facts[k] for k in ("accuracy", "low", "high")}
        rows.append(row | {"low, patients": patients[0], "high, patients": patients[1], "paper": facts["paper"]})
        values.append(Value.of(f"text.{one.spec.name}.accuracy", facts["accuracy"], *patients))
    values += [
        Value.of(f"text.{one.name}.validation_accuracy", 100 * one.validation_accuracy)
        for one in trained
        if not isinstance(one, Unavailable)
    ]
    return Result(pd.DataFrame(rows), tuple(values))


@if_available
def by_source(cells: pd.DataFrame, spec: ModuleSpec = MODULE_1, *, split: str = "test") -> Result | Unavailable:
    """Give the accuracy of a module by source and class, where a cohort joins sources.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, as for `judge`, with `source` in combined cohorts.
    spec : ModuleSpec
        The module.
    split : str
        The split evaluated.

    Returns
    -------
    Result or Unavailable
        Frame: `source`, `class` (`all classes` first), `cells`, `correct`, `low`, `high` (%, 95% Wilson over cells).
        Values: `source.<source>.<module>.accuracy`. Unavailable where the cells are of one source.
    """
    cells = cells[cells["split"].eq(split)]
    if "source" not in cells or cells["source"].nunique() < 2:
        return Unavailable("the cells are of one source")
    reference, predicted = predictions_of(cells, spec)
    source = cells.loc[reference.index, "source"]
    found = pd.DataFrame({"source": source, "class": reference, "correct": reference.eq(predicted)})
    together = found.assign(**{"class": "all classes"})
    order = ["all classes", *spec.classes]
    rows, values = [], []
    for (name, of_class), own in pd.concat([together, found]).groupby(["source", "class"])["correct"]:
        bounds = overall.interval(int(own.sum()), len(own))
        rows.append((name, of_class, len(own), 100 * own.mean(), *bounds))
        if of_class == "all classes":
            values.append(Value(f"source.{name}.{spec.name}.accuracy", "%", None, None, 100 * own.mean(), *bounds))
    frame = pd.DataFrame(rows, columns=["source", "class", "cells", "correct", "low", "high"])
    frame = frame.sort_values(["source", "class"], key=lambda c: c.map(order.index) if c.name == "class" else c)
    return Result(frame.replace({"class": LABELS}).reset_index(drop=True), tuple(values))


def _sensitivities(cells: pd.DataFrame) -> dict[str, dict[str, float]]:
    rates: dict[str, dict[str, float]] = {}
    for spec in MODULES:
        if spec.columns[0] in cells:
            own = classification.rates(classification.confusion(*predictions_of(cells, spec), spec.classes))
            own = own[own["rate"].eq("sensitivity")].set_index("class")
            rates |= own[["value", "low", "high"]].mul(100).to_dict("index")
    return rates


def table_11(cells: pd.DataFrame, earlier: pd.DataFrame | Unavailable | None = None) -> Result:
    """Lay out true positive rates as Table 11; its blast rows are module 2's, as in the paper.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, as for `judge`; the testing cells count.
    earlier : DataFrame, Unavailable or None
        `value`, `low`, `high` of the linear discriminant in %, by cell group (`classical.sensitivities`); without it
        the column `LDA, this run` is missing.

    Returns
    -------
    Result
        Frame: rows as printed; `earlier, paper`, `ALNet, paper`, `LDA, this run`, `ALNet, this run`, `low`, `high` (%,
        one decimal as printed).
    """
    frame = printed.table("11").rename(columns={"earlier": "earlier, paper", "proposed": "ALNet, paper"})
    rates = _sensitivities(cells[cells["split"].eq("test")])
    known = earlier if isinstance(earlier, pd.DataFrame) else pd.DataFrame()
    values = []
    for name in frame.index:
        # The paper calls the group of myeloblasts and monoblasts by its larger part.
        group = "myeloid_blast" if name == "myeloblast" else name
        if group in known.index:
            frame.loc[name, "LDA, this run"] = round(known.loc[group, "value"], 1)
        if (rate := rates.get(group)) is None:
            continue
        frame.loc[name, ["ALNet, this run", "low", "high"]] = [round(rate[k], 1) for k in ("value", "low", "high")]
        values.append(Value.of(f"table_11.{name}.proposed", rate["value"], rate["low"], rate["high"]))
    return Result(frame.set_axis([LABELS[name] for name in frame.index], axis=0), tuple(values))


def table_5(
    data: CellImages, networks: Mapping[str, Trained | Unavailable], *, batch: int = 256
) -> Result | Unavailable:
    """Compare two networks as module 2 by accuracy and time, as Table 5.

    Parameters
    ----------
    data : CellImages
        The cohort.
    networks : mapping of str to Trained or Unavailable
        Backbone as in Table 5 (`vgg16`, `vgg19`) to its training.
    batch : int
        Images predicted at a time.

    Returns
    -------
    Result or Unavailable
        Frame: index backbone; `training`, `testing` (%), `training_minutes`, `classification_seconds`, and the printed
        ones. The first Unavailable where a network was not trained.
    """
    rows, values = {}, []
    for backbone, trained in networks.items():
        if isinstance(trained, Unavailable):
            return trained
        test = labelled(data, MODULE_2, split="test", classes=trained.network.classes)
        began = time.perf_counter()
        probability = inference.predict(trained.network, test, trained.options, batch=batch)
        seconds = time.perf_counter() - began
        correct = int((probability.argmax(1) == test.labels).sum())
        rows[backbone] = {
            "training": 100 * trained.train_accuracy,
            "testing": 100 * correct / len(test) if len(test) else float("nan"),
            "training_minutes": trained.seconds / 60,
            "classification_seconds": seconds,
        }
        for column, number in rows[backbone].items():
            bounds = overall.interval(correct, len(test)) if column == "testing" else ()
            values.append(Value.of(f"table_05.{backbone}.{column}", number, *bounds))
    frame = pd.DataFrame(rows).T
    return Result(frame.join(printed.table("05").add_suffix(", paper")), tuple(values))
