"""What the networks of a run have to do: every training and prediction, with its numbers of images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import CELL_GROUPS, TO_MODULE_1
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, SIX_CLASSES, ModuleSpec
from alnet_lib.evaluation.explanation import attribution, feature_maps
from alnet_lib.experiments import ablations, backbone_comparison, cross_fitting, datasets
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.experiments.transfer import patients
from alnet_lib.networks.starts.start import RANDOM
from alnet_lib.paper.items import NOTEBOOKS
from alnet_lib.workflow.plan.counting import BACKWARD, Counts
from alnet_lib.workflow.steps import COMPARISON, EXTERNAL, TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from alnet_lib.core.profile import Profile, Training, Transfer

MAPS = NOTEBOOKS[5]

BLOCKS = 5

TURNS = 4
"""Predictions of a cell by a network fine-tuned for the transfer: one a quarter turn."""


@dataclass(frozen=True)
class Work:
    """One training, or predictions by one network.

    Attributes
    ----------
    step : str
        Notebook, or `comparison/<network>-<evaluation>` where that is a job of its own.
    what : str
        In words.
    network : str
        Name of the architecture.
    size : int
        Pixels a side.
    iterations, batch : int
        Of a training; 0 iterations for predictions alone.
    blocks : int
        Last blocks that train.
    fitted : int
        Images that it is fitted on.
    mapped : int
        Entries whose maps after the frozen blocks are made once and kept.
    of_blocks : int
        Blocks that they pass from the maps that are there already.
    predicted : int
        Images that are predicted.
    explained : int
        Images that pass forward and backward in 32 bits, and no weight is learnt.
    saves : bool
        The trained network stays on disk.
    renewing : int
        Batches at the end that batch normalisation takes its statistics from.
    """

    step: str
    what: str
    network: str
    size: int
    iterations: int = 0
    batch: int = 0
    blocks: int = BLOCKS
    fitted: int = 0
    mapped: int = 0
    of_blocks: int = 0
    predicted: int = 0
    explained: int = 0
    saves: bool = False
    renewing: int = 0

    def frozen(self, counts: Counts) -> int:
        """Blocks that do not train; none of a transformer, whose whole is one block here."""
        return max(len(counts.flops) - 1 - self.blocks, 0)

    def training_flops(self, counts: Counts) -> float:
        """Operations of the training: frozen blocks forward unless their maps are kept, the others back as well."""
        frozen = self.frozen(counts)
        once = 0.0 if self.mapped else sum(counts.flops[:frozen])
        tail = sum(counts.flops[frozen:])
        renewing = min(self.renewing, self.iterations)
        return self.batch * (self.iterations * (once + (1 + BACKWARD) * tail) + renewing * (once + tail))

    def prediction_flops(self, counts: Counts) -> float:
        """Operations of predictions, and of the maps that are kept."""
        frozen = self.frozen(counts)
        return self.predicted * sum(counts.flops) + self.mapped * sum(counts.flops[frozen - self.of_blocks : frozen])

    def explanation_flops(self, counts: Counts) -> float:
        """Operations in 32 bits; the gradient of the weights is not needed."""
        return 2 * self.explained * sum(counts.flops)


def of_run(profile: Profile, manifest: pd.DataFrame) -> list[Work]:
    """List what the networks of a run do.

    Parameters
    ----------
    profile : Profile
        Every number of the protocol.
    manifest : DataFrame
        The cohort's, one row an image.
    """
    nothing = CellImages(manifest, np.empty((len(manifest), 0, 0, 3), np.uint8))
    setup = Setup(nothing, profile, Path())
    return [*_comparison(setup), *_modules(setup), *_external(setup), *_maps(setup)]


def _comparison(setup: Setup) -> Iterator[Work]:
    profile, asked = setup.profile, setup.profile.comparison
    if not backbone_comparison.possible(setup.data.manifest):
        return
    size = profile.image_size
    # Folds are alike in size.
    first = {name: "fold-1" if name.startswith("fold-") else name for name in asked.evaluations}
    split = {name: backbone_comparison.split(setup, name) for name in dict.fromkeys(first.values())}
    parts = {evaluation: split[name] for evaluation, name in first.items()}
    trainings = backbone_comparison.trainings(asked)
    for backbone, evaluation in product(asked.backbones, asked.evaluations):
        step = f"comparison/{backbone}-{evaluation}" if asked.units else COMPARISON
        fit_on, validation, test = parts[evaluation]
        settings = asked.training(backbone, evaluation)
        entries = min(_entries(profile, fit_on.labels, settings), settings.iterations * settings.batch_size)
        frozen = 0
        for blocks in sorted(
            (n for name, under, n in trainings if (name, under) == (backbone, evaluation)), reverse=True
        ):
            now = BLOCKS - blocks
            judged = len(validation)
            if evaluation != "hold-out-by-patient" and (blocks == BLOCKS or evaluation != "hold-out"):
                judged += len(test)
            yield Work(
                step, f"{evaluation}, last {blocks} blocks", backbone, size, settings.iterations, settings.batch_size,
                blocks, len(fit_on), mapped=entries if now else 0, of_blocks=now - frozen, predicted=judged,
                renewing=profile.renewing_batches,
            )  # fmt: skip
            frozen = now
    if asked.range_test:
        backbone = asked.backbones[0]
        fitted = len(parts[asked.evaluations[0]][0])
        yield Work(COMPARISON, "range test", backbone, size, asked.range_test, asked.batch_size, fitted=fitted)
    if profile.transfer:
        cells = int(setup.data.manifest["cell_type"].isin(SIX_CLASSES.mapping).sum())
        yield from _embeddings(COMPARISON, profile.transfer, cells)


def _entries(profile: Profile, labels: np.ndarray, settings: Training) -> int:
    """Entries of the balancing plan (`imaging.augmentation.balancing_plan`)."""
    sizes = np.bincount(labels)
    reachable = np.minimum(sizes * (1 + profile.augmentations_per_image), settings.upsample_target)
    return int(np.maximum(sizes, reachable).sum())


def _embeddings(step: str, transfer: Transfer, pictures: int) -> Iterator[Work]:
    for start in transfer.starts:
        yield Work(step, "embeddings", start.network, transfer.image_size, predicted=pictures)


def _modules(setup: Setup) -> Iterator[Work]:
    profile, manifest = setup.profile, setup.data.manifest
    shallow = profile.module_2.model_copy(update={"backbone": profile.table_5_backbone})
    cells = int(manifest["cell_type"].isin([*TO_MODULE_1, ""]).sum())
    asked = [(MODULE_1, profile.module_1, "module 1"), (MODULES[1], profile.module_2, "module 2")]
    for spec, settings, what in [*asked, (MODULES[1], shallow, "Table 5")]:
        if isinstance(datasets.planned(manifest, spec, profile), Unavailable):
            continue
        fit_on, validation = datasets.fit_and_validation(setup.data, spec, profile)
        seen = len(fit_on) + len(validation)
        # Validation cells are predicted twice more, as they are and turned, and every cell of the cohort once.
        seen += len(validation) if what == "Table 5" else 2 * len(validation) + cells
        yield _trained(TRAINING, what, profile, settings, len(fit_on), predicted=seen, saves=True)
    if profile.cross_fitting is None or isinstance(
        fold_of := cross_fitting.folds(manifest, profile, profile.cross_fitting.folds), Unavailable
    ):
        return
    folds, training = int(fold_of.max()), manifest["split"].eq("train")
    for spec, settings in zip(MODULES, (profile.cross_fitting.module_1, profile.cross_fitting.module_2), strict=True):
        fitted = len(datasets.labelled(setup.data, spec)) * (folds - 1) // folds
        for fold in range(1, folds + 1):
            what = f"{spec.title.lower()} without fold {fold}"
            yield _trained(TRAINING, what, profile, settings, fitted, predicted=int(training.sum()) // folds)


def _trained(
    step: str, what: str, profile: Profile, settings: Training, fitted: int, *, predicted: int, saves: bool = False
) -> Work:
    return Work(
        step, what, settings.backbone, profile.image_size, settings.iterations, settings.batch_size, fitted=fitted,
        predicted=predicted, saves=saves, renewing=profile.renewing_batches,
    )  # fmt: skip


def _external(setup: Setup) -> Iterator[Work]:
    profile, manifest = setup.profile, setup.data.manifest
    if settings := profile.ablations:
        variants = ablations.variants(manifest, pretrained=profile.start_of(settings.backbone) != RANDOM)
        judged = int(manifest["split"].isin(["test", "external"]).sum())
        sizes = [(spec, _fitted(setup, spec)) for spec in MODULES] if len(variants) > 1 else []
        for variant, seed, (spec, fitted) in product(variants, range(profile.ablation_seeds), sizes):
            what = f"{variant.name}, {seed + 1}, {spec.title.lower()}"
            if fitted:
                yield _trained(EXTERNAL, what, profile, settings, fitted, predicted=judged)
    if transfer := profile.transfer:
        cells = patients.voting(manifest)
        deals = patients.deal(cells, profile, folds=transfer.folds, repeats=1)
        if isinstance(deals, Unavailable):
            return
        yield from _embeddings(EXTERNAL, transfer, transfer.turns * len(cells))
        if not (tuned := transfer.fine_tuned):
            return
        later = patients.discovery(cells)
        resized = profile.model_copy(update={"image_size": transfer.image_size})
        for fold in ([later] if later else []) + deals:
            fitted = len(manifest) - int(fold.judged.sum())
            what = f"APL against AML, {fold.name}"
            yield _trained(EXTERNAL, what, resized, tuned, fitted, predicted=TURNS * len(cells))


def _fitted(setup: Setup, spec: ModuleSpec) -> int:
    images = datasets.labelled(setup.data, spec)
    return len(images) if len(images.classes) >= 2 else 0


def _maps(setup: Setup) -> Iterator[Work]:
    """Feature maps of both networks; attribution by both methods, and their check at every step of its cascade."""
    profile, manifest = setup.profile, setup.data.manifest
    limit = max(profile.feature_map_cells // 4, 2)
    testing = manifest[manifest["split"].eq("test")]
    passes = 1 + attribution.STEPS
    steps = 2 + BLOCKS  # The intact network, the head, and each block.
    for spec, settings in zip(MODULES, (profile.module_1, profile.module_2), strict=True):
        own = spec.labelled(testing)
        sizes = spec.reference(own).value_counts().clip(upper=limit)
        most = profile.feature_map_cells if profile.rehearsal else attribution.CHECKED_CELLS
        checked = min(int(sizes.sum()), most)
        explained = int(sizes.sum()) * passes + checked * passes * steps
        yield Work(
            MAPS, f"attribution, {spec.title.lower()}", settings.backbone, profile.image_size, batch=attribution.BATCH,
            explained=explained,
        )  # fmt: skip
    groups = min(len(CELL_GROUPS), manifest["cell_type"].nunique())
    cells = 2 * groups * profile.feature_map_cells
    # A forward pass is half of what is counted for a picture that is explained.
    network = profile.module_1.backbone
    yield Work(MAPS, "feature maps", network, profile.image_size, batch=feature_maps.BATCH, explained=cells // 2)
