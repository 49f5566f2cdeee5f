"""What the paper leaves open, tried: what leakage between patients is worth, and what helps at other hospitals.

The same two modules trained again under one change each, everything else alike, with the profile's `study` settings (a
smaller network in `quick`, the paper's in `paper`):

- `patient split`: patients instead of smears are on one side, so that nothing of a testing patient was seen;
- `stain augmentation`: strength of the stain varied at random in training;
- `stain normalisation`: each smear's colours brought to those of training smears (Reinhard et al. 2001, torchstain), in
  training and in testing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alnet_lib import augment, training, vote
from alnet_lib.alnet import begin, labelled, options
from alnet_lib.cohorts.splitting import by_patient
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES, TO_MODULE_1, TO_MODULE_2
from alnet_lib.results import Value
from alnet_lib.run import Run
from alnet_lib.training import Images


@dataclass(frozen=True)
class Variant:
    """One change against `plain`. jitter: spread of the stain's strength in training."""

    name: str
    split_by_patient: bool = False
    jitter: float = 0.0
    normalise: bool = False


PLAIN = Variant("plain")
LEAKAGE = Variant("patient split", split_by_patient=True)
TRANSFER = (Variant("stain augmentation", jitter=0.25), Variant("stain normalisation", normalise=True))
MEASURES = {
    "module_1": "module 1, cells right",
    "module_2": "module 2, cells right",
    "verdict": "smears with the right verdict",
}


def variants(run: Run) -> list[Variant]:
    """The variants that this cohort can tell apart: leakage needs patients on both sides, transfer external blasts."""
    manifest = run.cohort().manifest
    home = manifest[manifest["split"].isin(["train", "test"])]
    outside = manifest[manifest["split"].eq("external")]
    leaks = home.groupby("patient_id")["split"].nunique().gt(1).any()
    transfers = outside["cell_type"].isin(TO_MODULE_1).any()
    return [PLAIN, *([LEAKAGE] if leaks else []), *(TRANSFER if transfers else [])]


def normalised(pixels: np.ndarray, manifest: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Pictures with each smear's mean and deviation of Lab brought to those of 100 training pictures: like `pixels`.

    By smear, since a cell's own colours are what tells it: normalising every picture by itself would take them away.
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


def cells_of(run: Run, variant: Variant) -> pd.DataFrame:
    """Testing and external cells with both modules' probabilities, after training both under a variant.

    Columns as `alnet.predict_cells`. Empty when module 1 cannot be trained.
    """
    manifest, pixels = run.cohort().manifest, run.pixels()
    if variant.split_by_patient:
        manifest = by_patient(manifest, run.generator("study/split"))
    if variant.normalise:
        pixels = normalised(np.asarray(pixels), manifest, run.generator("study/stain"))
    rows = np.flatnonzero(manifest["split"].isin(["test", "external"]) & manifest["cell_type"].isin(TO_MODULE_1))
    cells = manifest.iloc[rows].reset_index(drop=True)
    cells["selected"] = cells["immature"].astype(bool) if "immature" in cells else True
    if "smear_known" in cells:
        cells["selected"] &= cells["smear_known"]
    seen = Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())
    for task, prefix, names in (("module_1", "p1", MODULE_1_CLASSES), ("module_2", "p2", MODULE_2_CLASSES)):
        fit_on = labelled(run, task, manifest=manifest, pixels=pixels)
        if len(fit_on.classes) < 2:
            continue
        network, opts = _fit(run, variant, task, fit_on)
        probability = training.predict(network, seen, opts, batch=run.profile.prediction_batch)
        columns = dict(zip(network.classes, probability.T, strict=True))
        for name in names:
            cells[f"{prefix}_{name}"] = columns.get(name, np.zeros(len(rows), np.float32))
    return cells if "p1_blast" in cells else cells.iloc[:0]


def _fit(run: Run, variant: Variant, task: str, fit_on: Images):
    profile, settings = run.profile, run.profile.study
    plan = augment.balancing_plan(
        fit_on.labels, settings.upsample_target, run.generator(f"study/plan/{task}"),
        versions=profile.versions, rotation=profile.rotation,
    )  # fmt: skip
    opts = replace(options(run, settings, name=f"study/{task}"), colour_jitter=variant.jitter)
    network = begin(run, settings.backbone, fit_on, name=f"study/{task}")
    line = run.progress(f"{variant.name}, {task.replace('_', ' ')}, iterations")
    training.fit(network, fit_on, plan, fit_on.take(np.zeros(len(fit_on), bool)), opts, progress=line)
    return network, opts


