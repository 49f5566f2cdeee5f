"""Ablations: what leakage between patients is worth, and what helps on external patients; the paper leaves both open.

The same two modules trained again under one change each, everything else alike, with the profile's `ablations` settings
(a smaller network in `quick`, the paper's in `paper`):

- `patient split`: patients instead of smears are on one side, so that nothing of a testing patient was seen;
- `stain augmentation`: strength of the stain varied at random in training;
- `random start`: nothing is transferred, where the profile's start is pretrained;
- `stain normalisation`: each smear's colours brought to those of training smears (Reinhard et al. 2001, torchstain), in
  training and in testing.

Each variant is trained `ablation_seeds` times. A difference has two uncertainties: over patients (the interval, of the
trainings' mean correctness) and over trainings (their spread).
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from alnet_lib.cohorts.splitting import by_patient
from alnet_lib.core.files import reserve
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES
from alnet_lib.experiments.datasets import labelled
from alnet_lib.experiments.module_training import fitted
from alnet_lib.networks.starts.start import RANDOM
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import intervals
from alnet_lib.training import inference

if TYPE_CHECKING:
    from alnet_lib.core.profile import Training
    from alnet_lib.experiments.preparation import Setup


@dataclass(frozen=True)
class Variant:
    """One change against `plain`.

    Attributes
    ----------
    name : str
        In the table.
    split_by_patient : bool
        No patient is on both sides of the split.
    jitter : float
        Spread of the stain's strength in training, in [0, 1).
    normalise : bool
        Each smear's colours are brought to those of training smears.
    start : str
        What the networks begin with; the profile's where empty.
    """

    name: str
    split_by_patient: bool = False
    jitter: float = 0.0
    normalise: bool = False
    start: str = ""


PLAIN = Variant("plain")
LEAKAGE = Variant("patient split", split_by_patient=True)
UNTAUGHT = Variant("random start", start=RANDOM)
STAINS = (Variant("stain augmentation", jitter=0.25), Variant("stain normalisation", normalise=True))

MEASURES = {
    "module_1": "module 1, accuracy of cells",
    "module_2": "module 2, accuracy of cells",
    "verdict": "accuracy of smears' verdicts",
}
"""Measure -> its name in the table."""

RESIDENT = 1_000_000_000
"""Bytes of normalised pictures up to which they are kept in memory."""

_ABOUT = ("patient_id", "smear_id", "n_cells", "smear_known", "site")


def variants(manifest: pd.DataFrame, *, pretrained: bool = False) -> list[Variant]:
    """The variants that a cohort can tell apart.

    Parameters
    ----------
    manifest : DataFrame
        The cohort's. Leakage needs patients on both sides of the split, stains need labelled external cells.
    pretrained : bool
        The plain networks have a pretrained start.

    Returns
    -------
    list of Variant
        `PLAIN` first.
    """
    home = manifest[manifest["split"].isin(["train", "test"])]
    outside = manifest[manifest["split"].eq("external")]
    leaks = home.groupby("patient_id")["split"].nunique().gt(1).any()
    transfers = len(MODULE_1.labelled(outside)) > 0
    return [PLAIN, *([UNTAUGHT] if pretrained else []), *([LEAKAGE] if leaks else []), *(STAINS if transfers else [])]


def normalised(
    pixels: np.ndarray, manifest: pd.DataFrame, rng: np.random.Generator, *, folder: Path | None = None
) -> np.ndarray:
    """Images with each smear's mean and deviation of Lab brought to those of 100 training images.

    By smear, since a cell's own colours are what tells it: normalising every image by itself would take them away.

    Parameters
    ----------
    pixels : ndarray
        uint8 (n, S, S, 3), RGB.
    manifest : DataFrame
        split and smear_id of each image.
    rng : Generator
        Chooses the training images.
    folder : Path, optional
        Where a file without a name holds the result while it is used, if it takes more than RESIDENT bytes.

    Returns
    -------
    ndarray
        As `pixels`.
    """
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    normaliser = NumpyReinhardNormalizer()
    train = np.flatnonzero(manifest["split"].eq("train"))
    normaliser.fit(_mosaic(pixels[np.sort(rng.permutation(train)[:100])]))
    out = np.empty(pixels.shape, np.uint8) if pixels.nbytes <= RESIDENT else _mapped(pixels.shape, folder)
    for rows in manifest.groupby("smear_id", sort=True).indices.values():
        own = pixels[rows]
        out[rows] = np.clip(normaliser.normalize(_mosaic(own)), 0, 255).astype(np.uint8).reshape(own.shape)
    return out


def _mapped(shape: tuple[int, ...], folder: Path | None) -> np.ndarray:
    # The system removes the file with its last user, also when that is killed.
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve(file.fileno(), math.prod(shape))
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _mosaic(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[2:])


def cells_of(setup: Setup, variant: Variant, settings: Training, seed: int = 0) -> pd.DataFrame | Unavailable:
    """Testing and external cells with both modules' probabilities, after training both under a variant.

    Parameters
    ----------
    setup : Setup
        Images, profile, device.
    variant : Variant
        The change.
    settings : Training
        Of both modules.
    seed : int
        0, 1, ...: the same trainings from other draws; the split by patient stays the same.

    Returns
    -------
    DataFrame or Unavailable
        Labelled and eligible rows of the manifest with `eligible` and each module's probabilities (none of a module
        that cannot be trained). Unavailable where module 1 cannot be trained.
    """
    data, profile = setup.data, setup.profile
    if variant.start:
        setup = replace(setup, profile=profile.model_copy(update={"start": variant.start}))
    if variant.split_by_patient:
        data = data.with_manifest(by_patient(data.manifest, profile.generator("study/split")))
    if variant.normalise:
        pixels = normalised(
            np.asarray(data.pixels), data.manifest, profile.generator("study/stain"), folder=setup.folder
        )
        data = replace(data, pixels=pixels)
    manifest = data.manifest
    counts = manifest["cell_type"].isin(MODULE_1.mapping) | eligible(manifest)
    rows = np.flatnonzero(manifest["split"].isin(["test", "external"]) & counts)
    cells = manifest.iloc[rows].reset_index(drop=True)
    cells["eligible"] = eligible(cells)
    for spec in MODULES:
        fit_on = labelled(data, spec)
        if len(fit_on.classes) >= 2:
            network, opts = fitted(
                setup, spec, fit_on, settings, name="study", jitter=variant.jitter, seed=seed, label=variant.name
            )
            found = inference.class_probabilities(
                network, data.pixels, rows, opts, spec.classes, batch=profile.prediction_batch
            )
            cells[spec.columns] = found.to_numpy()
    return cells if MODULE_1.columns[0] in cells else Unavailable(MODULE_1.lacking(manifest))


def correct(cells: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """Which cells and smears were predicted correctly, by measure.

    Parameters
    ----------
    cells : DataFrame
        Of `cells_of`.
    threshold : float
        Of the vote, in [0, 1).

    Returns
    -------
    dict of str to DataFrame
        For each of `MEASURES` that the cells allow, one row a cell or smear: correct (bool) and what
        `statistics.intervals` reads. Cells without a class and smears without a diagnosis are left out.
    """
    found = {}
    for spec in MODULES:
        own = spec.labelled(cells)
        if len(own) and spec.predicts(own):
            found[spec.name] = _about(own).assign(correct=spec.predicted(own).eq(spec.reference(own)))
    voting = cells[cells["eligible"]]
    if len(voting):
        votes = aggregation.vote(voting, aggregation.MajorityAboveThreshold(threshold))
        votes = votes[votes["expected"].fillna("").ne("")]  # Nothing judges a smear whose diagnosis is not known.
        if len(votes):
            found["verdict"] = _about(votes).assign(correct=votes["verdict"].eq(votes["expected"]))
    return found


def _about(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[name for name in _ABOUT if name in rows]]


def compared(plain: list[pd.DataFrame], other: list[pd.DataFrame], *, paired: bool) -> tuple[dict[str, Any], Value]:
    """Compare the trainings of a variant with those of `plain`.

    Parameters
    ----------
    plain, other : list of DataFrame
        For each seed `correct` (bool) of the same cells or smears, of `correct`.
    paired : bool
        Both were judged on the same rows.

    Returns
    -------
    dict
        `n` (rows of `other`), `plain`, `other`, `difference` (means over the seeds, in %), the columns of
        `Interval.columns` (of the difference of the seeds' mean correctness), `seeds`, `lowest`, `highest` (difference
        seed by seed, in percentage points).
    Value
        The difference, with a key to be set.
    """
    first, second = (np.mean([one["correct"].to_numpy(float) for one in many], axis=0) for many in (plain, other))
    found = intervals.difference(first, plain[0], second, None if paired else other[0])
    each = [100 * (b["correct"].mean() - a["correct"].mean()) for a, b in zip(plain, other, strict=True)]
    row = {
        "n": len(second), "plain": 100 * first.mean(), "other": 100 * second.mean(), "difference": 100 * found.estimate
    }  # fmt: skip
    row |= found.columns() | {"seeds": len(each), "lowest": min(each), "highest": max(each)}
    return row, Value.of("", found, "percentage points")


def run_all(setup: Setup) -> Result | Unavailable:
    """Train every variant, each with the profile's number of seeds, and compare it with `plain`.

    Leakage is measured on the testing split of either kind of split, the start on testing and external cells, stains on
    external ones.

    Parameters
    ----------
    setup : Setup
        Images, profile, device.

    Returns
    -------
    Result or Unavailable
        A row a variant and measure: `variant`, `where` (`test` or `external`), `measure`, and the columns of
        `compared`; with values `study.<variant>.<measure>.difference` in percentage points. Facts: `seeds`. Unavailable
        where the profile has no `ablations` or the cohort allows none.
    """
    profile, settings = setup.profile, setup.profile.ablations
    if settings is None:
        return Unavailable("the profile sets no `ablations`")
    chosen = variants(setup.data.manifest, pretrained=profile.start_of(settings.backbone) != RANDOM)
    if len(chosen) < 2:
        return Unavailable(
            "no patient is on both sides of the split, there is no labelled external cell, and the start is random"
        )
    judged: dict[tuple[Variant, str], list[dict[str, pd.DataFrame]]] = {}
    for variant in chosen:
        for seed in range(profile.ablation_seeds):
            cells = cells_of(setup, variant, settings, seed)
            if isinstance(cells, Unavailable):
                return cells
            for split in ("test", "external"):
                own = correct(cells[cells["split"].eq(split)], profile.threshold)
                judged.setdefault((variant, split), []).append(own)
    rows, values = [], []
    for variant in chosen[1:]:
        for split in _where(variant):
            plain, other = judged[PLAIN, split], judged[variant, split]
            where = "" if variant != UNTAUGHT else f".{split}"
            for measure, title in MEASURES.items():
                if not all(measure in one for one in (*plain, *other)):
                    continue
                pair = ([one[measure] for one in many] for many in (plain, other))
                row, value = compared(*pair, paired=not variant.split_by_patient)
                rows.append({"variant": variant.name, "where": split, "measure": title} | row)
                key = f"study.{variant.name.replace(' ', '_')}{where}.{measure}.difference"
                values.append(replace(value, key=key))
    if not rows:
        return Unavailable("no testing or external cell has a reference label")
    return Result(pd.DataFrame(rows), tuple(values), {"seeds": profile.ablation_seeds})


def _where(variant: Variant) -> tuple[str, ...]:
    if variant == UNTAUGHT:
        return ("test", "external")
    return ("test",) if variant.split_by_patient else ("external",)
