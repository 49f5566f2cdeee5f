"""What a start is worth frozen: `python benchmarks/starts.py --cohort jhu_apl --data DIR --start vgg16=cells ...`.

APL against AML by patient, with the protocol of notebook 05: every immature cell of a patient votes; principal
components of the embeddings and a logistic regression are fitted on the other folds' patients; a patient's score is the
mean log-odds. Unlike there, nothing is chosen in the folds (C is 0.01), and cells are turned only where `--turns` asks
for it. For each start, and for colour and size and the background, which need none: the AUC of the patients' scores
averaged over `--seeds` deals into folds, and that on external patients, each with its 95% interval over patients; the
AUC of each deal; processor seconds of embedding and of fitting. Beside them the difference of each pretrained start
from the random start of the same network, on the same patients. Writes benchmarks/results/starts.json, with turns
starts_turned.json.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch

from alnet_lib.cohorts import building
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import plain, write_json
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import FrozenStart, Profile, Transfer
from alnet_lib.core.resources import cores
from alnet_lib.evaluation import apl_transfer
from alnet_lib.experiments import classical
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.experiments.transfer import cross_validation, embeddings, methods, patients
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.statistics.auc import auc, auc_difference
from alnet_lib.statistics.intervals import Interval

STARTS = ("vgg16=random", "vgg16=cells")
PLAIN = ("background", "colour_and_size")

FIXED: dict[str, Any] = {"inverse_regularisation": (0.01,)}
"""Where starts are compared, all have these settings; what is chosen in each fold differs between starts."""


def start(text: str) -> FrozenStart:
    """Read `NETWORK=START`."""
    network, _, name = text.partition("=")
    if not (network and name):
        raise argparse.ArgumentTypeError(f"`{text}` is not NETWORK=START, e.g. vgg16=cells")
    return FrozenStart(network=network, start=name)


def pictured(found: Cohort, profile: Profile, folder: Path, cache: Path | None = None) -> Setup:
    """The set-up of the protocol of notebook 05 on a cohort's pictures, which are kept in `cache`."""
    silent: Callable[..., Any] = lambda *_: lambda *_: None  # noqa: E731

    def images(size: int, crop: float) -> CellImages:
        pixels = pixel_array(
            found.files, found.crops, size, crop=crop, cache=cache or folder / "pixels",
            content_hash=found.content_hash, allow_truncated=profile.allow_truncated,
        )  # fmt: skip
        return CellImages(found.manifest, pixels, found.content_hash)

    empty = CellImages(found.manifest, np.empty((len(found.manifest), 0, 0, 3), np.uint8), found.content_hash)
    setup = embeddings.seen(Setup(empty, profile, folder, "cpu", silent), images)
    assert not isinstance(setup, Unavailable)
    return setup


def folds_of(cells: pd.DataFrame, profile: Profile, settings: Transfer) -> list[patients.Fold]:
    """The external patients, where there are any, and the deals into folds."""
    deals = patients.deal(cells, profile, folds=settings.folds, repeats=settings.repeats)
    if isinstance(deals, Unavailable):
        raise SystemExit(deals.reason)
    later = patients.discovery(cells)
    return ([later] if later else []) + deals


def prepared(cohort: str, data: str, transfer: Transfer, folder: Path) -> tuple[Setup, Any]:
    """Read or draw a cohort; keep the cells that vote for APL or AML, with pictures and handcrafted features."""
    profile = Profile.load("quick", cohort).model_copy(update={"transfer": transfer})
    if cohort == "synthetic":
        found = building.build_for(profile, cohort, folder / cohort, "")
    else:
        found = building.read(cohort, data, seed=profile.seed)
    rows = patients.voting(found.manifest)["row"].to_numpy()
    found = replace(found, manifest=found.manifest.iloc[rows].reset_index(drop=True))
    setup = pictured(found, profile, folder)
    return setup, classical.features(setup, found.files, found.crops)


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Write the processor seconds of the block into `seconds`."""
    began = time.process_time()
    yield
    seconds[name] = round(time.process_time() - began, 1)


def ends(found: Interval) -> dict[str, Any]:
    """An interval as JSON has it."""
    return {
        "auc": round(found.estimate, 4), "low": round(found.low, 4), "high": round(found.high, 4),
        "interval": found.method or found.why, "patients": found.n_patients,
    }  # fmt: skip


def areas(rows: pd.DataFrame, key: str) -> dict[str, Any]:
    """A score's AUC over patients, cross-validated and external, and those of deals and folds."""
    own, outside = apl_transfer.pooled(rows, key), apl_transfer.later(rows, key)
    by_fold, by_deal = apl_transfer.of_folds(rows, key)
    found = {
        "cross-validated": ends(auc(own["apl"], own[key], own)),
        "each deal": [round(value, 4) for value in by_deal],
        "mean of folds": round(float(np.mean(by_fold)), 4),
        "SD of folds": round(float(np.std(by_fold, ddof=1)), 4),
    }
    if outside["apl"].nunique() == 2:
        found["external"] = ends(auc(outside["apl"], outside[key], outside))
    return found


