"""ALNet evaluated on single cells: Tables 5, 7, 8 and 11. Every interval is over patients (`statistics.intervals`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, MODULES, ModuleSpec
from alnet_lib.paper import printed
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification, intervals

if TYPE_CHECKING:
    import numpy as np

    from alnet_lib.core.profile import Profile
    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.experiments.module_training import Trained
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.statistics.intervals import Interval
    from alnet_lib.training.data import Images

MATRIX = {"module_1": "table_07a", "module_2": "table_07b"}
"""Module -> the printed table with its confusion matrix."""

_BEHIND = ("patient_id", "smear_id", "smear_known", "site", "source")
"""Columns of cells that say whose they are; those that are there stand beside the predictions."""


@dataclass(frozen=True)
class Judged:
    """One module on one set of cells.

    Attributes
    ----------
    spec : ModuleSpec
        The module.
    predictions : DataFrame
        Of `predictions_of`, one row a cell.
    """

    spec: ModuleSpec
    predictions: pd.DataFrame

    @cached_property
    def counts(self) -> pd.DataFrame:
        """Confusion matrix, rows reference classes, columns predicted ones."""
        return classification.confusion(self.predictions["reference"], self.predictions["predicted"], self.spec.classes)

    @cached_property
    def percent(self) -> pd.DataFrame:
        """The confusion matrix in % of the reference class."""
        return classification.percent(self.counts)

    @cached_property
    def accuracy(self) -> Interval:
        """Overall accuracy, in [0, 1]."""
        return classification.accuracy(self.predictions)

    @cached_property
    def mean_sensitivity(self) -> Interval:
        """Mean over the classes that have cells of the sensitivity, in [0, 1]."""
        return classification.mean_sensitivity(self.predictions)

    @property
    def facts(self) -> dict[str, Any]:
        """Named numbers for sentences: module, accuracy with its interval (%), paper (%), n (cells), counts."""
        return self.accuracy.columns() | {
            "module": self.spec.title,
            "accuracy": 100 * self.accuracy.estimate,
            "ci": self.accuracy.text(),
            "n": len(self.predictions),
            "paper": printed.published(f"text.{self.spec.name}.accuracy"),
            "mean_sensitivity": 100 * self.mean_sensitivity.estimate,
            "counts": self.counts,
        }


def predictions_of(cells: pd.DataFrame, spec: ModuleSpec) -> pd.DataFrame:
    """Give reference and predicted class of the cells that have a class under a module.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, with `cell_type`, `patient_id` and the module's probabilities.
    spec : ModuleSpec
        The module.

    Returns
    -------
    DataFrame
        `reference`, `predicted` (class names) and, of patient_id, smear_id, smear_known, site and source, those that
        are there; with the index of those cells.
    """
    own = spec.labelled(cells)
    kept = own[[name for name in _BEHIND if name in own]]
    return kept.assign(reference=spec.reference(own), predicted=spec.predicted(own))


@if_available
def judge(cells: pd.DataFrame, spec: ModuleSpec, *, split: str = "test") -> Judged | Unavailable:
    """Evaluate a module on the cells of a split that have one of its classes (module 2: all blasts, as Table 7B).

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `cell_type`, `patient_id`, `split` and the module's probabilities.
    spec : ModuleSpec
        The module.
    split : str
        `train`, `test` or `external`.

    Returns
    -------
    Judged or Unavailable
        Unavailable where the module could not be trained, or no cell of the split has one of its classes.
    """
    if not spec.predicts(cells):
        return Unavailable(spec.lacking(cells))
    found = predictions_of(cells[cells["split"].eq(split)], spec)
    return (
        Judged(spec, found) if len(found) else Unavailable(f"no cell of this split has a class of {spec.title.lower()}")
    )


@if_available
def judge_validation(
    cells: pd.DataFrame, spec: ModuleSpec, *, data: CellImages, profile: Profile
) -> Judged | Unavailable:
    """Evaluate a module on the training split's cells that were kept for its validation.

    As printed, images are kept and not patients: most of these cells have others of their patient among those that the
    module was fitted on, so this is no estimate for new patients, whatever its interval.

    Parameters
    ----------
    cells : DataFrame
        As for `judge`, with `image_id`.
    spec : ModuleSpec
        The module.
    data : CellImages
        The cohort that the module was trained on.
    profile : Profile
        Seed and share of the validation split.

    Returns
    -------
    Judged or Unavailable
        As `judge`.
    """
    from alnet_lib.experiments.datasets import fit_and_validation

    if not spec.predicts(cells):
        return Unavailable(spec.lacking(cells))
    _, held = fit_and_validation(data, spec, profile)
    return judge(cells[cells["image_id"].isin(data.manifest["image_id"].iloc[held.rows])], spec, split="train")


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
        Frame: rows and columns named as printed, `cells`, and the interval (`Interval.columns`, %) of the class's
        sensitivity. Values: every entry. Facts: those of `Judged.facts`.
    """
    values, diagonal = [], []
    for reference in judged.counts.index:
        own = judged.predictions[judged.predictions["reference"].eq(reference)]
        entries = {name: intervals.proportion(own["predicted"].eq(name), own) for name in judged.counts.columns}
        values += [Value.of(f"{MATRIX[judged.spec.name]}.{reference}.{name}", entry) for name, entry in entries.items()]
        diagonal.append({"cells": len(own)} | entries[reference].columns())
    frame = judged.percent.join(pd.DataFrame(diagonal, judged.counts.index)).rename(index=LABELS, columns=LABELS)
    return Result(frame, tuple(values), judged.facts)


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
        Frame: `module`, `class`, `rate`, `value` (%), `low`, `high`, `patients`, `design_effect`, `interval` (of
        `Interval.columns`), `n` (cells), `paper` (%).
    """
    if not (there := _there(judged)):
        return _first_reason(judged)
    rows, values = [], []
    for one in there:
        found = classification.rate_intervals(one.predictions, one.spec.classes)
        for row in classification.rates(one.counts).to_dict("records"):
            name, rate = row["class"], row["rate"]
            id, measured = f"table_08.{rate}.{name}", found[name, rate]
            about = {"module": one.spec.name[-1], "class": LABELS[name], "rate": rate}
            about |= {"value": 100 * measured.estimate} | measured.columns()
            rows.append(about | {"n": row["n"], "paper": printed.published(id)})
            values.append(Value.of(id, measured))
    return Result(pd.DataFrame(rows), tuple(values))


def overall_accuracy(
    *judged: Judged | Unavailable, validation: tuple[Judged | Unavailable, ...] = ()
) -> Result | Unavailable:
    """Give the overall accuracy of the modules.

    Parameters
    ----------
    *judged : Judged or Unavailable
        The modules on the testing cells; those that are unavailable are left out.
    validation : tuple of Judged or Unavailable
        The modules on their validation cells (`judge_validation`), as section 3.2 prints them too.

    Returns
    -------
    Result or Unavailable
        Frame: `module`, `split`, `cells`, `accuracy` (%), the columns of `Interval.columns`, `paper` (%). Values: these
        accuracies, and `<module>.mean_sensitivity` of the testing cells.
    """
    if not (there := _there(judged)):
        return _first_reason(judged)
    rows, values = [], []
    for split, key, ones in (("testing", "accuracy", there), ("validation", "validation_accuracy", _there(validation))):
        for one in ones:
            id, measured = f"text.{one.spec.name}.{key}", one.accuracy
            row = {"module": one.spec.title, "split": split, "cells": len(one.predictions)}
            row |= {"accuracy": 100 * measured.estimate} | measured.columns()
            rows.append(row | {"paper": printed.published(id)})
            values.append(Value.of(id, measured))
    values += [Value.of(f"{one.spec.name}.mean_sensitivity", one.mean_sensitivity, "%") for one in there]
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
        Frame: `source`, `class` (`all classes` first), `cells`, `correct` (%), the columns of `Interval.columns`.
        Values: `source.<source>.<module>.accuracy`, and `....<class>` of each class. Unavailable where the cells are of
        one source.
    """
    cells = cells[cells["split"].eq(split)]
    if "source" not in cells or cells["source"].nunique() < 2:
        return Unavailable("the cells are of one source")
    found = predictions_of(cells, spec)
    rows, values = [], []
    for source, of_source in found.groupby("source"):
        parts = {"all classes": of_source} | {name: of_source[of_source["reference"].eq(name)] for name in spec.classes}
        for name, own in parts.items():
            if len(own):
                measured, key = classification.accuracy(own), "accuracy" if name == "all classes" else name
                row = {"source": source, "class": LABELS.get(name, name), "cells": len(own)}
                rows.append(row | {"correct": 100 * measured.estimate} | measured.columns())
                values.append(Value.of(f"source.{source}.{spec.name}.{key}", measured, "%"))
    return Result(pd.DataFrame(rows), tuple(values))


