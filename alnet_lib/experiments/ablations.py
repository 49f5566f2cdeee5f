"""Ablations: what leakage between patients is worth, and what helps at other hospitals; the paper leaves both open.

The same two modules trained again under one change each, everything else alike, with the profile's `ablations` settings
(a smaller network in `quick`, the paper's in `paper`):

- `patient split`: patients instead of smears are on one side, so that nothing of a testing patient was seen;
- `stain augmentation`: strength of the stain varied at random in training;
- `stain normalisation`: each smear's colours brought to those of training smears (Reinhard et al. 2001, torchstain), in
  training and in testing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alnet_lib.cohorts.splitting import by_patient
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Training
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, ModuleSpec
from alnet_lib.experiments.datasets import labelled
from alnet_lib.experiments.preparation import Setup, begin, options
from alnet_lib.imaging import augmentation
from alnet_lib.networks.network import Network
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics.bootstrap import paired_difference
from alnet_lib.training import fitting, inference
from alnet_lib.training.data import Images
from alnet_lib.training.options import Options


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
    """

    name: str
    split_by_patient: bool = False
    jitter: float = 0.0
    normalise: bool = False


PLAIN = Variant("plain")
LEAKAGE = Variant("patient split", split_by_patient=True)
TRANSFER = (Variant("stain augmentation", jitter=0.25), Variant("stain normalisation", normalise=True))

MEASURES = {
    "module_1": "module 1, accuracy of cells",
    "module_2": "module 2, accuracy of cells",
    "verdict": "accuracy of smears' verdicts",
}
"""Measure -> its name in the table."""


def variants(manifest: pd.DataFrame) -> list[Variant]:
    """The variants that a cohort can tell apart: leakage needs patients on both sides, transfer external cells."""
    home = manifest[manifest["split"].isin(["train", "test"])]
    outside = manifest[manifest["split"].eq("external")]
    leaks = home.groupby("patient_id")["split"].nunique().gt(1).any()
    transfers = len(MODULE_1.labelled(outside)) > 0
    return [PLAIN, *([LEAKAGE] if leaks else []), *(TRANSFER if transfers else [])]


