"""How much shared patients flatter an accuracy: `python benchmarks/leakage.py [--data JHU_FOLDER] [--seeds 5]`.

Cells of a patient are alike, and the paper splits by smear for testing and by image for validation. Four designs, each
with the small network of the profile's `ablations` on module 1's classes, trained from several seeds:

- `validation by image`, `validation by patient`: accuracy on validation images less that on patients held out;
- `testing by smear` (a patient may be on both sides; only where some patient has two smears), `testing by image` (a
  smear may be on both sides): accuracy on testing cells less that on patients held out.

Fitting and validation shares are the same everywhere, so every network is fitted on about as many images. The accuracy
on patients held out is that of the network fitted on images beside `validation by image`. Intervals leave out one
patient at a time, all seeds together, and take the trained networks as they are; the seeds (of split and training) are
shown beside them. On the synthetic cohort, and with `--data` on that of Johns Hopkins (one smear a patient). Writes
benchmarks/results/leakage.json and leakage.svg.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from alnet_lib.cohorts import building
from alnet_lib.cohorts.splitting import by_patient
from alnet_lib.core.files import write_json
from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import cores
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments.datasets import CellImages, labelled, split_by_patient
from alnet_lib.experiments.module_training import fitted
from alnet_lib.experiments.preparation import Setup
from alnet_lib.figures.style import OKABE_ITO, PAGE, DescribedFigure, new_figure, style
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.statistics import intervals
from alnet_lib.statistics.intervals import Interval
from alnet_lib.training import inference
from alnet_lib.training.data import Images, split_validation

DESIGNS = ("validation by image", "validation by patient", "testing by smear", "testing by image")
TITLES = {"synthetic": "synthetic cohort", "jhu_apl": "Johns Hopkins cohort"}
HELD_OUT = "patients held out"


def split_by(column: str, manifest: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Split training and testing again by patient_id, smear_id or image_id, as `by_patient` does."""
    units = manifest.assign(patient_id=manifest[column])
    return manifest.assign(split=by_patient(units, rng)["split"])


def judged(setup: Setup, fit_on: Images, asked: dict[str, Images], seed: int) -> pd.DataFrame:
    """Train one network and judge it on parts: part, patient_id, correct."""
    settings = setup.profile.ablations
    if settings is None:
        raise ValueError("the profile sets no `ablations`")
    network, options = fitted(setup, MODULE_1, fit_on, settings, name="leakage", seed=seed)
    found = []
    for part, images in asked.items():
        best = inference.predict(network, images, options, batch=setup.profile.prediction_batch).argmax(1)
        patients = setup.data.manifest["patient_id"].to_numpy()[images.rows]
        found.append(pd.DataFrame({"part": part, "patient_id": patients, "correct": best == images.labels}))
    return pd.concat(found)


def trained(setup: Setup, seed: int) -> pd.DataFrame:
    """Every design once: design, part (`flattered` or HELD_OUT), seed, patient_id, correct."""
    data, fraction = setup.data, setup.profile.validation_fraction

    def rng(purpose: str) -> np.random.Generator:
        return setup.profile.generator(f"leakage/{purpose}/{seed}")

    def divided(column: str) -> tuple[Images, Images]:
        own = data.with_manifest(split_by(column, data.manifest, rng(column)))
        train = labelled(own, MODULE_1)
        return train, labelled(own, MODULE_1, split="test", classes=train.classes)

    train, test = divided("patient_id")
    parts = {
        "validation by image": split_validation(train.labels, fraction, rng("validation")),
        "validation by patient": split_by_patient(train.labels, train.groups, fraction, rng("validation by patient")),
    }
    rows = []
    for design, (fit, held) in parts.items():
        found = judged(setup, train.take(fit), {"flattered": train.take(held), HELD_OUT: test}, seed)
        rows.append(found.assign(design=design))
    honest = rows[0][rows[0]["part"].eq(HELD_OUT)]
    for design, column in (("testing by smear", "smear_id"), ("testing by image", "image_id")):
        if column == "smear_id" and data.manifest.groupby("patient_id")["smear_id"].nunique().max() < 2:
            continue
        train, test = divided(column)
        fit, _ = split_validation(train.labels, fraction, rng(f"validation, {design}"))
        found = judged(setup, train.take(fit), {"flattered": test}, seed)
        rows.append(pd.concat([found, honest]).assign(design=design))
    return pd.concat(rows, ignore_index=True).assign(seed=seed)


def flattery(rows: pd.DataFrame) -> tuple[Interval, list[float]]:
    """Accuracy on the flattered part less that on patients held out: its mean over the seeds, and seed by seed.

    Parameters
    ----------
    rows : DataFrame
        Of one design: part, seed, patient_id, correct.

    Returns
    -------
    tuple
        Interval (jackknife over patients) and list, both shares in [-1, 1].
    """

    def by_seed(chosen: pd.DataFrame) -> pd.Series:
        share = chosen.groupby(["part", "seed"])["correct"].mean()
        return share["flattered"] - share[HELD_OUT]

    found = intervals.jackknife(rows, lambda chosen: float(by_seed(chosen).mean()), share=False)
    return found, [float(value) for value in by_seed(rows)]