def table_11(
    cells: pd.DataFrame | Unavailable, earlier: Mapping[str, Interval] | Unavailable | None = None
) -> Result | Unavailable:
    """Lay out true positive rates as Table 11; its blast rows are module 2's, as in the paper.

    Parameters
    ----------
    cells : DataFrame or Unavailable
        Predictions of all splits, as for `judge`; the testing cells count.
    earlier : mapping of str to Interval, Unavailable or None
        Sensitivity of the linear discriminant in [0, 1] by cell group (`classical.sensitivities`); without it the
        columns `LDA, ...` are missing.

    Returns
    -------
    Result or Unavailable
        Frame: rows as printed; `earlier, paper`, `ALNet, paper`, `LDA, this run` with the columns of
        `Interval.columns`, each called `LDA, ...`, `ALNet, this run` with the same under their own names (%, one
        decimal as printed). Values: `table_11.<row>.proposed`, and `table_11.<row>.earlier` of the linear discriminant.
    """
    if isinstance(cells, Unavailable):
        return cells
    frame = printed.table("11").rename(columns={"earlier": "earlier, paper", "proposed": "ALNet, paper"})
    cells = cells[cells["split"].eq("test")]
    own: dict[str, Interval] = {}
    for spec in MODULES:
        if spec.predicts(cells):
            rates = classification.rate_intervals(predictions_of(cells, spec), spec.classes)
            own |= {name: measured for (name, rate), measured in rates.items() if rate == "sensitivity"}
    known = {} if earlier is None or isinstance(earlier, Unavailable) else earlier
    rows, values = [], []
    for name in frame.index:
        # The paper calls the group of myeloblasts and monoblasts by its larger part.
        group = "myeloid_blast" if name == "myeloblast" else name
        row: dict[str, Any] = {}
        if (measured := known.get(group)) is not None:
            row |= {"LDA, this run": 100 * measured.estimate}
            row |= {f"LDA, {column}": entry for column, entry in measured.columns().items()}
            values.append(Value.of(f"table_11.{name}.earlier", measured))
        if (measured := own.get(group)) is not None:
            row |= {"ALNet, this run": 100 * measured.estimate} | measured.columns()
            values.append(Value.of(f"table_11.{name}.proposed", measured))
        rows.append(row)
    frame = frame.join(pd.DataFrame(rows, frame.index)).round(1)
    return Result(frame.set_axis([LABELS[name] for name in frame.index], axis=0), tuple(values))