def right(cells: pd.DataFrame, threshold: float) -> dict[str, pd.DataFrame]:
    """What each of MEASURES judges, one row a cell or smear: patient_id, diagnosis, right (bool)."""
    found = {}
    for measure, prefix, mapping, names in (
        ("module_1", "p1", TO_MODULE_1, MODULE_1_CLASSES),
        ("module_2", "p2", TO_MODULE_2, MODULE_2_CLASSES),
    ):
        own = cells[cells["cell_type"].isin(mapping)]
        if f"{prefix}_{names[0]}" in cells and len(own):
            told = vote.classify(own, prefix, names)
            found[measure] = own[["patient_id"]].assign(right=told.eq(own["cell_type"].map(mapping)))
    chosen = cells[cells["selected"]]
    if len(chosen):
        votes = vote.vote(chosen, threshold)
        found["verdict"] = votes[["patient_id"]].assign(right=votes["verdict"].eq(votes["expected"]))
    return found


def _draws(frame: pd.DataFrame, patients: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Share of right rows in each draw of patients; drawn: (replicates, patients), how often each is drawn."""
    code = pd.Categorical(frame["patient_id"], categories=patients).codes
    size = np.bincount(code, minlength=len(patients))
    good = np.bincount(code, weights=frame["right"].to_numpy(float), minlength=len(patients))
    with np.errstate(invalid="ignore"):
        return (drawn @ good) / (drawn @ size)


def compare(
    plain: pd.DataFrame, other: pd.DataFrame, *, paired: bool, replicates: int, rng: np.random.Generator
) -> dict[str, float]:
    """Shares right of both, their difference and its 95% percentile interval from draws of whole patients.

    plain, other: of `right`. paired: both judge the same patients, who are then drawn together; else each side draws
    its own. Keys: plain, other, difference, low, high, in [0, 1].
    """
    sides = []
    weights: dict[tuple[str, ...], np.ndarray] = {}
    for frame in (plain, other):
        patients = np.unique(
            np.concatenate([plain["patient_id"], other["patient_id"]]) if paired else frame["patient_id"]
        )
        key = tuple(patients) if paired else (*patients, str(len(sides)))
        if key not in weights:
            weights[key] = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=replicates)
        sides.append(_draws(frame, patients, weights[key]))
    low, high = np.nanpercentile(sides[1] - sides[0], [2.5, 97.5])
    first, second = plain["right"].mean(), other["right"].mean()
    return {"plain": first, "other": second, "difference": second - first, "low": float(low), "high": float(high)}


def run_all(run: Run) -> pd.DataFrame:
    """Every variant against `plain`: variant, where, measure, n, plain, other, difference, low, high (in %).

    Leakage is judged on the testing split of either kind of split, transfer on external cells and smears. Empty
    where the cohort tells nothing, or the profile has no `study`.
    """
    chosen = variants(run)
    if run.profile.study is None or len(chosen) < 2:
        return pd.DataFrame()
    threshold, rows = run.profile.threshold, []
    judged = {}
    for variant in chosen:
        cells = cells_of(run, variant)
        if not len(cells):
            return pd.DataFrame()
        judged[variant] = {s: right(cells[cells["split"].eq(s)], threshold) for s in ("test", "external")}
    for variant in chosen[1:]:
        split = "test" if variant.split_by_patient else "external"
        for measure, title in MEASURES.items():
            pair = [judged[v][split].get(measure) for v in (PLAIN, variant)]
            if any(part is None or not len(part) for part in pair):
                continue
            found = compare(
                *pair, paired=not variant.split_by_patient, replicates=run.profile.bootstrap,
                rng=run.generator(f"study/{variant.name}/{measure}"),
            )  # fmt: skip
            about = {"variant": variant.name, "where": split, "measure": title, "n": len(pair[1])}
            rows.append(about | {name: 100 * number for name, number in found.items()})
    return pd.DataFrame(rows)


def values(frame: pd.DataFrame) -> list[Value]:
    """Differences of `run_all` in percentage points, keys `study.<variant>.<measure>.difference`."""
    titles = {title: measure for measure, title in MEASURES.items()}
    return [
        Value(
            f"study.{row.variant.replace(' ', '_')}.{titles[row.measure]}.difference", "percentage points",
            reproduced=row.difference, ci_low=row.low, ci_high=row.high,
        )
        for row in frame.itertuples()
    ]  # fmt: skip


def sentences(frame: pd.DataFrame) -> list[str]:
    """What was found, one sentence a row; an interval around 0 is called no evidence of a difference."""
    return [
        f"{row.variant.capitalize()}, {row.measure} ({'testing' if row.where == 'test' else 'external'}): "
        f"{row.other:.1f}% against {row.plain:.1f}%, "
        f"difference {row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})"
        + ("." if row.low > 0 or row.high < 0 else ", no evidence of a difference.")
        for row in frame.itertuples()
    ]
