"""The backbone comparison (paper section 2.3, Tables 3 and 4): four networks, fine-tuned in part and whole.

One unit of work is one network under one evaluation: the hold-out split, with validation images drawn by image as in
the paper or by patient, or one fold. Each training leaves one small parquet file; a finished one is never repeated.
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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch

from alnet_lib.core.files import atomic_path
from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import kept, reading
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import HOLD_OUT, HOLD_OUT_BY_PATIENT, Comparison, Profile
from alnet_lib.diagnosis.tasks import SIX_CLASSES
from alnet_lib.experiments.classical import records
from alnet_lib.experiments.datasets import labelled, planned, validation_split
from alnet_lib.experiments.preparation import Setup, begin, engine_hash, options, training_key
from alnet_lib.imaging import augmentation
from alnet_lib.networks.architectures import title
from alnet_lib.networks.starts.start import fingerprint
from alnet_lib.paper.values import Result, Value
from alnet_lib.training import fitting, inference, learning_rate_range
from alnet_lib.training.feature_cache import FrozenMaps

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network
    from alnet_lib.training.data import Images
    from alnet_lib.training.options import Options

WHOLE = 5
"""Fine-tuned blocks of a training of the whole network."""

BLOCK_NAMES = {1: "1", 2: "2", 3: "3", 4: "4", 5: "Whole"}
"""Number of fine-tuned blocks as Table 3 names it."""

COLUMNS = ["backbone", "evaluation", "fine_tuned_blocks", "validation_accuracy", "testing_accuracy", "key"]
"""What every row of a training has beside its times and records."""

ROW_FORMAT = 3
"""Of the files that trainings leave; a file of another format is trained again."""


def smear_folds(manifest: pd.DataFrame, folds: int, rng: np.random.Generator) -> pd.Series:
    """A fold for each image: smears are dealt out whole, class by class.

    So no smear is in two folds and the folds' numbers of smears differ by one at most, as section 2.3 asks.

    Parameters
    ----------
    manifest : DataFrame
        smear_id and cell_type of each image.
    folds : int
        How many.
    rng : Generator
        Puts the smears in order.

    Returns
    -------
    Series of int
        0 to `folds` - 1, with the index of `manifest`.
    """
    smears = manifest.groupby("smear_id", sort=True)["cell_type"].agg(lambda types: types.mode().iloc[0]).reset_index()
    order = smears.iloc[rng.permutation(len(smears))].sort_values("cell_type", kind="stable")
    fold = pd.Series(np.arange(len(order)) % folds, index=order["smear_id"])
    return manifest["smear_id"].map(fold)


def split(setup: Setup, evaluation: str = HOLD_OUT) -> tuple[Images, Images, Images]:
    """The images that a unit fits on, validates on and tests on.

    Parameters
    ----------
    setup : Setup
        Images and profile; `max_evaluation_images` limits validation, and the testing images of a fold.
    evaluation : str
        `hold-out`; `hold-out-by-patient`, where no patient is both fitted on and validated on; or `fold-1`
        ...: the folds divide training and testing split together, by smear.

    Returns
    -------
    tuple of Images
        To fit on, for validation (empty under a fold), for testing.
    """
    data, profile = setup.data, setup.profile
    everything = labelled(data, SIX_CLASSES, split="train")
    if evaluation in (HOLD_OUT, HOLD_OUT_BY_PATIENT):
        by_patient = evaluation == HOLD_OUT_BY_PATIENT
        inner, held = validation_split(everything, SIX_CLASSES, profile, by_patient=by_patient)
        test = labelled(data, SIX_CLASSES, split="test", classes=everything.classes)
        return everything.take(inner), everything.take(_some(profile, held, evaluation)), test
    fold, manifest = int(evaluation.removeprefix("fold-")) - 1, data.manifest
    own = manifest["split"].isin(["train", "test"]) & manifest["cell_type"].isin(SIX_CLASSES.mapping)
    fold_of = smear_folds(manifest[own], profile.comparison.folds, profile.generator("folds"))
    images = labelled(data, SIX_CLASSES, split=None, classes=everything.classes)
    number = fold_of.reindex(manifest.index).to_numpy(float)[images.rows]
    others = images.take(~np.isnan(number) & (number != fold))
    held = _some(profile, np.flatnonzero(number == fold), evaluation)
    return others, images.take(np.zeros(len(images), bool)), images.take(held)


def _some(profile: Profile, index: np.ndarray, evaluation: str) -> np.ndarray:
    most = profile.comparison.max_evaluation_images
    if not most or len(index) <= most:
        return index
    return np.sort(profile.generator(f"judged on/{evaluation}").permutation(index)[:most])


def possible(manifest: pd.DataFrame) -> Literal[True] | Unavailable:
    """Whether the training split has two or more of the six classes, else what it lacks."""
    there = SIX_CLASSES.reference(manifest[manifest["split"].eq("train")]).nunique()
    return True if there >= 2 else Unavailable(SIX_CLASSES.lacking(manifest))


def trainings(asked: Comparison) -> list[tuple[str, str, int]]:
    """Every training that the profile asks for: backbone, evaluation, fine-tuned blocks.

    Validation by patient chooses among whole networks, so it trains no other.
    """
    every = product(asked.backbones, asked.evaluations, asked.fine_tuned_blocks)
    return [(name, evaluation, n) for name, evaluation, n in every if n == WHOLE or evaluation != HOLD_OUT_BY_PATIENT]


def collect(folder: Path, asked: Comparison) -> pd.DataFrame:
    """Every finished training that the profile asks for, whichever job trained it.

    Parameters
    ----------
    folder : Path
        Of the setup.
    asked : Comparison
        The profile's settings.

    Returns
    -------
    DataFrame
        As `train_unit`; empty where nothing is finished.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        A file that is not what was written; the message names it.
    """
    files = sorted((folder / "comparison").glob("[!.]*.parquet"))
    if not files:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat([_read(file) for file in files], ignore_index=True)
    wanted = set(trainings(asked))
    own = [one in wanted for one in zip(rows["backbone"], rows["evaluation"], rows["fine_tuned_blocks"], strict=True)]
    return rows[own].reset_index(drop=True)


def missing(setup: Setup) -> list[str]:
    """Trainings that the profile asks for and that are not there, in words; none where no training is possible."""
    if not possible(setup.data.manifest):
        return []
    asked = setup.profile.comparison
    rows = collect(setup.folder, asked)
    there = set(zip(rows["backbone"], rows["evaluation"], rows["fine_tuned_blocks"], strict=True))
    return [f"{title(name)}, {evaluation}, {BLOCK_NAMES[n]}" for name, evaluation, n in trainings(asked)
            if (name, evaluation, n) not in there]  # fmt: skip


def train_all(setup: Setup) -> pd.DataFrame | Unavailable:
    """Train what the comparison lacks, unless the profile makes its units jobs of their own, and collect the rows.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder, device.

    Returns
    -------
    DataFrame or Unavailable
        As `collect`; unavailable where the training split has fewer than two of the six classes.
    """
    if isinstance(there := possible(setup.data.manifest), Unavailable):
        return there
    asked = setup.profile.comparison
    if not asked.units:
        for backbone, evaluation in product(asked.backbones, asked.evaluations):
            train_unit(setup, backbone, evaluation)
    return collect(setup.folder, asked)


def train_unit(setup: Setup, backbone: str, evaluation: str = HOLD_OUT) -> pd.DataFrame | Unavailable:
    """Train one network with every number of fine-tuned blocks of the profile under one evaluation.

    All trainings of a unit start from the same weights and see the same batches. As in Table 3, those below the whole
    network have no testing accuracy under hold-out; those validated by patient are whole networks that choose, and have
    none either.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder, device.
    backbone : str
        Name of the architecture.
    evaluation : str
        As for `split`.

    Returns
    -------
    DataFrame or Unavailable
        A row a training: backbone, evaluation, fine_tuned_blocks (1 to 5), iterations, validation_accuracy and
        testing_accuracy (in [0, 1], NaN where not measured), training_minutes, classification_seconds, layout (NHWC or
        NCHW), validation and testing (lists of `classical.records`, an entry an image), notes (e.g. what gave way when
        memory ran out), key. Unavailable where the training split has fewer
        than two of the six classes.
    """
    if isinstance(there := possible(setup.data.manifest), Unavailable):
        return there
    unit, asked = _Unit(setup, backbone, evaluation), trainings(setup.profile.comparison)
    blocks = {n for name, under, n in asked if (name, under) == (backbone, evaluation)}
    rows = [unit.training(fine_tuned_blocks) for fine_tuned_blocks in sorted(blocks, reverse=True)]
    return pd.DataFrame(rows, columns=None if rows else COLUMNS)


def _plan(profile: Profile, fit_on: Images, evaluation: str) -> augmentation.Plan:
    return augmentation.balancing_plan(
        fit_on.labels, profile.comparison.upsample_target, profile.generator(f"plan/six_classes/{evaluation}"),
        augmentations_per_image=profile.augmentations_per_image, rotation=profile.rotation,
        alike=profile.random_orientation,
    )  # fmt: skip


class _Unit:
    """One network under one evaluation: its start and the maps of its frozen blocks are made once, when needed."""

    def __init__(self, setup: Setup, backbone: str, evaluation: str) -> None:
        self.setup, self.backbone, self.evaluation = setup, backbone, evaluation
        self.profile, self.asked = setup.profile, setup.profile.comparison
        self.fit_on, self.validation, self.test = split(setup, evaluation)
        self.plan = _plan(self.profile, self.fit_on, evaluation)
        self.name = f"{backbone}-{evaluation}"
        self.scratch = setup.folder / "comparison" / "scratch" / self.name

    @cached_property
    def start(self) -> Network:
        shutil.rmtree(self.scratch, ignore_errors=True)  # Of a killed run.
        # On the host: each training moves its own copy to the device, and the maps the blocks that they need.
        return begin(self.profile, self.backbone, self.fit_on, name=self.backbone)

    @cached_property
    def resident(self) -> Images:
        """The images to fit on, on the GPU where there is one with room: once for all trainings."""
        return self.fit_on.on(torch.device("cuda")) if self.setup.device == "cuda" else self.fit_on

    @cached_property
    def maps(self) -> FrozenMaps:
        budget = 1e9 * self.asked.feature_cache_gb
        return FrozenMaps(self.start, self.resident, self.plan, self.options(WHOLE), budget=budget, folder=self.scratch)

    def options(self, fine_tuned_blocks: int) -> Options:
        settings = self.asked.training(self.backbone, self.evaluation)
        name = f"six_classes/{self.name}"
        fixed = options(self.setup, settings, name=name, fine_tuned_blocks=fine_tuned_blocks)
        label = f"{self.backbone}, {self.evaluation}, fine-tuned blocks: {BLOCK_NAMES[fine_tuned_blocks]}"
        # The augmented list is fixed, as in the paper: new transforms in each iteration would leave nothing to share.
        return replace(
            fixed, label=label, random_orientation=False, colour_jitter=0.0, scale_jitter=0.0, focus_jitter=0.0,
            light_jitter=0.0,
        )  # fmt: skip

    def training(self, fine_tuned_blocks: int) -> dict[str, Any]:
        """Train with so many fine-tuned blocks, or read what an earlier run left."""
        profile, opts = self.profile, self.options(fine_tuned_blocks)
        key = training_key(
            self.backbone, self.fit_on, self.plan, opts, self.setup.data.content_hash, repr(profile.dropout),
            repr((profile.image_size, profile.crop, fingerprint(profile.start_of(self.backbone), self.backbone))),
            repr((self.asked.max_evaluation_images, ROW_FORMAT)), engine_hash(),
        )  # fmt: skip
        path = self.setup.folder / "comparison" / f"{self.name}-depth{fine_tuned_blocks}.parquet"
        if (done := _finished(path, key)) is not None:
            return done
        checkpoint = path.with_suffix(f".{key}.checkpoint")
        what = f"{title(self.backbone)}, {self.evaluation}, {BLOCK_NAMES[fine_tuned_blocks]}, iterations"
        network = copy.deepcopy(self.start)
        shared = self.maps if len(network.parts(fine_tuned_blocks)[0]) else None
        fitted = fitting.fit(
            network, self.resident, self.plan, self.none, opts,
            checkpoint=checkpoint, progress=self.setup.progress(what, self.name), maps=shared,
        )  # fmt: skip
        if shared and fine_tuned_blocks == min(self.asked.fine_tuned_blocks):
            self.maps.close()
            shutil.rmtree(self.scratch, ignore_errors=True)
        notes = fitted.notes + (shared.notes if shared else [])
        validated = inference.predict(network, self.validation, opts, notes=notes).argmax(1)
        # Validation chooses the network and the number of fine-tuned blocks; testing images are for the whole network,
        # and for the folds (Table 3).
        in_part = self.evaluation == HOLD_OUT and fine_tuned_blocks != WHOLE
        tested = self.none if in_part or self.evaluation == HOLD_OUT_BY_PATIENT else self.test
        began = time.perf_counter()
        predicted = inference.predict(network, tested, opts, batch=profile.prediction_batch, notes=notes).argmax(1)
        seconds = time.perf_counter() - began
        row = self._row(fine_tuned_blocks, fitted, seconds) | {"notes": "; ".join(notes), "key": key}
        row |= self._judged("validation", self.validation, validated) | self._judged("testing", tested, predicted)
        with atomic_path(path) as temporary:
            pd.DataFrame([row]).to_parquet(temporary)
        index.remove(checkpoint)
        return row

    @property
    def none(self) -> Images:
        return self.test.take(np.empty(0, int))

    def _row(self, fine_tuned_blocks: int, fitted: fitting.Fitted, seconds: float) -> dict[str, Any]:
        return {
            "backbone": self.backbone,
            "evaluation": self.evaluation,
            "fine_tuned_blocks": fine_tuned_blocks,
            "iterations": len(fitted.history),
            "training_minutes": fitted.seconds / 60,
            "classification_seconds": seconds,
            "layout": fitted.layout,
        }

    def _judged(self, split: str, images: Images, predicted: np.ndarray) -> dict[str, Any]:
        named = np.array(images.classes, object)
        cells = self.setup.data.manifest.iloc[images.rows]
        accuracy = float((predicted == images.labels).mean()) if len(images) else math.nan
        return {f"{split}_accuracy": accuracy, split: records(cells, named[images.labels], named[predicted])}


def _finished(path: Path, key: str) -> dict[str, Any] | None:
    row = kept(path, lambda file: pd.read_parquet(file).iloc[0].to_dict())
    return row if row and row.get("key") == key else None


def _read(path: Path) -> pd.DataFrame:
    with reading(path):
        return pd.read_parquet(path)


def learning_rates(setup: Setup, backbone: str) -> Result | Unavailable:
    """The learning-rate range test of one network on the images that hold-out trainings fit on.

    Parameters
    ----------
    setup : Setup
        Images, profile, device.
    backbone : str
        Name of the architecture.

    Returns
    -------
    Result or Unavailable
        Frame as `learning_rate_range.range_test`; facts `proposed`, its range in words, and `lr_min`, `lr_max`,
        the profile's. Unavailable where the profile asks for no range test or
        the training split has fewer than two of the six classes.
    """
    profile, asked = setup.profile, setup.profile.comparison
    if not asked.range_test:
        return Unavailable("the profile asks for no learning-rate range test")
    if isinstance(there := planned(setup.data.manifest, SIX_CLASSES, profile), Unavailable):
        return there
    fit_on, _, _ = split(setup)
    curve = learning_rate_range.range_test(
        begin(profile, backbone, fit_on, name=backbone), fit_on, _plan(profile, fit_on, HOLD_OUT),
        options(setup, asked.training(backbone), name=f"range test/{backbone}"),
        iterations=asked.range_test, progress=setup.progress("range test, iterations"),
    )  # fmt: skip
    low, high = learning_rate_range.propose(curve)
    values = tuple(Value(f"range_test.{name}", reproduced=rate) for name, rate in (("low", low), ("high", high)))
    proposed = learning_rate_range.in_words(low, high)
    return Result(curve, values, {"proposed": proposed, "lr_min": asked.lr_min, "lr_max": asked.lr_max})
