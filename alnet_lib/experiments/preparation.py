"""What every training needs: images, profile, device, the folder of its files, and how to show progress."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alnet_lib.core.code import code_hash
from alnet_lib.core.progress import Progress, ProgressLine
from alnet_lib.networks.building import build
from alnet_lib.networks.starts.random_start import start_from
from alnet_lib.networks.starts.start import RANDOM
from alnet_lib.training.device import resolve_precision
from alnet_lib.training.options import Options

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile, Training
    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.imaging import augmentation
    from alnet_lib.networks.network import Network
    from alnet_lib.training.data import Images

START_IMAGES = 64
"""Training images that a random start is fitted to."""


def _line(label: str, part: str = "") -> Progress:
    return ProgressLine(label)


@dataclass(frozen=True)
class Setup:
    """What the trainings of one cohort under one profile share.

    Attributes
    ----------
    data : CellImages
        The cohort.
    profile : Profile
        Every number of the protocol.
    folder : Path
        Where trainings leave models, checkpoints and rows, below it in `models/` and `comparison/`.
    device : str
        `cpu` or `cuda`.
    progress : callable
        (label, part) to a progress callback; `part` names one of several jobs that work side by side.
    """

    data: CellImages
    profile: Profile
    folder: Path
    device: str = "cpu"
    progress: Callable[..., Progress] = _line

    @property
    def precision(self) -> str:
        """`float32` or `bf16`, as the profile and the device have it."""
        return resolve_precision(self.profile.precision, self.device)


def engine_hash() -> str:
    """SHA-256 of the code that decides what a training gives, so that a changed engine trains again."""
    return code_hash(
        "alnet_lib.imaging.pixels",
        "alnet_lib.networks.building",
        "alnet_lib.networks.starts.random_start",
        "alnet_lib.training.feature_cache",
        "alnet_lib.training.fitting",
    )


def training_key(network_name: str, train: Images, plan: augmentation.Plan, options: Options, *extra: str) -> str:
    """Name a training so that the name changes with anything that could change its result.

    Parameters
    ----------
    network_name : str
        Name of the architecture.
    train : Images
        Training images (rows, labels and classes; pixels and code come in through `extra`).
    plan : augmentation.Plan
        Their balancing plan.
    options : Options
        How to train.
    *extra : str
        Further parts of the key, such as hashes of the content and of the code.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(repr((network_name, options, train.classes, extra)).encode())
    for array in (
        train.rows,
        train.labels,
        plan.source,
        plan.angle,
        plan.flip_vertical,
        plan.flip_horizontal,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def options(setup: Setup, settings: Training, *, name: str, fine_tuned_blocks: int = 5) -> Options:
    """The options of one training.

    Parameters
    ----------
    setup : Setup
        Profile and device.
    settings : Training
        The profile's settings for this network.
    name : str
        Names the training; its draws depend on it.
    fine_tuned_blocks : int
        1 to 5; 5 trains the whole network.
    """
    profile = setup.profile
    return Options(
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        lr_min=settings.lr_min,
        lr_max=settings.lr_max,
        cycles=settings.cycles,
        fine_tuned_blocks=fine_tuned_blocks,
        precision=setup.precision,
        device=setup.device,
        seed=profile.torch_seed(f"training/{name}") % (1 << 31),
        sampling=settings.sampling,
        random_orientation=profile.random_orientation,
        rotation=profile.rotation,
        colour_jitter=profile.colour_jitter,
        scale_jitter=profile.scale_jitter,
        focus_jitter=profile.focus_jitter,
        light_jitter=profile.light_jitter,
        renewing_batches=profile.renewing_batches,
        checkpoint_seconds=60 * profile.checkpoint_minutes,
        label=f"{settings.backbone}, {name}",
    )


def begin(profile: Profile, backbone: str, fit_on: Images, *, name: str) -> Network:
    """The network that a training begins from: the profile's start; a random one is fitted to some training images.

    Parameters
    ----------
    profile : Profile
        Image size, start, dropout and seed.
    backbone : str
        Name of the architecture.
    fit_on : Images
        Training images; their classes are the network's.
    name : str
        Names the start; its draws depend on it.

    Raises
    ------
    alnet_lib.networks.starts.files.StartError, alnet_lib.networks.starts.imagenet.WeightsError
        The profile asks for a start that cannot be had or does not fit.
    """
    images, start = None, profile.start_of(backbone)
    if start == RANDOM:
        some = np.sort(profile.generator(f"start images/{name}").permutation(len(fit_on))[:START_IMAGES])
        images = fit_on.batch(some, "cpu")
    seed = profile.torch_seed(f"start/{name}")
    network = build(
        backbone,
        fit_on.classes,
        profile.image_size,
        start=start,
        weights_dir=profile.weights_dir,
        dropout=profile.dropout,
        seed=seed,
    )
    if images is not None:
        start_from(network, images, seed=seed)
    return network