def difference(rows: Any, first: str, second: str) -> dict[str, Any]:
    """The first score's AUC less the second's, cross-validated and on external patients."""
    found = {}
    places = {"cross-validated": apl_transfer.pooled, "external": apl_transfer.later}
    for where, of in places.items():
        own = of(rows, first, second)
        if own["apl"].nunique() == 2:
            interval, p = auc_difference(own["apl"], own[first], own[second], own)
            found[where] = ends(interval) | {"p (DeLong)": round(p, 4)}
    return found


def drawn_anew(
    setup: Setup, cells: pd.DataFrame, folds: list[patients.Fold], one: FrozenStart, draws: int
) -> list[Any]:
    """A random start under further seeds, on the same folds: the cross-validated AUC of each, with its interval."""
    found = []
    for more in range(1, draws):
        other = replace(setup, profile=setup.profile.model_copy(update={"seed": setup.profile.seed + more}))
        (method,) = methods.frozen(setup, cells, cross_validation.embedded(other, cells, [one]), votes=False)
        found.append(areas(cross_validation.judge(cells, folds, [method]), method.key)["cross-validated"])
    return found


def measured(setup: Setup, features: Any, draws: int = 1) -> dict[str, Any]:
    """Judge every start, and the plain methods, on the same folds."""
    settings, cells = methods.settings_of(setup.profile), patients.voting(setup.data.manifest)
    folds, frames, seconds = folds_of(cells, setup.profile, settings), [], dict[str, float]()
    titles, missing, others = dict[str, str](), dict[str, str](), dict[str, Any]()
    for method in methods.plain(setup, cells, features):
        if method.key in PLAIN:
            with timed(seconds, method.key):
                frames.append(cross_validation.judge(cells, folds, [method]))
            titles |= method.titles
    for one in settings.starts:
        key = methods.frozen_key(one)
        with timed(seconds, f"{key}, embedding"):
            found = cross_validation.embedded(setup, cells, [one])
        missing |= found.missing
        for method in methods.frozen(setup, cells, found, votes=False):
            with timed(seconds, key):
                frames.append(cross_validation.judge(cells, folds, [method]))
            titles |= method.titles
        if draws > 1 and not embeddings.pretrained(one):
            others[embeddings.title(one)] = drawn_anew(setup, cells, folds, one, draws)
        print(f"{embeddings.title(one)}: done", flush=True)
    rows = frames[0]
    for frame in frames[1:]:
        rows = rows.join(frame[[name for name in frame if name in titles]])
    paired = {
        f"{embeddings.title(one)}, less {embeddings.title(base)}": difference(
            rows, methods.frozen_key(one), methods.frozen_key(base)
        )
        for one in settings.starts
        for base in settings.starts
        if one.network == base.network and embeddings.pretrained(one) and not embeddings.pretrained(base)
        and {methods.frozen_key(one), methods.frozen_key(base)} <= set(titles)
    }  # fmt: skip
    people = cells.groupby("patient_id")["apl"].first()
    about: dict[str, Any] = {
        "APL patients": int(people.sum()),
        "AML patients": int((~people).sum()),
        "cells": len(cells),
    }
    judged = {title: areas(rows, key) for key, title in titles.items()}
    about |= {"other draws of random weights": others} if others else {}
    return about | {"AUC": judged, "differences": paired, "processor seconds": seconds, "left out": missing}


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", default="synthetic")
    parser.add_argument("--data", default="", help="folder of the cohort's original download")
    parser.add_argument("--seeds", type=int, default=5, help="deals of the patients into folds")
    parser.add_argument(
        "--draws", type=int, default=1, help="draws of random weights; the AUC of the others stands apart"
    )
    parser.add_argument("--turns", type=int, default=1, help="quarter turns of a cell to average its embedding over")
    parser.add_argument("--start", type=start, nargs="+", default=[start(text) for text in STARTS])
    parser.add_argument("--out", type=Path, help="default: results/starts.json, starts_turned.json with turns")
    given = parser.parse_args()
    out = given.out or Path(__file__).parent / "results" / f"starts{'_turned' * (given.turns > 1)}.json"
    transfer = Transfer(starts=tuple(given.start), repeats=given.seeds, turns=given.turns, **FIXED)
    with tempfile.TemporaryDirectory() as folder:
        setup, features = prepared(given.cohort, given.data, transfer, Path(folder))
        found = measured(setup, features, given.draws)
    settings = transfer.model_dump(exclude={"starts", "fine_tuned", "neighbours", "repeats"})
    about = {
        "date": date.today().isoformat(), "device": "cpu", "cores": cores(), "system": platform.system(),
        "python": platform.python_version(), "torch": torch.__version__, "scikit-learn": sklearn.__version__,
        "cohort": given.cohort, "seeds": given.seeds, "settings": settings,
    }  # fmt: skip
    write_json(out, plain(about | found))
    print(f"written: {out}")


if __name__ == "__main__":
    main()
