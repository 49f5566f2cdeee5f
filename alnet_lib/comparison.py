"""The backbone comparison (paper section 2.3, Tables 3 and 4): four networks, five depths, hold-out and folds.

One unit of work is one network under one evaluation (the hold-out split or one fold). Each training leaves one small
parquet file; a finished training is never repeated.
"""

from __future__ import annotations

import copy
import math
import shutil
import time
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from alnet_lib import augment, evaluation, paper, range_test, training
from alnet_lib.alnet import TASKS, begin, engine_hash, labelled, options, planned
from alnet_lib.backbones import Network, title
from alnet_lib.files import atomic_path
from alnet_lib.frozen import FrozenMaps
from alnet_lib.profile import HOLD_OUT
from alnet_lib.results import Value
from alnet_lib.run import Run
from alnet_lib.training import Images, Options

WHOLE = 5
DEPTH_NAMES = {1: "1", 2: "2", 3: "3", 4: "4", 5: "Whole"}
TABLE_3_ROWS = {"hold_out": "hold-out", "five_folds": "folds, mean", "five_folds_sd": "folds, standard deviation"}


def smear_folds(manifest: pd.DataFrame, folds: int, rng: np.random.Generator) -> pd.Series:
    """A fold number (0 to folds - 1) for each image: smears are dealt out whole, class by class.

    So no smear is in two folds and the folds' numbers of smears differ by one at most, as section 2.3 asks.
    """
    smears = manifest.groupby("smear_id", sort=True)["cell_type"].agg(lambda types: types.mode().iloc[0]).reset_index()
    order = smears.iloc[rng.permutation(len(smears))].sort_values("cell_type", kind="stable")
    fold = pd.Series(np.arange(len(order)) % folds, index=order["smear_id"])
    return manifest["smear_id"].map(fold)


def split(run: Run, fold: int | None) -> tuple[Images, Images, Images]:
    """Train, validation and test images of the hold-out split (fold None) or of one fold (validation is then empty)."""
    everything = labelled(run, "six_classes", split="train")
    if fold is None:
        inner, held = training.split_validation(
            everything.labels, run.profile.validation_fraction, run.generator("validation/six_classes")
        )
        test = labelled(run, "six_classes", split="test", classes=everything.classes)
        return everything.take(inner), everything.take(_some(run, held, HOLD_OUT)), test
    manifest = run.cohort().manifest
    own = manifest["split"].isin(["train", "test"]) & manifest["cell_type"].isin(TASKS["six_classes"][0])
    fold_of = smear_folds(manifest[own], run.profile.comparison.folds, run.generator("folds"))
    images = labelled(run, "six_classes", split=None, classes=everything.classes)
    number = fold_of.reindex(manifest.index).to_numpy(float)[images.rows]
    others = images.take(~np.isnan(number) & (number != fold))
    held = _some(run, np.flatnonzero(number == fold), f"fold-{fold + 1}")
    return others, images.take(np.zeros(len(images), bool)), images.take(held)


def _some(run: Run, index: np.ndarray, evaluation: str) -> np.ndarray:
    most = run.profile.comparison.judged_on
    if not most or len(index) <= most:
        return index
    return np.sort(run.generator(f"judged on/{evaluation}").permutation(index)[:most])


def possible(run: Run) -> bool:
    """Whether the training split has two or more of the six classes."""
    return len(planned(run, "six_classes")) >= 2


def missing(run: Run) -> list[str]:
    """Trainings that the profile asks for and that are not there, in words."""
    rows, plan = collect(run), run.profile.comparison
    there = set(zip(rows["backbone"], rows["evaluation"], rows["depth"], strict=True))
    asked = [key for key in product(plan.backbones, plan.evaluations, plan.depths) if key not in there]
    return [f"{title(backbone)}, {evaluation}, {DEPTH_NAMES[depth]}" for backbone, evaluation, depth in asked]


def train_unit(run: Run, backbone: str, evaluation: str = HOLD_OUT) -> pd.DataFrame:
    """Train one network at every depth of the profile under one evaluation; a row a training.

    All depths start from the same weights and see the same batches. Columns: backbone, evaluation, depth (1 to 5),
    iterations, validation_accuracy, testing_accuracy (in [0, 1]), test_images, training_minutes,
    classification_seconds. As in Table 3, depths below the whole network have no testing accuracy under hold-out (NaN).
    The test images' true and predicted classes are kept beside it for the confusion matrix.
    """
    fold = None if evaluation == HOLD_OUT else int(evaluation.removeprefix("fold-")) - 1
    unit = _Unit(run, backbone, evaluation, split(run, fold))
    return pd.DataFrame([unit.training(depth) for depth in sorted(run.profile.comparison.depths, reverse=True)])


def _plan(run: Run, fit_on: Images, evaluation: str) -> augment.Plan:
    profile = run.profile
    return augment.balancing_plan(
        fit_on.labels, profile.comparison.upsample_target, run.generator(f"plan/six_classes/{evaluation}"),
        versions=profile.versions, rotation=profile.rotation, alike=profile.random_orientation,
    )  # fmt: skip


