"""How one training runs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Options:
    """How one training runs; the numbers come from the profile.

    Attributes
    ----------
    iterations : int
        Optimiser steps.
    batch_size : int
        Images a step.
    lr_min : float
        Lower end of the cyclical learning rate.
    lr_max : float
        Upper end.
    cycles : int
        Triangular cycles over the whole training.
    fine_tuned_blocks : int
        How many of the last blocks train, 1 to 5; 5 is the whole network.
    precision : str
        `float32` or `bf16`.
    device : str
        `cpu` or `cuda`.
    seed : int
        All draws of an iteration depend on it and on the iteration's number alone.
    sampling : str
        `plan` goes through the balancing plan epoch by epoch; `patient` draws entries so that patients are alike.
    random_orientation : bool
        Turn and flip each image at random in each iteration, instead of by the plan.
    rotation : float
        Largest angle of a random orientation, in degrees.
    colour_jitter : float
        Spread of the stain's strength, drawn for each batch; 0 for none.
    scale_jitter : float
        Spread of the magnification; 0 for none.
    focus_jitter : float
        Largest share of a blurred image; 0 for none.
    light_jitter : float
        Spread of the light's colour; 0 for none.
    renewing_batches : int
        Batches over which the statistics of batch normalisation are taken anew at the end; 0 keeps the running ones.
    checkpoint_seconds : float
        Between checkpoints, at least; 0 for one after each iteration. No part of what a training gives, so not of its
        key either.
    label : str
        Names the network and the training in messages.
    """

    iterations: int
    batch_size: int
    lr_min: float
    lr_max: float
    cycles: int = 1
    fine_tuned_blocks: int = 5
    precision: str = "float32"
    device: str = "cpu"
    seed: int = 0
    sampling: str = "plan"
    random_orientation: bool = False
    rotation: float = 60.0
    colour_jitter: float = 0.0
    scale_jitter: float = 0.0
    focus_jitter: float = 0.0
    light_jitter: float = 0.0
    renewing_batches: int = 0
    checkpoint_seconds: float = field(default=120.0, repr=False)
    label: str = ""
