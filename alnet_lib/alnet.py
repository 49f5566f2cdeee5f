"""The two modules in series: trained, saved, applied to cells (paper section 3.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from alnet_lib import augment, training
from alnet_lib.backbones import Network, build, start_from
from alnet_lib.cohorts.vocabulary import (
    CELL_GROUPS,
    LABELS,
    MODULE_1_CLASSES,
    MODULE_2_CLASSES,
    TO_GROUP,
    TO_MODULE_1,
    TO_MODULE_2,
)
from alnet_lib.files import atomic_path, sha256
from alnet_lib.profile import Training
from alnet_lib.results import Value
from alnet_lib.run import Run, Unavailable
from alnet_lib.training import Images, Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "module_1": (TO_MODULE_1, MODULE_1_CLASSES),
    "module_2": (TO_MODULE_2, MODULE_2_CLASSES),
    "six_classes": (TO_GROUP, CELL_GROUPS),
}
"""Cell type -> class, and the classes in order: ALNet's modules (section 3.2) and the first classifier (2.3)."""


@dataclass
class Trained:
    """A trained network with what its training left.

    history: iteration, loss, learning_rate. counts: per class, images in train, train after balancing, validation.
    train_accuracy and validation_accuracy in [0, 1], on untouched images. seconds: of training.
    """

    name: str
    network: Network
    options: Options
    history: pd.DataFrame
    counts: pd.DataFrame
    train_accuracy: float
    validation_accuracy: float
    seconds: float
    notes: list[str]


def labelled(
    run: Run,
    task: str,
    *,
    split: str | None = "train",
    classes: tuple[str, ...] | None = None,
    manifest: pd.DataFrame | None = None,
    pixels: np.ndarray | None = None,
) -> Images:
    """The cohort's images of a split that have a class under the task; classes without images are left out.

    classes: fix the classes instead, e.g. to those a network was trained on. manifest, pixels: use these instead of
    the run's own (same rows), e.g. with another split.
    """
    mapping, known = TASKS[task]
    manifest = run.cohort().manifest if manifest is None else manifest
    chosen = manifest["split"].eq(split) if split else pd.Series(True, manifest.index)
    chosen &= manifest["cell_type"].isin(mapping)
    rows = np.flatnonzero(chosen.to_numpy())
    names = manifest["cell_type"].iloc[rows].map(mapping)
    if classes is None:
        classes = tuple(name for name in known if name in set(names))
    labels = names.map({name: i for i, name in enumerate(classes)}).fillna(-1).to_numpy(np.int64)
    kept = labels >= 0
    patients = _patients(manifest).to_numpy()[rows]
    return Images(run.pixels() if pixels is None else pixels, rows[kept], labels[kept], patients[kept], classes)


STRANGERS = 25
"""Images that count as one patient, for balanced sampling, where a source names none: about a patient's share."""


def _patients(manifest: pd.DataFrame) -> pd.Series:
    patients = manifest["patient_id"].astype(str)
    if "smear_known" not in manifest:
        return patients
    number = manifest.groupby(["site", "cell_type"]).cumcount() // STRANGERS
    return patients.where(manifest["smear_known"], manifest["site"] + "/" + number.astype(str))


def options(run: Run, settings: Training, *, name: str, depth: int = 5) -> Options:
    """The options of one training, from the profile."""
    profile = run.profile
    return Options(
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        lr_min=settings.lr_min,
        lr_max=settings.lr_max,
        cycles=settings.cycles,
        depth=depth,
        precision=profile.precision,
        device=run.device,
        seed=profile.torch_seed(f"training/{name}") % (1 << 31),
        sampling=settings.sampling,
        random_orientation=profile.random_orientation,
        rotation=profile.rotation,
        colour_jitter=profile.colour_jitter,
        checkpoint_every=profile.checkpoint_every,
        label=f"{settings.backbone}, {name}",
    )


START_IMAGES = 64
"""Training images that a random start is fitted to."""


def begin(run: Run, backbone: str, fit_on: Images, *, name: str) -> Network:
    """The network that a training begins from: ImageNet weights, or a random start fitted to some training images.

    Raises
    ------
    WeightsError
        the profile asks for weights that cannot be had.
    """
    profile = run.profile
    network = build(
        backbone,
        fit_on.classes,
        profile.image_size,
        weights=profile.weights,
        weights_dir=profile.weights_dir,
        dropout=profile.dropout,
        seed=profile.torch_seed(f"start/{name}"),
    )
    if profile.weights == "none":
        some = np.sort(run.generator(f"start images/{name}").permutation(len(fit_on))[:START_IMAGES])
        start_from(network, fit_on.batch(some, "cpu"), seed=profile.torch_seed(f"start/{name}"))
    return network


def fitted_part(run: Run, task: str) -> tuple[Images, Images]:
    """The training split's images that a network is fitted on, and those kept for validation."""
    everything = labelled(run, task)
    rng = run.generator(f"validation/{task}")
    inner, held = training.split_validation(everything.labels, run.profile.validation_fraction, rng)
    return everything.take(inner), everything.take(held)