class _Unit:
    """One network under one evaluation: its start and the maps of its frozen blocks are made once, when needed."""

    def __init__(self, run: Run, backbone: str, evaluation: str, images: tuple[Images, Images, Images]) -> None:
        self.run, self.backbone, self.evaluation = run, backbone, evaluation
        self.fit_on, self.validation, self.test = images
        self.plan = _plan(run, self.fit_on, evaluation)
        self.name = f"{backbone}-{evaluation}"
        self.scratch = run.dir / "comparison" / "scratch" / self.name

    @cached_property
    def start(self) -> Network:
        shutil.rmtree(self.scratch, ignore_errors=True)  # Of a killed run.
        return begin(self.run, self.backbone, self.fit_on, name=self.backbone).to(self.run.device)

    @cached_property
    def resident(self) -> Images:
        """The images to fit on, on the GPU where there is one: once for all depths."""
        return self.fit_on.on(torch.device("cuda")) if self.run.device == "cuda" else self.fit_on

    @cached_property
    def maps(self) -> FrozenMaps:
        budget = 1e9 * self.run.profile.comparison.maps_budget
        return FrozenMaps(self.start, self.resident, self.plan, self.options(WHOLE), budget=budget, folder=self.scratch)

    def options(self, depth: int) -> Options:
        settings = self.run.profile.comparison.training(self.backbone, self.evaluation)
        fixed = options(self.run, settings, name=f"six_classes/{self.name}", depth=depth)
        label = f"{self.backbone}, {self.evaluation}, depth {depth}"
        # The augmented list is fixed, as in the paper: new transforms in each iteration would leave nothing to share.
        return replace(fixed, label=label, random_orientation=False, colour_jitter=0.0)

    def training(self, depth: int) -> dict:
        """Train at one depth, or read what an earlier run left."""
        run, opts = self.run, self.options(depth)
        key = training.training_key(
            self.backbone, self.fit_on, self.plan, opts, run.cohort().content_hash, repr(run.profile.dropout),
            repr((run.profile.image_size, run.profile.crop, run.profile.weights)),
            repr(run.profile.comparison.judged_on), engine_hash(),
        )  # fmt: skip
        path = run.dir / "comparison" / f"{self.name}-depth{depth}.parquet"
        if (done := _finished(path, key)) is not None:
            return done
        checkpoint = path.with_suffix(f".{key}.checkpoint")
        line = run.progress(f"{title(self.backbone)}, {self.evaluation}, {DEPTH_NAMES[depth]}, iterations", self.name)
        network = copy.deepcopy(self.start)
        shared = self.maps.after if len(network.parts(depth)[0]) else None
        fitted = training.fit(
            network, self.resident, self.plan, self.validation, opts,
            checkpoint=checkpoint, progress=line, maps_of=shared,
        )  # fmt: skip
        if shared and depth == min(run.profile.comparison.depths):
            self.maps.close()
            shutil.rmtree(self.scratch, ignore_errors=True)
        # Depths are chosen by validation; testing images are for the whole network, and for the folds (Table 3).
        tested = self.test if depth == WHOLE or self.evaluation != HOLD_OUT else self.test.take(np.empty(0, int))
        began = time.perf_counter()
        predicted = training.predict(network, tested, opts, batch=run.profile.prediction_batch).argmax(1)
        seconds = time.perf_counter() - began
        row = self._row(depth, fitted, tested, predicted, seconds) | {"key": key}
        with atomic_path(path) as temporary:
            pd.DataFrame([row]).to_parquet(temporary)
        checkpoint.unlink(missing_ok=True)
        return row

    def _row(self, depth: int, fitted: training.Fitted, test: Images, predicted: np.ndarray, seconds: float) -> dict:
        classes = self.fit_on.classes
        return {
            "backbone": self.backbone,
            "evaluation": self.evaluation,
            "depth": depth,
            "iterations": len(fitted.history),
            "validation_accuracy": fitted.validation_accuracy,
            "testing_accuracy": float((predicted == test.labels).mean()) if len(test) else math.nan,
            "test_images": len(test),
            "training_minutes": fitted.seconds / 60,
            "classification_seconds": seconds,
            "true": [classes[i] for i in test.labels],
            "predicted": [classes[i] for i in predicted],
            "patient_id": test.groups.tolist(),
        }


def _finished(path: Path, key: str) -> dict | None:
    if not path.is_file():
        return None
    frame = pd.read_parquet(path)
    return frame.iloc[0].to_dict() if frame["key"].iloc[0] == key else None


def learning_rates(run: Run, backbone: str) -> pd.DataFrame:
    """The range test of one network on the hold-out split's training images; see `range_test.range_test`."""
    settings = run.profile.comparison.training(backbone)
    fit_on, _, _ = split(run, None)
    plan = _plan(run, fit_on, HOLD_OUT)
    opts = options(run, settings, name=f"range test/{backbone}")
    return range_test.range_test(
        begin(run, backbone, fit_on, name=backbone), fit_on, plan, opts,
        iterations=run.profile.comparison.range_test, progress=run.progress("range test, iterations"),
    )  # fmt: skip


