"""The augmentation: an example (Figure 2), and whether it leaks the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import TASKS
from alnet_lib.experiments.datasets import fit_and_validation
from alnet_lib.imaging.augmentation import balancing_plan, rotate, to_float, transform
from alnet_lib.imaging.decoding import SHOWN_SIDE
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import intervals
from alnet_lib.training.memory import in_parts

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile
    from alnet_lib.experiments.module_training import Trained
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.statistics.intervals import Interval
    from alnet_lib.training.data import Images

TURNED_BY = 30.0
"""Degrees by which validation images are rotated in `augmentation_check`."""


def augmentation_check(setup: Setup, trained: Mapping[str, Trained | Unavailable]) -> Result | Unavailable:
    """Whether rotation gives a class away: sensitivity on validation images, untouched and rotated by 30 degrees.

    The balancing plan rotates images of the rarer classes only: a network that learnt this finds them better when they
    are rotated, and the commoner classes worse. Validation is drawn by image, as printed: most of these patients have
    other images that the module was fitted on, so these sensitivities are not those of new patients.

    Parameters
    ----------
    setup : Setup
        Images and profile.
    trained : mapping
        `module_1`, `module_2` -> trained network; an unavailable one is left out.

    Returns
    -------
    Result or Unavailable
        One row a class: `module`, `class`, `cells`, `untouched` and `turned` in %, each with the ends of its interval
        (`untouched, low` ...), `difference` (turned less untouched, on the same cells, percentage points) with the
        columns of `Interval.columns`. Values: `augmentation.<module>.<class>.untouched`, `.turned` and `.difference` of
        classes with cells. Facts: `seen`, a sentence on how many patients the modules were fitted on. Unavailable
        without any module.
    """
    there = {name: module for name, module in trained.items() if not isinstance(module, Unavailable)}
    if not there:
        reasons = [module.reason for module in trained.values() if isinstance(module, Unavailable)]
        return Unavailable("; ".join(reasons) or "no module was trained")
    rows: list[dict[str, Any]] = []
    values: list[Value] = []
    seen = []
    for name, module in there.items():
        spec = TASKS[name]
        fitted, validation = fit_and_validation(setup.data, spec, setup.profile)
        right, about = _right(setup, module, validation), setup.data.manifest.iloc[validation.rows]
        patients = set(validation.groups)
        seen.append(f"{len(patients & set(fitted.groups))} of {len(patients)} for {spec.title.lower()}")
        for k, label in enumerate(validation.classes):
            own = validation.labels == k
            row, measured = _compared(right["untouched"][own], right["turned"][own], about[own])
            rows.append({"module": spec.name[-1], "class": LABELS[label], "cells": int(own.sum())} | row)
            values += [Value.of(f"augmentation.{spec.name}.{label}.{key}", *one) for key, one in measured.items()]
    told = f"Patients of these cells with other images that the module was trained on: {', '.join(seen)}."
    return Result(pd.DataFrame(rows), tuple(values), {"seen": told})


def _compared(
    untouched: np.ndarray, turned: np.ndarray, cells: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, tuple[Interval, str]]]:
    """The numbers of a row of a class, and those of its values with their units."""
    measured = {"untouched": (intervals.proportion(untouched, cells), "%")}
    measured["turned"] = intervals.proportion(turned, cells), "%"
    measured["difference"] = intervals.difference(untouched, cells, turned), "percentage points"
    row: dict[str, Any] = {}
    for key, (one, _) in measured.items():
        row |= {key: 100 * one.estimate}
        row |= one.columns() if key == "difference" else {f"{key}, low": 100 * one.low, f"{key}, high": 100 * one.high}
    return row, measured if len(cells) else {}


def _right(setup: Setup, trained: Trained, validation: Images) -> dict[str, np.ndarray]:
    """Whether each validation image is predicted correctly, as it is and rotated, bool (n,)."""
    device = torch.device(trained.options.device)
    network = trained.network.to(device).eval()
    predicted: dict[str, list[np.ndarray]] = {"untouched": [], "turned": []}
    batch = setup.profile.prediction_batch

    def work(index: np.ndarray) -> dict[str, np.ndarray]:
        images = validation.batch(index, device)
        turned = rotate(images, np.full(len(index), TURNED_BY))
        shown = {"untouched": images, "turned": turned}
        return {name: network(network.preprocessing(given)).argmax(1).cpu().numpy() for name, given in shown.items()}

    with torch.inference_mode():
        for _, found in in_parts(work, len(validation), batch, what="rotated cells", device=device):
            for name, own in found.items():
                predicted[name].append(own)
    none = np.zeros(0, int)
    return {name: np.concatenate([none, *parts]) == validation.labels for name, parts in predicted.items()}


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
    manifest: pd.DataFrame, read: Callable[[pd.Series, int], Sequence[np.ndarray]], profile: Profile, count: int = 4
) -> AugmentationExample | Unavailable:
    """A B-lymphoblast and its first augmentations of the balancing plan (Figure 2).

    Parameters
    ----------
    manifest : DataFrame
        With `image_id`, `split` and `cell_type`.
    read : callable
        Gives the pictures of image_ids at a side in pixels, as `Run.pictures` does.
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
    source = to_float(np.stack(read(manifest["image_id"].iloc[rows[:1]], SHOWN_SIDE))).expand(len(plan), -1, -1, -1)
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
