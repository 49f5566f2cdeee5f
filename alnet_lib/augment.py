"""The balancing plan, and its transforms on batches (paper section 2.2).

The paper augments offline: flips and rotations of 0 to 60 degrees, up to four versions of an image, until a class has
its target number. So the augmented training set is a fixed list; here it is a table, and the pixels are transformed
when a batch is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Plan:
    """The augmented training set: one entry an image shown in an epoch.

    Attributes
    ----------
    source: int64 (n,), position in the list of training images. flip_vertical, flip_horizontal: bool (n,).
    angle: float32 (n,), degrees, 0 for an original.
    """

    source: np.ndarray
    flip_vertical: np.ndarray
    flip_horizontal: np.ndarray
    angle: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    @property
    def original(self) -> np.ndarray:
        """bool (n,): entries that are an untouched image."""
        return (self.angle == 0) & ~self.flip_vertical & ~self.flip_horizontal


def balancing_plan(
    labels: np.ndarray,
    target: int,
    rng: np.random.Generator,
    *,
    versions: int = 4,
    rotation: float = 60.0,
    alike: bool = False,
) -> Plan:
    """Every image once, and transformed versions of the classes below `target` until they reach it.

    A class of n images gets at most n * `versions` versions, so a target above n * (1 + `versions`) is not reached
    (Table 6 asks 2,900 of 494 B-lymphoblast images, 2,470 are reachable with four). Larger classes are kept whole.
    Versions are spread evenly: no image gets a second version before each of its class has one.

    Parameters
    ----------
    labels: int (n,), class of each training image. target: images per class. rng: the plan's generator.
    versions: most versions of one image. rotation: largest angle in degrees; angles are uniform in [0, rotation].
    alike: beyond the paper, turn and flip originals as versions are, half of all entries by an angle, so that being
    turned does not tell a class.
    """
    source = [np.arange(len(labels))]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = min(max(target - len(members), 0), versions * len(members))
        rounds = [rng.permutation(members) for _ in range(-(-wanted // len(members)))]
        source.append(np.concatenate([*rounds, np.empty(0, int)])[:wanted])
    added = sum(len(part) for part in source[1:])
    if alike:
        entries = np.concatenate(source).astype(np.int64)
        flips = rng.random((2, len(entries))) < 0.5
        angle = np.where(rng.random(len(entries)) < 0.5, rng.uniform(0.0, rotation, len(entries)), 0.0)
        return Plan(entries, flips[0], flips[1], angle.astype(np.float32))
    flips = rng.random((2, added)) < 0.5
    angle = rng.uniform(0.0, rotation, added).astype(np.float32)
    kept = np.zeros(len(labels), bool)
    return Plan(
        source=np.concatenate(source).astype(np.int64),
        flip_vertical=np.concatenate([kept, flips[0]]),
        flip_horizontal=np.concatenate([kept, flips[1]]),
        angle=np.concatenate([np.zeros(len(labels), np.float32), angle]),
    )


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """The array as a tensor on `device`; pixels that may not be written to (memory-mapped) are copied."""
    return torch.from_numpy(np.require(pixels, requirements="CW")).to(device)


def to_float(pixels: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, S, S, 3) to float32 (N, 3, S, S) in [0, 1] on `device`, channels last in memory."""
    whole = pixels.to(device) if isinstance(pixels, Tensor) else to_tensor(pixels, device)
    return whole.permute(0, 3, 1, 2).float().div_(255)


def transform(images: Tensor, plan: Plan, entries: np.ndarray) -> Tensor:
    """Apply the plan's flips and rotations to the batch of source images.

    Parameters
    ----------
    images: float (N, 3, S, S), the source images of `entries`, in order. entries: int (N,), rows of the plan.

    Corners uncovered by a rotation are filled by reflection. Untouched originals come back bit for bit.
    """
    flipped_v = torch.from_numpy(plan.flip_vertical[entries]).to(images.device)
    flipped_h = torch.from_numpy(plan.flip_horizontal[entries]).to(images.device)
    images = torch.where(flipped_v.view(-1, 1, 1, 1), images.flip(2), images)
    images = torch.where(flipped_h.view(-1, 1, 1, 1), images.flip(3), images)
    turned = np.flatnonzero(plan.angle[entries] != 0)
    if len(turned):
        index = torch.from_numpy(turned).to(images.device)
        images = images.index_copy(0, index, rotate(images[index], plan.angle[entries][turned]))
    return images


def rotate(images: Tensor, degrees: np.ndarray) -> Tensor:
    """Turn each image about its centre, bilinear, reflecting at the border. degrees: float (N,)."""
    theta = torch.as_tensor(np.deg2rad(degrees), dtype=torch.float32, device=images.device)
    cos, sin, zero = theta.cos(), theta.sin(), torch.zeros_like(theta)
    matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_orientation(images: Tensor, rng: np.random.Generator, rotation: float = 0.0) -> Tensor:
    """Beyond the paper: a random quarter turn and flip of each square image, and a rotation of half of them.

    The plan turns pictures of the rarer classes only, so that being turned (softer by interpolation, mirrored corners)
    tells the class; here it is the same for all. rotation: largest angle in degrees, either way.
    """
    choice = rng.integers(0, 8, len(images))
    out = torch.empty_like(images)
    for k in range(8):
        members = torch.from_numpy(np.flatnonzero(choice == k)).to(images.device)
        if len(members):
            turned = torch.rot90(images[members], k % 4, (2, 3))
            out[members] = turned.flip(3) if k >= 4 else turned
    if rotation:
        some = np.flatnonzero(rng.random(len(images)) < 0.5)
        index = torch.from_numpy(some).to(images.device)
        out = out.index_copy(0, index, rotate(out[index], rng.uniform(-rotation, rotation, len(some))))
    return out


def jitter_stain(images: Tensor, spread: float, rng: np.random.Generator) -> Tensor:
    """Beyond the paper: vary stain strength by a factor per channel on optical density.

    Intensity I in [0, 1] becomes I ** g with g = common * channel factors, each uniform in
    [1 - spread, 1 + spread] (Beer and Lambert: a thicker or stronger stain multiplies the optical density).
    """
    common = rng.uniform(1 - spread, 1 + spread, (len(images), 1))
    channel = rng.uniform(1 - spread / 2, 1 + spread / 2, (len(images), 3))
    gamma = torch.as_tensor(common * channel, dtype=images.dtype, device=images.device)
    return images.clamp_min(1e-3) ** gamma.view(-1, 3, 1, 1)