def collect(run: Run) -> pd.DataFrame:
    """Every finished training that the profile asks for, whoever trained it; see `train_unit` for the columns."""
    plan = run.profile.comparison
    files = sorted((run.dir / "comparison").glob("*.parquet"))
    if not files:
        return pd.DataFrame(columns=["backbone", "evaluation", "depth"])
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    asked = rows["backbone"].isin(plan.backbones) & rows["depth"].isin(plan.depths)
    return rows[asked & rows["evaluation"].isin(plan.evaluations)].reset_index(drop=True)


def whole_network(rows: pd.DataFrame) -> pd.DataFrame:
    """Validation and testing accuracy in % of the whole networks under hold-out, by backbone."""
    own = rows[rows["evaluation"].eq(HOLD_OUT) & rows["depth"].eq(WHOLE)].set_index("backbone")
    return 100 * own[["validation_accuracy", "testing_accuracy"]]


def best(rows: pd.DataFrame) -> pd.Series:
    """The whole network with the highest testing accuracy under hold-out."""
    own = rows[rows["evaluation"].eq(HOLD_OUT) & rows["depth"].eq(WHOLE)]
    return own.loc[own["testing_accuracy"].idxmax()]


def table_3(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Value]]:
    """Accuracies in % in the layout of Table 3, and its values beside the printed ones.

    Under hold-out a depth's accuracy is of validation; under the folds it is the mean testing accuracy, with its
    standard deviation (ddof 1) in rows `sd over folds`.
    """
    hold = rows[rows["evaluation"].eq(HOLD_OUT)]
    frame = 100 * hold.pivot_table(index="backbone", columns="depth", values="validation_accuracy")
    whole = hold[hold["depth"].eq(WHOLE)].set_index("backbone")
    frame["testing"] = 100 * whole["testing_accuracy"]
    frame["training_minutes"] = whole["training_minutes"]
    frame["classification_seconds"] = whole["classification_seconds"]
    parts = {"hold_out": frame}
    folds = rows[rows["evaluation"].ne(HOLD_OUT)]
    if len(folds):
        grouped = folds.groupby(["backbone", "depth"])["testing_accuracy"]
        parts["five_folds"] = 100 * grouped.mean().reset_index().pivot_table(
            index="backbone", columns="depth", values="testing_accuracy"
        )
        times = folds[folds["depth"].eq(WHOLE)].groupby("backbone")
        for column in ("training_minutes", "classification_seconds"):
            parts["five_folds"][column] = times[column].sum()
        if len(set(folds["evaluation"])) > 1:
            parts["five_folds_sd"] = 100 * grouped.std().reset_index().pivot_table(
                index="backbone", columns="depth", values="testing_accuracy"
            )
    table = pd.concat(parts, names=["evaluation", "backbone"]).rename(columns=_DEPTH_COLUMNS)
    columns = [*_DEPTH_COLUMNS.values(), "testing", "training_minutes", "classification_seconds"]
    return table.reindex(columns=columns), _table_3_values(table, whole)


_DEPTH_COLUMNS = {1: "last_1", 2: "last_2", 3: "last_3", 4: "last_4", 5: "whole"}


def _table_3_values(table: pd.DataFrame, whole: pd.DataFrame) -> list[Value]:
    values, known = [], paper.record()
    for (evaluation_name, backbone), line in table.iterrows():
        for column, number in line.items():
            id = f"table_03.{evaluation_name}.{backbone}.{column}"
            if id not in known.index or pd.isna(number):
                continue
            low = high = None
            if evaluation_name == "hold_out" and column == "testing":
                n = int(whole.loc[backbone, "test_images"])
                low, high = (100 * v for v in evaluation.interval(round(number / 100 * n), n))
            values.append(
                Value(id, known.loc[id, "unit"], paper.published(id), reproduced=number, ci_low=low, ci_high=high)
            )
    return values


def table_4_values(percent: pd.DataFrame, overall: tuple[float, float, float]) -> list[Value]:
    """Cells of the confusion matrix in %, and the overall accuracy with its interval, beside the printed ones."""
    found = [
        Value(id, "%", paper.published(id), reproduced=percent.loc[true, predicted])
        for true in percent.index
        for predicted in percent.columns
        if (id := f"table_04.{true}.{predicted}") in paper.record().index
    ]
    value, low, high = (100 * v for v in overall)
    id = "text.table_04.accuracy"
    return [*found, Value(id, "%", paper.published(id), reproduced=value, ci_low=low, ci_high=high)]


def table_12_values(deep: pd.DataFrame) -> list[Value]:
    """Validation accuracies (which the paper prints in Table 12) beside the printed ones."""
    ids = {name: f"table_12.{name}.accuracy" for name in deep.index}
    return [
        Value(id, "%", paper.published(id), reproduced=deep.loc[name, "validation_accuracy"])
        for name, id in ids.items()
        if id in paper.record().index
    ]
