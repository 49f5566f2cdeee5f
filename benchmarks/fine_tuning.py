"""A fine-tuned network under several seeds: `python benchmarks/fine_tuning.py --data DIR --run RUN --seeds 1 2`.

APL against AML by patient, with the protocol of notebook 05 and the deal into folds that a run has: in each fold the
network of the profile is fine-tuned on the cells of the other folds' patients, and once on all but the external ones. A
seed changes the draws of the training alone. For each seed the AUC over patients, folds pooled, with its interval; the
AUC of each fold; that on external patients; and the same for the mean of the seeds' log-odds. What is trained is kept
in `--work`, so that a killed measurement goes on; what a finished run has trained need not be trained again.
Writes benchmarks/results/fine_tuning.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import starts
import torch
from sklearn.metrics import roc_auc_score

from alnet_lib.cohorts import building
from alnet_lib.core.files import plain, write_json
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.experiments.transfer import embeddings, patients
from alnet_lib.experiments.transfer.fine_tuning import CLASSES, FineTuned
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.statistics.auc import auc
from alnet_lib.training.data import Images

RESULTS = Path(__file__).parent / "results" / "fine_tuning.json"


def silent(*_: object, **__: object) -> Any:
    """No progress line."""
    return lambda *_: None


class ImmatureAlone(FineTuned):
    """No other cell type teaches."""

    def images(self, fold: patients.Fold) -> Images:
        """Those of the immature cells."""
        images = super().images(fold)
        return replace(images.take(images.labels < len(CLASSES)), classes=CLASSES)


def by_patient(cells: pd.DataFrame, log_odds: np.ndarray, fold: patients.Fold) -> pd.DataFrame:
    """Mean log-odds of each patient that a fold judges."""
    judged = cells[fold.judged].assign(score=log_odds[fold.judged], fold=fold.name)
    how = {"apl": "first", "score": "mean", "fold": "first"}
    return judged.groupby("patient_id", sort=True).agg(how).reset_index()


def area(people: pd.DataFrame) -> dict[str, Any]:
    """AUC over patients, with its interval."""
    rows = people.assign(smear_id=people["patient_id"])
    return starts.ends(auc(people["apl"].astype(bool), people["score"], rows))


def of_run(run: Path, cells: pd.DataFrame, folds: list[patients.Fold]) -> dict[str, pd.DataFrame]:
    """What a finished run has fine-tuned; a picture that it left out, since it is there twice, has no score."""
    files = {fold.name: pd.read_parquet(run / "transfer" / f"{fold.name}.parquet") for fold in folds}
    odds = {name: file.set_index("image_id")["log_odds"].reindex(cells["image_id"]) for name, file in files.items()}
    return {fold.name: by_patient(cells, odds[fold.name].to_numpy(float), fold) for fold in folds}


def summary(scored: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """One seed, or the mean of all: pooled, by fold, external."""
    folds = [people for name, people in scored.items() if name != "discovery"]
    areas = [float(roc_auc_score(people["apl"].astype(bool), people["score"])) for people in folds]
    found = {
        "cross-validated": area(pd.concat(folds, ignore_index=True)),
        "folds": areas,
        "mean of folds": float(np.mean(areas)),
        "SD of folds": float(np.std(areas, ddof=1)),
    }
    return found | ({"external": area(scored["discovery"])} if "discovery" in scored else {})


def main(data: str, cohort: str, seeds: list[int], runs: list[Path], work: Path, out: Path, immature: bool) -> None:
    """Fine-tune under each seed, take what runs have fine-tuned, judge, write the results."""
    torch.set_num_threads(1)
    profile = Profile.load("quick", cohort)
    settings = profile.transfer and profile.transfer.fine_tuned
    if not settings:
        raise SystemExit(f"the profile `quick` fine-tunes nothing on {cohort}")
    found = building.read(cohort, data, seed=profile.seed)
    cells = patients.voting(found.manifest)
    deals = patients.deal(cells, profile, folds=profile.transfer.folds, repeats=profile.transfer.repeats)
    if isinstance(deals, Unavailable):
        raise SystemExit(deals.reason)
    later = patients.discovery(cells)
    folds = [fold for fold in deals if fold.repeat == 1] + ([later] if later else [])

    def images(size: int, crop: float) -> CellImages:
        pixels = pixel_array(
            found.files, found.crops, size, crop=crop, cache=work / "pixels", content_hash=found.content_hash,
            allow_truncated=profile.allow_truncated,
        )  # fmt: skip
        return CellImages(found.manifest, pixels, found.content_hash)

    nothing = CellImages(found.manifest, np.empty((len(found.manifest), 0, 0, 3), np.uint8), found.content_hash)
    kind, suffix = (ImmatureAlone, "-immature") if immature else (FineTuned, "")
    scored, spent = dict[int, dict[str, pd.DataFrame]](), dict[str, float]()
    for run in runs:
        seed = json.loads((run / "results.json").read_text(encoding="utf-8"))["provenance"]["seed"]
        scored[seed] = of_run(run, cells, folds)
    for seed in seeds:
        folder = work / f"seed-{seed}{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        own = profile.model_copy(update={"seed": seed})
        seen = embeddings.seen(Setup(nothing, own, folder, "cpu", silent), images)
        tuned, began = kind(seen, cells, settings), time.process_time()
        scored[seed] = {fold.name: by_patient(cells, tuned(fold)["fine_tuned"], fold) for fold in folds}
        spent[str(seed)] = round(time.process_time() - began, 1)
    mean = {
        name: people.assign(score=np.mean([one[name]["score"] for one in scored.values()], axis=0))
        for name, people in next(iter(scored.values())).items()
    }
    about = {
        "date": date.today().isoformat(), "system": platform.system(), "torch": torch.__version__, "cohort": cohort,
        "network": settings.backbone, "start": profile.start_of(settings.backbone), "iterations": settings.iterations,
        "other cell types teach": not immature, "image size": profile.transfer.image_size, "cells": len(cells),
        "patients": int(cells["patient_id"].nunique()), "processor seconds of training, where it was not kept": spent,
    }  # fmt: skip
    judged = {str(seed): summary(one) for seed, one in scored.items()}
    write_json(out, plain(about | {"seeds": judged, "mean of the seeds' log-odds": summary(mean)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the cohort's original download")
    parser.add_argument("--cohort", default="jhu_apl")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument(
        "--run", type=Path, nargs="*", default=[], help="finished runs: what they have fine-tuned counts"
    )
    parser.add_argument("--immature", action="store_true", help="the other cell types do not teach")
    parser.add_argument("--work", type=Path, default=Path("runs") / "fine_tuning", help="where trainings are kept")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    main(given.data, given.cohort, given.seeds, given.run, given.work, given.out, given.immature)