def train(run: Run, task: str, settings: Training, *, name: str = "", depth: int = 5) -> Trained | Unavailable:
    """Train a network for a task on the cohort's training split, or load it if this very training was finished before.

    Saved as <run>/models/<name>.safetensors with its description; a killed training continues from its checkpoint.

    Raises
    ------
    TrainingDiverged, WeightsError
        see there.
    """
    name = name or task
    everything = labelled(run, task)
    if len(everything.classes) < 2:
        return Unavailable(lacks(run, task))
    profile = run.profile
    fit_on, validation = fitted_part(run, task)
    plan = augment.balancing_plan(
        fit_on.labels,
        settings.upsample_target,
        run.generator(f"plan/{task}/{settings.upsample_target}"),
        versions=profile.versions,
        rotation=profile.rotation,
    )
    opts = options(run, settings, name=name, depth=depth)
    inputs = (profile.image_size, profile.crop, profile.weights, profile.dropout)
    key = training.training_key(
        settings.backbone, fit_on, plan, opts, run.cohort().content_hash, repr(inputs), engine_hash()
    )
    path = run.dir / "models" / f"{name}.safetensors"
    counts = _counts(fit_on, plan, validation)
    if (done := _load_trained(path, key, name, opts, counts)) is not None:
        return done
    network = begin(run, settings.backbone, fit_on, name=name)
    checkpoint = run.dir / "models" / f"{name}-{key}.checkpoint"
    fitted = training.fit(
        network,
        fit_on,
        plan,
        validation,
        opts,
        checkpoint=checkpoint,
        progress=run.progress(f"{name}, iterations"),
    )
    probability = training.predict(network, fit_on, opts, batch=profile.prediction_batch)
    train_accuracy = float((probability.argmax(1) == fit_on.labels).mean())
    with atomic_path(path.with_suffix(".history.csv")) as temporary:
        fitted.history.to_csv(temporary, index=False)
    training.save_network(
        network,
        path,
        {
            "key": key,
            "crop": profile.crop,
            "train_accuracy": train_accuracy,
            "validation_accuracy": fitted.validation_accuracy,
            "seconds": fitted.seconds,
            "notes": fitted.notes,
            "threshold": profile.threshold,
        },
    )
    checkpoint.unlink(missing_ok=True)
    return Trained(
        name,
        network,
        opts,
        fitted.history,
        counts,
        train_accuracy,
        fitted.validation_accuracy,
        fitted.seconds,
        fitted.notes,
    )


def validation_values(*modules: Trained | Unavailable) -> list[Value]:
    """Validation accuracy in % of the modules beside section 3.2's; a module that could not be trained is left out."""
    return [Value.of(f"text.{m.name}.validation_accuracy", 100 * m.validation_accuracy) for m in modules if m]


def lacks(run: Run, task: str) -> str:
    """Which classes of a task the cohort's training split lacks, in words."""
    mapping, classes = TASKS[task]
    manifest = run.cohort().manifest
    there = set(manifest.loc[manifest["split"].eq("train"), "cell_type"].map(mapping).dropna())
    have = ", ".join(LABELS[c] for c in classes if c in there) or "none of its classes"
    absent = ", ".join(LABELS[c] for c in classes if c not in there) or "nothing"
    return f"two classes are needed; the cohort's training split has {have} and lacks {absent}"


def engine_hash() -> str:
    """SHA-256 of the code that decides what a training gives, so that a changed engine trains again."""
    folder = Path(__file__).parent
    return sha256(
        *(
            folder / f"{module}.py"
            for module in ("augment", "backbones", "frozen", "images", "timm_backbones", "training")
        )
    )


def validation_rows(run: Run, task: str) -> np.ndarray:
    """Manifest rows of the training split that `train` keeps for validation; empty where the task cannot be trained."""
    if not len(planned(run, task)):
        return np.empty(0, np.int64)
    everything = labelled(run, task)
    rng = run.generator(f"validation/{task}")
    return everything.rows[training.split_validation(everything.labels, run.profile.validation_fraction, rng)[1]]


def planned(run: Run, task: str) -> pd.DataFrame:
    """Images of each class in train and validation, as `train` will split them; needs no pixel.

    Empty when the task has fewer than two classes in the training split.
    """
    mapping, known = TASKS[task]
    manifest = run.cohort().manifest
    own = manifest[manifest["split"].eq("train") & manifest["cell_type"].isin(mapping)]["cell_type"].map(mapping)
    classes = [name for name in known if name in set(own)]
    if len(classes) < 2:
        return pd.DataFrame(columns=["train", "validation"])
    labels = own.map({name: i for i, name in enumerate(classes)}).to_numpy(np.int64)
    rng = run.generator(f"validation/{task}")
    parts = training.split_validation(labels, run.profile.validation_fraction, rng)
    sizes = [np.bincount(labels[part], minlength=len(classes)) for part in parts]
    return pd.DataFrame({"train": sizes[0], "validation": sizes[1]}, index=classes)


