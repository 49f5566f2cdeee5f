"""Which learning rates? The range test of cyclical rates (Smith, WACV 2017), since the paper prints no range."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch

from alnet_lib import augment, training
from alnet_lib.backbones import Network
from alnet_lib.run import ProgressLine
from alnet_lib.training import Images, Options

LOW, HIGH = 1e-7, 1e-1
SMOOTHING = 0.9
STOP_ABOVE = 4.0
"""The test ends when the smoothed loss is this many times its smallest."""


def range_test(
    network: Network,
    train: Images,
    plan: augment.Plan,
    options: Options,
    *,
    iterations: int,
    progress: ProgressLine | None = None,
) -> pd.DataFrame:
    """Train a copy of the network with a learning rate that grows geometrically from LOW to HIGH.

    The network itself is not changed. Returns iteration, learning_rate, loss, smoothed (exponential mean without its
    initial bias); it ends early once the loss runs away or is not finite.
    """
    device = torch.device(options.device)
    network = copy.deepcopy(network).to(device, memory_format=torch.channels_last)
    prefix, tail = network.parts(options.depth)
    network.requires_grad_(False)
    tail.requires_grad_(True)
    optimizer = torch.optim.Adam(tail.parameters(), lr=LOW, fused=True)
    batches, state = training.Batches(train, plan, options), training.Fitted(pd.DataFrame(), float("nan"), 0.0)
    state.micro_batch = options.batch_size
    rows: list[tuple[int, float, float, float]] = []
    mean, smallest = 0.0, float("inf")
    for iteration, rate in enumerate(np.geomspace(LOW, HIGH, iterations)):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        network.eval()
        tail.train()
        entries = batches(iteration)
        loss = training.step(network, prefix, tail, train, plan, entries, iteration, options, optimizer, state)
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
    """Lower and upper learning rate that the curve of `range_test` suggests.

    Upper: a third of the rate with the smallest smoothed loss, before the loss turns. Lower: the rate at which a tenth
    of the fall has happened, and at most a quarter of the upper. (NaN, NaN) when the loss never falls.
    """
    smoothed, rate = curve["smoothed"].to_numpy(), curve["learning_rate"].to_numpy()
    if len(curve) < 3 or smoothed.min() >= smoothed[0]:
        return float("nan"), float("nan")
    bottom = int(smoothed.argmin())
    high = rate[bottom] / 3
    fallen = smoothed[: bottom + 1] <= smoothed[0] - 0.1 * (smoothed[0] - smoothed[bottom])
    low = min(rate[int(np.argmax(fallen))], high / 4)
    return float(low), float(high)