def measured(rows: pd.DataFrame) -> dict[str, Any]:
    """Each design's flattery in percentage points, with the two accuracies in %."""
    found = {}
    for design in DESIGNS:
        own = rows[rows["design"].eq(design)]
        if not len(own):
            continue
        interval, seeds = flattery(own)
        accuracy = own.groupby(["seed", "part"])["correct"].mean().groupby("part").mean()
        found[design] = {
            "points": round(100 * interval.estimate, 2), "low": round(100 * interval.low, 2),
            "high": round(100 * interval.high, 2), "interval": interval.method, "patients": interval.n_patients,
            "seeds": [round(100 * value, 2) for value in seeds],
            "accuracy, %": round(100 * accuracy["flattered"], 2),
            f"accuracy on {HELD_OUT}, %": round(100 * accuracy[HELD_OUT], 2),
        }  # fmt: skip
    return found


def figure(results: dict[str, dict[str, Any]]) -> DescribedFigure:
    """One panel a cohort, one line a design: flattery with its interval, and a small dot a seed."""
    with style():
        drawn = new_figure(PAGE, 1.9)
        panels = np.atleast_1d(drawn.subplots(1, len(results), sharey=True, sharex=True))
        texts = []
        for axes, (name, found) in zip(panels, results.items(), strict=True):
            axes.axvline(0, color="0.8", lw=0.8, zorder=0)
            for line, design in enumerate(DESIGNS):
                if design not in found:
                    axes.text(0, line, " one smear a patient", va="center", color="0.4")
                    continue
                own = found[design]
                axes.plot([own["low"], own["high"]], [line, line], color=OKABE_ITO["blue"], lw=2)
                axes.plot(own["points"], line, "o", color=OKABE_ITO["blue"], ms=5)
                axes.plot(own["seeds"], [line + 0.25] * len(own["seeds"]), ".", color=OKABE_ITO["grey"], ms=3)
                texts.append(f"{name}, {design}: {own['points']:+.1f} ({own['low']:+.1f} to {own['high']:+.1f})")
            axes.set(title=TITLES.get(name, name), xlabel="accuracy less that on patients held out, percentage points")
            axes.set(yticks=range(len(DESIGNS)), yticklabels=DESIGNS, ylim=(len(DESIGNS) - 0.5, -0.5))
        drawn.alt = f"Flattery in percentage points with 95% intervals over patients. {'; '.join(texts)}."
    return drawn


def prepared(name: str, profile: Profile, data: str, folder: Path) -> Setup:
    """Draw or read a cohort and its pixels; external images and those of unknown smears are left out."""
    if name == "synthetic":
        cohort = building.build_for(profile, name, folder / name, data)
    else:
        cohort = building.read(name, data, seed=profile.seed)
    manifest = cohort.manifest
    kept = manifest["split"].isin(["train", "test"]) & manifest["cell_type"].isin(MODULE_1.mapping)
    if "smear_known" in manifest:
        kept &= manifest["smear_known"].astype(bool)
    cohort = replace(cohort, manifest=manifest[kept].reset_index(drop=True))
    pixels = pixel_array(
        cohort.files, cohort.crops, profile.image_size, crop=profile.crop, cache=folder / "pixels",
        content_hash=cohort.content_hash, allow_truncated=profile.allow_truncated,
    )  # fmt: skip
    silent: Callable[..., Any] = lambda *_: lambda *_: None  # noqa: E731
    return Setup(CellImages(cohort.manifest, pixels, cohort.content_hash), profile, folder, "cpu", silent)


def main() -> None:
    """Measure both cohorts, write leakage.json and leakage.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="folder of the jhu_apl cohort; without it the synthetic one only")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    results, settings = {}, {}
    for name in ("synthetic", *(["jhu_apl"] if given.data else [])):
        profile = Profile.load(given.profile, name)
        with tempfile.TemporaryDirectory() as folder:
            setup = prepared(name, profile, given.data if name != "synthetic" else "", Path(folder))
            found = []
            for seed in range(given.seeds):
                found.append(trained(setup, seed))
                print(f"{name}: {seed + 1} of {given.seeds} seeds", flush=True)
            results[name] = measured(pd.concat(found, ignore_index=True))
            settings[name] = {
                "images": len(setup.data.manifest),
                "patients": setup.data.manifest["patient_id"].nunique(),
            }
            settings[name] |= {"image size": profile.image_size, "network": profile.ablations.model_dump()}  # type: ignore[union-attr]
        print(pd.DataFrame(results[name]).T.to_string())
    given.out.mkdir(parents=True, exist_ok=True)
    about = {
        "date": date.today().isoformat(), "device": "cpu", "cores": cores(), "system": platform.system(),
        "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
        "profile": given.profile, "seeds": given.seeds, "cohorts": settings,
    }  # fmt: skip
    drawn = figure(results)
    write_json(given.out / "leakage.json", about | {"flattery, percentage points": results, "figure": drawn.alt})
    with style():
        drawn.savefig(given.out / "leakage.svg", format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
