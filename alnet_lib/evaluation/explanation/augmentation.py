"""The augmentation: an example (Figure 2), and whether it leaks the class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import TASKS, ModuleSpec
from alnet_lib.experiments.datasets import fit_and_validation
from alnet_lib.experiments.module_training import Trained
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging.augmentation import balancing_plan, rotate, to_float, transform
from alnet_lib.paper.values import Result

TURNED_BY = 30.0
"""Degrees by which validation images are rotated in `augmentation_check`."""


def augmentation_check(setup: Setup, trained: Mapping[str, Trained | Unavailable]) -> Result | Unavailable:
    """Whether rotation gives a class away: sensitivity on validation images, untouched and rotated by 30 degrees.

    The balancing plan rotates images of the rarer classes only: a network that learnt this finds them better when they
    are rotated, and the commoner classes worse.

    Parameters
    ----------
    setup : Setup
        Images and profile.
    trained : mapping
        `module_1`, `module_2` -> trained network; an unavailable one is left out.

    Returns
    -------
    Result or Unavailable
        One row a class: `module`, `class`, `cells`, `untouched` and `turned` in %. Unavailable without any module.
    """
    there = {name: module for name, module in trained.items() if not isinstance(module, Unavailable)}
    if not there:
        reasons = [module.reason for module in trained.values() if isinstance(module, Unavailable)]
        return Unavailable("; ".join(reasons) or "no module was trained")
    rows = [row for name, module in there.items() for row in _check(setup, module, TASKS[name])]
    return Result(pd.DataFrame(rows))


def _check(setup: Setup, trained: Trained, spec: ModuleSpec) -> list[dict[str, object]]:
    validation = fit_and_validation(setup.data, spec, setup.profile)[1]
    device = torch.device(trained.options.device)
    network = trained.network.to(device).eval()
    predicted: dict[str, list[np.ndarray]] = {"untouched": [], "turned": []}
    batch = setup.profile.prediction_batch
    with torch.inference_mode():
        for first in range(0, len(validation), batch):
            index = np.arange(first, min(first + batch, len(validation)))
            images = validation.batch(index, device)
            turned = rotate(images, np.full(len(index), TURNED_BY))
            for name, given in (("untouched", images), ("turned", turned)):
                predicted[name].append(network(network.preprocessing(given)).argmax(1).cpu().numpy())
    rows = []
    for k, name in enumerate(validation.classes):
        own = validation.labels == k
        shares = {which: 100 * float((np.concatenate(parts)[own] == k).mean()) for which, parts in predicted.items()}
        rows.append({"module": spec.name[-1], "class": LABELS[name], "cells": int(own.sum()), **shares})
    return rows


@dataclass(frozen=True)
class AugmentationExample(Result):
    """An image and its augmentations.

    Attributes
    ----------
    pictures : mapping
        Label of the cell type -> images, the original first, uint8 (S, S, 3).
    labels : tuple of str
        What was done to each image.
    """

    pictures: Mapping[str, list[np.ndarray]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def augmentation_example(
    manifest: pd.DataFrame, pixels: np.ndarray, profile: Profile, count: int = 4
) -> AugmentationExample | Unavailable:
    """A B-lymphoblast and its first augmentations of the balancing plan (Figure 2).

    Parameters
    ----------
    manifest : DataFrame
        With `split` and `cell_type`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    profile : Profile
        Seed and largest rotation.
    count : int
        Augmentations shown.

    Returns
    -------
    AugmentationExample or Unavailable
        Of the rarest cell type of the training split where it has no B-lymphoblast; frame: column `image`, what was
        done. Facts: `cell_type`, its name in the singular. Unavailable where the training split is empty.
    """
    counts = manifest[manifest["split"].eq("train")]["cell_type"].value_counts()
    if not len(counts):
        return Unavailable("the training split has no image")
    cell_type = "b_lymphoblast" if "b_lymphoblast" in counts else counts.index[-1]
    rows = np.flatnonzero(manifest["cell_type"].eq(cell_type) & manifest["split"].eq("train"))
    rng = profile.generator("figure_02")
    plan = balancing_plan(np.zeros(1, int), 1 + count, rng, augmentations_per_image=count, rotation=profile.rotation)
    source = to_float(pixels[rows[:1]]).expand(len(plan), -1, -1, -1)
    turned = transform(source, plan, np.arange(len(plan)))
    pictures = (turned.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()
    labels = ["original"]
    for v, h, angle in zip(plan.flip_vertical[1:], plan.flip_horizontal[1:], plan.angle[1:], strict=True):
        flips = " and ".join(word for word, on in (("vertical", v), ("horizontal", h)) if on)
        labels.append((f"{flips} flip, " if flips else "") + f"{angle:.0f}°")
    name = LABELS.get(cell_type, "unlabelled cells")
    # "B" names the lineage and keeps its capital within a sentence.
    facts = {"cell_type": name.lower().rstrip("s").replace("b-lymph", "B-lymph")}
    return AugmentationExample(
        pd.DataFrame({"image": labels}), facts=facts, pictures={name: list(pictures)}, labels=tuple(labels)
    )
