"""A fine-tuned network under several seeds: `python benchmarks/fine_tuning.py --data DIR --run RUN --seeds 1 2`.

APL against AML by patient, with the protocol of notebook 05 and the deal into folds that a run has: in each fold the
network of the profile is fine-tuned on the cells of the other folds' patients, and once on all but the external ones. A
seed changes the draws of the training alone. For each seed the AUC over patients, folds pooled, with its interval; the
mean over folds; that on external patients; and the same for the mean of the seeds' log-odds. `--immature 1` trains
under seed 1 on the immature cells alone as well, `--every 1` on all signed cells, those of types that ALNet does not
know too (neutrophils, erythroblasts ...); both give the difference on the same patients, at equal iterations. What is
trained is kept in `--work`, so that a killed measurement goes on; what a finished run has trained need not be trained
again. Writes benchmarks/results/fine_tuning.json.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import starts
import torch

from alnet_lib.cohorts import building
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import plain, write_json
from alnet_lib.core.profile import Profile, Transfer
from alnet_lib.experiments.transfer import cross_validation, patients
from alnet_lib.experiments.transfer.fine_tuning import CLASSES, FineTuned
from alnet_lib.experiments.transfer.patients import DISCOVERY
from alnet_lib.imaging.decoding import picture, resize
from alnet_lib.training.data import Images

RESULTS = Path(__file__).parent / "results" / "fine_tuning.json"


ALONE, EVERY = ", immature cells alone", ", every signed cell"
RARE = 400
"""Types with fewer pictures are one class."""


class ImmatureAlone(FineTuned):
    """No other cell type teaches."""

    def images(self, fold: patients.Fold) -> Images:
        """Those of the immature cells."""
        images = super().images(fold)
        return replace(images.take(images.labels < len(CLASSES)), classes=CLASSES)


@dataclass(frozen=True)
class EveryType(FineTuned):
    """Every signed cell teaches: those of the types that the cohort leaves out as further classes.

    Attributes
    ----------
    further : tuple of ndarray
        Of these pictures: uint8 (n, S, S, 3), patient, name of the type.
    """

    further: tuple[np.ndarray, np.ndarray, np.ndarray]

    def images(self, fold: patients.Fold) -> Images:
        """Those of the cohort, and the further ones of the patients that it leaves for this fold."""
        images, (pixels, patient, name) = super().images(fold), self.further
        usable = np.flatnonzero(np.isin(patient, images.groups))
        names = (*images.classes, *np.unique(name[usable]).tolist())
        labels = np.array([names.index(one) for one in name[usable]], np.int64)
        return Images(
            np.concatenate([images.pixels, pixels]),
            np.concatenate([images.rows, len(images.pixels) + usable]),
            np.concatenate([images.labels, labels]),
            np.concatenate([images.groups, patient[usable]]),
            names,
        )


def further(found: Cohort, profile: Profile, transfer: Transfer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The signed pictures of the Johns Hopkins patients of types that are none of ALNet's; rare types are `other`."""
    read, folder = {path.resolve() for path in found.files}, found.root / "All"
    files = [path for path in sorted(folder.glob("**/Signed slides/*/*.jpg")) if path.resolve() not in read]
    mapped = {path.parent.name for path in found.files}
    files = [path for path in files if path.parent.name not in mapped]
    patient = np.array([path.relative_to(folder).parts[0] for path in files])
    kept = np.isin(patient, found.manifest["patient_id"])
    files, patient = [path for path, keep in zip(files, kept, strict=True) if keep], patient[kept]
    kind = pd.Series([path.parent.name for path in files])
    kind = kind.where(kind.map(kind.value_counts()) >= RARE, "other")
    pixels = [
        resize(picture(path, allow_truncated=profile.allow_truncated), transfer.image_size, crop=transfer.crop)
        for path in files
    ]
    return np.stack(pixels), patient, kind.to_numpy(object)


def of_run(run: Path, cells: pd.DataFrame) -> Callable[[patients.Fold], dict[str, np.ndarray]]:
    """What a finished run has fine-tuned; a picture that it left out, since it is there twice, has no score."""

    def log_odds(fold: patients.Fold) -> dict[str, np.ndarray]:
        file = pd.read_parquet(run / "transfer" / f"{fold.name}.parquet").set_index("image_id")
        return {FineTuned.key: file["log_odds"].reindex(cells["image_id"]).to_numpy(float)}

    return log_odds