def _counts(fit_on: Images, plan: augment.Plan, validation: Images) -> pd.DataFrame:
    size = len(fit_on.classes)
    return pd.DataFrame(
        {
            "train": np.bincount(fit_on.labels, minlength=size),
            "train_balanced": np.bincount(fit_on.labels[plan.source], minlength=size),
            "validation": np.bincount(validation.labels, minlength=size),
        },
        index=pd.Index([LABELS[name] for name in fit_on.classes], name="class"),
    ).rename(columns={"train_balanced": "train, balanced"})


def _load_trained(path: Path, key: str, name: str, opts: Options, counts: pd.DataFrame) -> Trained | None:
    description = path.with_suffix(".json")
    if not (path.is_file() and description.is_file()):
        return None
    if json.loads(description.read_text(encoding="utf-8")).get("key") != key:
        return None
    network, saved = training.load_network(path)
    history = pd.read_csv(path.with_suffix(".history.csv"))
    return Trained(
        name, network, opts, history, counts,
        saved["train_accuracy"], saved["validation_accuracy"], saved["seconds"], saved["notes"],
    )  # fmt: skip


def predict_cells(
    run: Run, module_1: Trained, module_2: Trained | Unavailable, *, split: str | None = None
) -> pd.DataFrame:
    """Class probabilities of every image, by both modules.

    Returns the manifest's rows with `p1_<class>` for MODULE_1_CLASSES and `p2_<class>` for MODULE_2_CLASSES, in
    [0, 1]; classes that a module was not trained on have 0, and p2 is absent without module 2. Cells without a label
    are predicted too. `selected` is True for cells that the pathologist would give to the system (all, unless the
    cohort says which are immature) and whose smear is known; `validation` for the training split's cells that module 1
    was not fitted on.
    """
    manifest = run.cohort().manifest
    chosen = manifest["cell_type"].isin([*TO_MODULE_1, ""])
    if split:
        chosen &= manifest["split"].eq(split)
    rows = np.flatnonzero(chosen.to_numpy())
    pixels = run.pixels()
    cells = manifest.iloc[rows].reset_index(drop=True)
    held = validation_rows(run, "module_1")
    cells["validation"] = np.isin(rows, held)
    cells["selected"] = cells["immature"].astype(bool) if "immature" in cells else True
    if "smear_known" in cells:
        cells["selected"] &= cells["smear_known"]
    unlabelled = Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())
    for prefix, trained, classes in (("p1", module_1, MODULE_1_CLASSES), ("p2", module_2, MODULE_2_CLASSES)):
        if not trained:
            continue
        probability = training.predict(
            trained.network, unlabelled, trained.options,
            batch=run.profile.prediction_batch, progress=run.progress(f"{trained.name}, cells classified"),
        )  # fmt: skip
        columns = dict(zip(trained.network.classes, probability.T, strict=True))
        for name in classes:
            cells[f"{prefix}_{name}"] = columns.get(name, np.zeros(len(rows), np.float32))
    return cells


def augmentation_check(run: Run, trained: Trained, task: str) -> pd.DataFrame:
    """Does being turned tell a class? Sensitivity on validation cells untouched and turned by 30 degrees, in %.

    One row a class: module, class, cells, untouched, turned. The balancing plan turns pictures of the rarer classes
    only: a network that learnt this finds them better when turned, and the commoner ones worse.
    """
    validation = fitted_part(run, task)[1]
    device = torch.device(trained.options.device)
    network = trained.network.to(device).eval()
    told: dict[str, list[np.ndarray]] = {"untouched": [], "turned": []}
    with torch.inference_mode():
        for first in range(0, len(validation), run.profile.prediction_batch):
            index = np.arange(first, min(first + run.profile.prediction_batch, len(validation)))
            images = validation.batch(index, device)
            for name, given in (("untouched", images), ("turned", augment.rotate(images, np.full(len(index), 30.0)))):
                told[name].append(network(network.preprocessing(given)).argmax(1).cpu().numpy())
    rows = []
    for k, name in enumerate(validation.classes):
        own = validation.labels == k
        shares = {which: 100 * float((np.concatenate(parts)[own] == k).mean()) for which, parts in told.items()}
        rows.append({"module": task[-1], "class": LABELS[name], "cells": int(own.sum()), **shares})
    return pd.DataFrame(rows)


def save_cells(run: Run, cells: pd.DataFrame) -> Path:
    """Write the cells' probabilities to <run>/predictions/cells.parquet."""
    path = run.dir / "predictions" / "cells.parquet"
    with atomic_path(path) as temporary:
        cells.to_parquet(temporary, index=False)
    return path


def load_cells(run: Run) -> pd.DataFrame:
    """What `save_cells` wrote.

    Raises
    ------
    MissingArtefact
        notebook 03 has not run.
    """
    return pd.read_parquet(run.need("predictions/cells.parquet", "03_alnet_training"))


def show(run: Run, name: str, *, threshold: float | None = None) -> Figure:
    """A smear as a contact sheet with its verdict, or one cell with its probabilities; see `browse.show`."""
    from alnet_lib import browse

    return browse.show(run, name, threshold=threshold)
