"""What pictures without their labels add: `benchmarks/self_supervision.py --cohort jhu_apl --data DIR --start ...`.

APL against AML by patient, with the frozen protocol of notebook 05 (benchmarks/starts.py), from a start as it is and
after self-supervised training (VICReg: Bardes et al., ICLR 2022, arXiv:2105.04906) on all pictures that the cohort has
of the fold's other patients, without their labels. For the external patients nothing external is trained on. One deal
into folds; cells are not turned, and C is that of benchmarks/starts.py. For either, the AUC over patients, folds
pooled, with its 95% interval; the mean over folds; that on external patients; and the difference on the same patients.
Writes benchmarks/results/self_supervision.json, a part for each start.
"""

from __future__ import annotations

import argparse
import json
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import starts
import torch
from torch import Tensor, nn
from torch.nn import functional

from alnet_lib.cohorts import building
from alnet_lib.core.files import plain, write_json
from alnet_lib.core.profile import FrozenStart, Profile, Transfer
from alnet_lib.experiments.preparation import Setup, begin
from alnet_lib.experiments.transfer import cross_validation, distillation, embeddings, methods, patients
from alnet_lib.experiments.transfer.embeddings import Embedded
from alnet_lib.experiments.transfer.patients import Fold
from alnet_lib.networks.network import Network
from alnet_lib.training.data import Images
from alnet_lib.training.device import autocast

RESULTS = Path(__file__).parent / "results" / "self_supervision.json"
BEFORE, NORMALISED, AFTER = "before", "statistics of batch normalisation alone", "after"
PASSES = 50
"""Steps without learning, in which batch normalisation takes its statistics from the cohort."""
WIDTH = 512
"""Of the expander and of what is compared."""


def vicreg(one: Tensor, other: Tensor) -> Tensor:
    """Invariance, variance and covariance of two views (n, d), weighted 25, 25 and 1, as in the authors' code."""
    invariance, total = functional.mse_loss(one, other), one.new_zeros(())
    for view in (one, other):
        centred = view - view.mean(0)
        covariance = centred.T @ centred / (len(view) - 1)
        spread = functional.relu(1 - (covariance.diagonal() + 1e-4).sqrt()).mean()
        apart = (covariance.pow(2).sum() - covariance.diagonal().pow(2).sum()) / view.shape[1]
        total = total + 25 * spread / 2 + apart
    return 25 * invariance + total


def trained(network: Network, cells: np.ndarray, *, steps: int, batch: int, rate: float, seed: int) -> list[float]:
    """Train the blocks in place on pairs of views of cells, uint8 (n, S, S, 3); the loss of each step."""
    rng, losses = np.random.default_rng([seed, 5]), []
    torch.manual_seed(seed)
    channels = network.map_shapes[-1][0]
    expander = nn.Sequential(nn.Linear(channels, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    weights = [*network.blocks.parameters(), *expander.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-4)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
    network.train()
    for _ in range(steps):
        chosen = cells[np.sort(rng.choice(len(cells), batch, replace=False))]
        images = torch.cat([distillation.views(chosen, rng), distillation.views(chosen, rng)])
        optimiser.zero_grad(set_to_none=True)
        with autocast("cpu", "bf16"):
            pooled = distillation.maps(network, images)[-1].mean((2, 3))
        loss = vicreg(*expander(pooled.float()).chunk(2))
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        cycle.step()
        losses.append(float(loss.detach()))
    network.eval()
    return losses


@dataclass(frozen=True)
class Frozen:
    """The frozen protocol, with the start as it is or after training on a fold's other patients."""

    setup: Setup
    cells: pd.DataFrame
    start: FrozenStart
    settings: argparse.Namespace

    key, titles = AFTER, {AFTER: AFTER}

    def __call__(self, fold: Fold) -> dict[str, np.ndarray]:
        """Log-odds of APL of all cells, before and after."""
        manifest, pixels, rows = self.setup.data.manifest, self.setup.data.pixels, self.cells["row"].to_numpy()
        seen = np.flatnonzero(patients.teaching(manifest, self.cells, fold))
        profile = self.setup.profile.model_copy(update={"start": self.start.start})
        fit_on = Images(pixels, seen, np.zeros(len(seen), np.int64), seen, ("one", "other"))
        network, found = begin(profile, self.start.network, fit_on, name="frozen"), {}
        given, cells = self.settings, pixels[seen]
        for key, steps, rate in ((BEFORE, 0, 0.0), (NORMALISED, PASSES, 0.0), (AFTER, given.steps, given.rate)):
            own = deepcopy(network)
            if steps:
                losses = trained(own, cells, steps=steps, batch=given.batch, rate=rate, seed=given.seed)
                print(f"{fold.name}, {key}: {len(seen)} pictures, loss {losses[0]:.1f} to {losses[-1]:.1f}", flush=True)
            embedded = embeddings.embed(own, pixels, rows, precision=self.setup.precision)
            (linear,) = methods.frozen(self.setup, self.cells, Embedded(rows, {self.start: embedded}, {}), votes=False)
            found[key] = linear(fold)[linear.key]
        return found


def main(given: argparse.Namespace) -> None:
    """Train and judge in each fold, and write the results beside those of other starts."""
    torch.set_num_threads(1)
    transfer = Transfer(starts=(given.start,), repeats=1, turns=1, **starts.FIXED)
    profile = Profile.load("quick", given.cohort).model_copy(update={"transfer": transfer})
    found = building.read(given.cohort, given.data, seed=profile.seed)
    given.work.mkdir(parents=True, exist_ok=True)
    setup = starts.pictured(found, profile, given.work)
    cells, spent = patients.voting(found.manifest), dict[str, float]()
    with starts.timed(spent, "all"):
        rows = cross_validation.judge(
            cells, starts.folds_of(cells, profile, transfer), [Frozen(setup, cells, given.start, given)]
        )
    about = {
        "date": date.today().isoformat(), "torch": torch.__version__, "cohort": given.cohort, "steps": given.steps,
        "pairs a step": given.batch, "rate": given.rate, "seed": given.seed, "pictures": len(found.manifest),
        "patients": int(cells["patient_id"].nunique()), "processor seconds": spent["all"],
    }  # fmt: skip
    judged = {key: starts.areas(rows, key) for key in (BEFORE, NORMALISED, AFTER)}
    gain = {f"after, less {key}": starts.difference(rows, AFTER, key) for key in (BEFORE, NORMALISED)}
    other = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    write_json(
        given.out,
        plain(
            other | {f"{embeddings.title(given.start)}, {given.steps} steps, seed {given.seed}": about | judged | gain}
        ),
    )
    print(f"written: {given.out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the cohort's original download")
    parser.add_argument("--cohort", default="jhu_apl")
    parser.add_argument("--start", type=starts.start, default=starts.start("resnet_miniature=cells"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64, help="cells a step, each seen twice")
    parser.add_argument("--rate", type=float, default=3e-4, help="highest learning rate of the one cycle")
    parser.add_argument("--seed", type=int, default=1, help="of the training")
    parser.add_argument("--work", type=Path, default=Path("runs") / "self_supervision", help="where pictures are kept")
    parser.add_argument("--out", type=Path, default=RESULTS)
    main(parser.parse_args())