def table_5(setup: Setup, networks: Mapping[str, Trained | Unavailable]) -> Result | Unavailable:
    """Compare two networks as module 2 by accuracy and time, as Table 5.

    The training accuracy is of the images that the network was fitted on, without augmentation.

    Parameters
    ----------
    setup : Setup
        Images and profile.
    networks : mapping of str to Trained or Unavailable
        Backbone as in Table 5 (`vgg16`, `vgg19`) to its training.

    Returns
    -------
    Result or Unavailable
        Frame: index backbone; `training`, `testing` (%), the columns of `Interval.columns` of `testing`,
        `training_minutes`, `classification_seconds`, and the printed ones. Values: these numbers and
        `table_05.difference`, the last network's testing accuracy less the first's on the same cells. Facts:
        `difference` (percentage points), `low`, `high`, `ci`, `patients`, `n` (testing cells), `notes` on miniatures.
        Unavailable where a network was not trained, or without a testing blast.
    """
    from alnet_lib.experiments.datasets import fit_and_validation, labelled
    from alnet_lib.networks.architectures import stand_ins

    rows: dict[str, dict[str, Any]] = {}
    values, right = [], []
    for backbone, trained in networks.items():
        if isinstance(trained, Unavailable):
            return trained
        fitted, _ = fit_and_validation(setup.data, MODULE_2, setup.profile)
        test = labelled(setup.data, MODULE_2, split="test", classes=trained.network.classes)
        tested = setup.data.manifest.iloc[test.rows]
        if tested.empty:
            return Unavailable("no testing cell has a class of module 2")
        training = intervals.proportion(_correct(trained, fitted, setup), setup.data.manifest.iloc[fitted.rows])
        began = time.perf_counter()
        right.append(_correct(trained, test, setup))
        seconds = time.perf_counter() - began
        testing = intervals.proportion(right[-1], tested)
        times = {"training_minutes": trained.seconds / 60, "classification_seconds": seconds}
        rows[backbone] = {"training": 100 * training.estimate, "testing": 100 * testing.estimate}
        rows[backbone] |= testing.columns() | times
        measured = {"training": training, "testing": testing} | times
        values += [Value.of(f"table_05.{backbone}.{column}", number) for column, number in measured.items()]
    gain = intervals.difference(right[0], tested, right[-1])
    values.append(Value.of("table_05.difference", gain, "percentage points"))
    facts = gain.columns() | {"difference": 100 * gain.estimate, "ci": gain.text(), "n": len(tested)}
    facts["notes"] = stand_ins([setup.profile.table_5_backbone, setup.profile.module_2.backbone])
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return Result(frame.join(printed.table("05").add_suffix(", paper")), tuple(values), facts)


def _correct(trained: Trained, images: Images, setup: Setup) -> np.ndarray:
    """Whether a network predicts each image correctly, bool (n,)."""
    from alnet_lib.training import inference

    probability = inference.predict(trained.network, images, trained.options, batch=setup.profile.prediction_batch)
    return probability.argmax(1) == images.labels