def normalised(pixels: np.ndarray, manifest: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
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

    Returns
    -------
    ndarray
        As `pixels`.
    """
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    normaliser = NumpyReinhardNormalizer()
    train = np.flatnonzero(manifest["split"].eq("train"))
    normaliser.fit(_mosaic(pixels[np.sort(rng.permutation(train)[:100])]))
    out = np.empty_like(pixels)
    for rows in manifest.groupby("smear_id", sort=True).indices.values():
        own = pixels[rows]
        out[rows] = np.clip(normaliser.normalize(_mosaic(own)), 0, 255).astype(np.uint8).reshape(own.shape)
    return out


def _mosaic(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pictures).reshape(-1, *pictures.shape[2:])


def cells_of(setup: Setup, variant: Variant, settings: Training) -> pd.DataFrame | Unavailable:
    """Testing and external cells with both modules' probabilities, after training both under a variant.

    Parameters
    ----------
    setup : Setup
        Images, profile, device.
    variant : Variant
        The change.
    settings : Training
        Of both modules.

    Returns
    -------
    DataFrame or Unavailable
        Rows of the manifest with `eligible` and each module's probabilities (none of a module that cannot be trained).
        Unavailable where module 1 cannot be trained.
    """
    data, profile = setup.data, setup.profile
    if variant.split_by_patient:
        data = data.with_manifest(by_patient(data.manifest, profile.generator("study/split")))
    if variant.normalise:
        pixels = normalised(np.asarray(data.pixels), data.manifest, profile.generator("study/stain"))
        data = replace(data, pixels=pixels)
    manifest = data.manifest
    asked = manifest["split"].isin(["test", "external"]) & manifest["cell_type"].isin(MODULE_1.mapping)
    rows = np.flatnonzero(asked)
    cells = manifest.iloc[rows].reset_index(drop=True)
    cells["eligible"] = eligible(cells)
    for spec in MODULES:
        fit_on = labelled(data, spec)
        if len(fit_on.classes) >= 2:
            network, opts = _fit(setup, variant, spec, fit_on, settings)
            found = inference.class_probabilities(
                network, data.pixels, rows, opts, spec.classes, batch=profile.prediction_batch
            )
            cells[spec.columns] = found.to_numpy()
    return cells if MODULE_1.columns[0] in cells else Unavailable(MODULE_1.lacking(manifest))


def _fit(
    setup: Setup, variant: Variant, spec: ModuleSpec, fit_on: Images, settings: Training
) -> tuple[Network, Options]:
    profile, name = setup.profile, f"study/{spec.name}"
    plan = augmentation.balancing_plan(
        fit_on.labels, settings.upsample_target, profile.generator(f"study/plan/{spec.name}"),
        augmentations_per_image=profile.augmentations_per_image, rotation=profile.rotation,
    )  # fmt: skip
    opts = replace(options(setup, settings, name=name), colour_jitter=variant.jitter)
    network = begin(profile, settings.backbone, fit_on, name=name)
    line = setup.progress(f"{variant.name}, {spec.title.lower()}, iterations")
    fitting.fit(network, fit_on, plan, fit_on.take(np.zeros(len(fit_on), bool)), opts, progress=line)
    return network, opts


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
        For each of `MEASURES` that the cells allow, one row a cell or smear: patient_id, correct (bool).
    """
    found = {}
    for spec in MODULES:
        own = spec.labelled(cells)
        if len(own) and spec.predicts(own):
            found[spec.name] = own[["patient_id"]].assign(correct=spec.predicted(own).eq(spec.reference(own)))
    voting = cells[cells["eligible"]]
    if len(voting):
        votes = aggregation.vote(voting, aggregation.MajorityAboveThreshold(threshold))
        found["verdict"] = votes[["patient_id"]].assign(correct=votes["verdict"].eq(votes["expected"]))
    return found


def run_all(setup: Setup) -> Result | Unavailable:
    """Train every variant and compare it with `plain`.

    Leakage is measured on the testing split of either kind of split, transfer on external cells and smears.

    Parameters
    ----------
    setup : Setup
        Images, profile, device.

    Returns
    -------
    Result or Unavailable
        A row a variant and measure: variant, where (`test` or `external`), measure, n, plain, other, difference, low,
        high (in %, 95% interval of the difference over patients); with values `study.<variant>.<measure>.difference`
        in percentage points. Unavailable where the profile has no `ablations` or the cohort allows none.
    """
    profile, settings, chosen = setup.profile, setup.profile.ablations, variants(setup.data.manifest)
    if settings is None:
        return Unavailable("the profile sets no `ablations`")
    if len(chosen) < 2:
        return Unavailable("no patient is on both sides of the split and no labelled cell is from another site")
    judged = {}
    for variant in chosen:
        cells = cells_of(setup, variant, settings)
        if isinstance(cells, Unavailable):
            return cells
        judged[variant] = {s: correct(cells[cells["split"].eq(s)], profile.threshold) for s in ("test", "external")}
    rows, values = [], []
    for variant in chosen[1:]:
        split = "test" if variant.split_by_patient else "external"
        for measure, title in MEASURES.items():
            plain, other = (judged[v][split].get(measure) for v in (PLAIN, variant))
            if plain is None or other is None or not len(plain) or not len(other):
                continue
            found = paired_difference(
                plain, other, paired=not variant.split_by_patient, replicates=profile.bootstrap,
                rng=profile.generator(f"study/{variant.name}/{measure}"),
            )  # fmt: skip
            percent = {name: 100 * number for name, number in found.items()}
            rows.append({"variant": variant.name, "where": split, "measure": title, "n": len(other)} | percent)
            values.append(_value(variant, measure, percent))
    if not rows:
        return Unavailable("no testing or external cell has a reference label")
    return Result(pd.DataFrame(rows), tuple(values))


def _value(variant: Variant, measure: str, percent: dict[str, float]) -> Value:
    return Value(
        f"study.{variant.name.replace(' ', '_')}.{measure}.difference", "percentage points",
        reproduced=percent["difference"], ci_low=percent["low"], ci_high=percent["high"],
    )  # fmt: skip
