"""Which learning rates? The range test of cyclical rates (Smith, WACV 2017), since the paper prints no range."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from alnet_lib.training import data, fitting
from alnet_lib.training.device import arrange

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.imaging import augmentation
    from alnet_lib.networks.network import Network
    from alnet_lib.training.data import Images
    from alnet_lib.training.options import Options

LOW, HIGH = 1e-7, 1e-1
"""Learning rates that the test begins and ends with."""

SMOOTHING = 0.9
"""Weight of the past in the exponential mean of the loss."""

STOP_ABOVE = 4.0
"""The test ends when the smoothed loss is this many times its smallest."""


def range_test(
    network: Network,
    train: Images,
    plan: augmentation.Plan,
    options: Options,
    *,
    iterations: int,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train a copy of the network with a learning rate that grows geometrically from LOW to HIGH.

    Parameters
    ----------
    network : Network
        Not changed.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    options : Options
        Batch size, fine-tuned blocks, device, precision; its learning rates and iterations are not used.
    iterations : int
        Steps from LOW to HIGH.
    progress : callable, optional
        Called with the iterations done and their number.

    Returns
    -------
    DataFrame
        iteration, learning_rate, loss, smoothed (exponential mean without its initial bias); it ends early once the
        loss diverges or is not finite.
    """
    device = torch.device(options.device)
    network = copy.deepcopy(network)
    arrange(network, device, options.precision)
    tail = network.parts(options.fine_tuned_blocks)[1]
    network.requires_grad_(False)
    tail.requires_grad_(True)
    optimizer = torch.optim.Adam(tail.parameters(), lr=LOW, fused=True)
    batches, steps = data.Batches(train, plan, options), fitting.Steps(network, train, plan, options, optimizer)
    rows: list[tuple[int, float, float, float]] = []
    mean, smallest = 0.0, float("inf")
    for iteration, rate in enumerate(np.geomspace(LOW, HIGH, iterations)):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        loss = float(steps(batches(iteration), iteration))
        if not np.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (iteration + 1))
        rows.append((iteration + 1, float(rate), loss, smoothed))
        smallest = min(smallest, smoothed)
        if progress:
            progress(iteration + 1, iterations)
        if smoothed > STOP_ABOVE * smallest:
            break
    return pd.DataFrame(rows, columns=["iteration", "learning_rate", "loss", "smoothed"])


def propose(curve: pd.DataFrame) -> tuple[float, float]:
    """Propose the ends of a cyclical learning rate from the curve of a range test.

    Upper: a third of the rate with the smallest smoothed loss, before the loss turns. Lower: the rate at which a tenth
    of the fall has happened, and at most a quarter of the upper.

    Parameters
    ----------
    curve : DataFrame
        As `range_test` returns it.

    Returns
    -------
    tuple of float
        Lower and upper rate; (NaN, NaN) when the loss never falls.
    """
    smoothed, rate = curve["smoothed"].to_numpy(), curve["learning_rate"].to_numpy()
    if len(curve) < 3 or smoothed.min() >= smoothed[0]:
        return float("nan"), float("nan")
    bottom = int(smoothed.argmin())
    high = rate[bottom] / 3
    fallen = smoothed[: bottom + 1] <= smoothed[0] - 0.1 * (smoothed[0] - smoothed[bottom])
    low = min(rate[int(np.argmax(fallen))], high / 4)
    return float(low), float(high)


def in_words(low: float, high: float) -> str:
    """Say what was proposed.

    Parameters
    ----------
    low, high : float
        Of `propose`.

    Returns
    -------
    str
        `1e-05 to 1e-03`, or why there is nothing.
    """
    return "no range, since the loss does not fall" if math.isnan(low) else f"{low:.0e} to {high:.0e}"