def main(given: argparse.Namespace) -> None:
    """Fine-tune under each seed, take what runs have fine-tuned, judge, write the results."""
    torch.set_num_threads(1)
    cohort, data, work = given.cohort, given.data, given.work
    profile = Profile.load("quick", cohort)
    transfer = profile.transfer
    if not (transfer and (settings := transfer.fine_tuned)):
        raise SystemExit(f"the profile `quick` fine-tunes nothing on {cohort}")
    found = building.read(cohort, data, seed=profile.seed)
    cells = patients.voting(found.manifest)
    folds = [fold for fold in starts.folds_of(cells, profile, transfer) if fold.repeat in (DISCOVERY, 1)]
    ways, spent = dict[str, Callable[[patients.Fold], Any]](), dict[str, float]()
    if untrained := {*given.immature, *given.every} - {*given.seeds}:
        raise SystemExit(f"--immature or --every {untrained.pop()}: no difference without the same seed under --seeds")
    for run in given.run:
        about = json.loads((run / "results.json").read_text(encoding="utf-8"))["provenance"]
        # Another seed deals other folds, and its networks would have seen the patients that are judged here.
        if about["seed"] != profile.seed or about["profile"]["transfer"] != transfer.model_dump(mode="json"):
            raise SystemExit(f"{run} has another seed or other settings of `transfer` than the profile `quick`")
        ways[str(about["seed"])] = of_run(run, cells)
    trained = [(str(seed), seed, FineTuned, "") for seed in given.seeds]
    trained += [(f"{seed}{ALONE}", seed, ImmatureAlone, "-immature") for seed in given.immature]
    if given.every:
        others = further(found, profile, transfer)
        trained += [(f"{seed}{EVERY}", seed, partial(EveryType, further=others), "-every") for seed in given.every]
    for name, seed, kind, suffix in trained:
        folder = work / f"seed-{seed}{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        own = profile.model_copy(update={"seed": seed})
        ways[name] = kind(starts.pictured(found, own, folder, work / "pixels"), cells, settings)
    rows = pd.DataFrame()
    for name, way in ways.items():
        with starts.timed(spent, name):
            judged = cross_validation.judge(cells, folds, [way])
        rows = (judged if rows.empty else rows).assign(**{name: judged[FineTuned.key]})
    rows["mean"] = rows[[name for name in ways if not name.endswith((ALONE, EVERY))]].mean(axis=1)
    about = {
        "date": date.today().isoformat(), "system": platform.system(), "torch": torch.__version__, "cohort": cohort,
        "network": settings.backbone, "start": profile.start_of(settings.backbone), "iterations": settings.iterations,
        "image size": transfer.image_size, "cells": len(cells), "patients": int(cells["patient_id"].nunique()),
        "processor seconds of training, where it was not kept": spent,
        "seeds": {name: starts.areas(rows, name) for name in ways},
        "mean of the seeds' log-odds": starts.areas(rows, "mean"),
        "less immature cells alone": {
            str(seed): starts.difference(rows, str(seed), f"{seed}{ALONE}") for seed in given.immature
        },
        "every signed cell, less module 1's types": {
            str(seed): starts.difference(rows, f"{seed}{EVERY}", str(seed)) for seed in given.every
        },
    }  # fmt: skip
    write_json(given.out, plain(about))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the cohort's original download")
    parser.add_argument("--cohort", default="jhu_apl")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument(
        "--run", type=Path, nargs="*", default=[], help="finished runs: what they have fine-tuned counts"
    )
    parser.add_argument(
        "--immature", type=int, nargs="*", default=[], help="of the seeds: trained on the immature cells alone too"
    )
    parser.add_argument(
        "--every", type=int, nargs="*", default=[], help="of the seeds: trained on signed cells of further types too"
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "fine_tuning", help="where trainings are kept")
    parser.add_argument("--out", type=Path, default=RESULTS)
    main(parser.parse_args())
