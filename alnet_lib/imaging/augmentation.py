"""The balancing plan, and its transforms on batches (paper section 2.2).

The paper augments offline: flips and rotations of 0 to 60 degrees, up to four augmentations per image, until a class
has its target number. So the augmented training set is a fixed list; here it is a table, and the pixels are transformed
when a batch is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PINNED = 64_000_000
"""Bytes up to which an array goes to a card by pinned memory, which torch keeps: a batch, and no whole cohort."""


@dataclass(frozen=True)
class Plan:
    """The augmented training set: one entry per image shown in an epoch.

    Attributes
    ----------
    source : ndarray
        int64 (n,), position in the list of training images.
    flip_vertical, flip_horizontal : ndarray
        bool (n,).
    angle : ndarray
        float32 (n,), degrees, 0 for an original.
    """

    source: np.ndarray
    flip_vertical: np.ndarray
    flip_horizontal: np.ndarray
    angle: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    @property
    def original(self) -> np.ndarray:
        """Entries that are an untouched image, bool (n,)."""
        return (self.angle == 0) & ~self.flip_vertical & ~self.flip_horizontal


def balancing_plan(
    labels: np.ndarray,
    target: int,
    rng: np.random.Generator,
    *,
    augmentations_per_image: int = 4,
    rotation: float = 60.0,
    alike: bool = False,
) -> Plan:
    """Plan every image once, and augmentations of the classes below `target` until they reach it (section 2.2).

    A class of n images gets at most n * `augmentations_per_image` augmentations, so a larger target is not reached
    (Table 6 asks for 2,900 of 494 B-lymphoblast images; 2,470 are reachable with four). Larger classes are kept whole.
    Augmentations are spread evenly: no image gets a second one before each of its class has one.

    Parameters
    ----------
    labels : ndarray
        int (n,), class of each training image.
    target : int
        Images per class.
    rng : numpy.random.Generator
        Makes the plan.
    augmentations_per_image : int
        At most so many of one image.
    rotation : float
        Largest angle in degrees; angles are uniform in [0, rotation].
    alike : bool
        Beyond the paper: flip and turn originals as well, half of all entries by an angle, so that the signs of a
        rotation do not reveal the class.

    Returns
    -------
    Plan
        Originals first, in the order of `labels`, then the augmentations by class.
    """
    source = [np.arange(len(labels))]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = min(max(target - len(members), 0), augmentations_per_image * len(members))
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
    """Make a tensor of an array; pixels that may not be written to (memory-mapped) are copied.

    The host does not wait for a device: it would not have the next work ready in time.

    Parameters
    ----------
    pixels : ndarray
        Any shape and type.
    device : torch.device or str
        Where the tensor lies.

    Returns
    -------
    Tensor
        Same shape and type.
    """
    whole = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    if torch.device(device).type == "cuda" and whole.nbytes <= PINNED:
        whole = whole.pin_memory()
    return whole.to(device, non_blocking=True)


def _beside(values: np.ndarray, images: Tensor) -> Tensor:
    """Numbers where the images are, and of their type."""
    return to_tensor(values, images.device).to(images.dtype)


def to_float(pixels: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Make the batch that networks take, channels last in memory.

    Parameters
    ----------
    pixels : ndarray or Tensor
        uint8 (N, S, S, 3).
    device : torch.device or str
        Where the batch lies.

    Returns
    -------
    Tensor
        float32 (N, 3, S, S) in [0, 1].
    """
    whole = pixels.to(device) if isinstance(pixels, Tensor) else to_tensor(pixels, device)
    return whole.permute(0, 3, 1, 2).float().div_(255)


def transform(images: Tensor, plan: Plan, entries: np.ndarray) -> Tensor:
    """Apply the plan's flips and rotations to a batch of source images.

    Corners uncovered by a rotation are filled by reflection. Untouched originals come back bit for bit.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S), the source images of `entries`, in order.
    plan : Plan
        The augmented training set.
    entries : ndarray
        int (N,), rows of the plan.

    Returns
    -------
    Tensor
        float (N, 3, S, S).
    """
    flipped_v = to_tensor(plan.flip_vertical[entries], images.device)
    flipped_h = to_tensor(plan.flip_horizontal[entries], images.device)
    images = torch.where(flipped_v.view(-1, 1, 1, 1), images.flip(2), images)
    images = torch.where(flipped_h.view(-1, 1, 1, 1), images.flip(3), images)
    turned = np.flatnonzero(plan.angle[entries] != 0)
    if len(turned):
        index = to_tensor(turned, images.device)
        images = images.index_copy(0, index, rotate(images[index], plan.angle[entries][turned]))
    return images


def rotate(images: Tensor, degrees: np.ndarray) -> Tensor:
    """Turn each image about its centre, bilinear, reflecting at the border.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S).
    degrees : ndarray
        float (N,).

    Returns
    -------
    Tensor
        float (N, 3, S, S).
    """
    theta = to_tensor(np.deg2rad(degrees), images.device).float()
    cos, sin, zero = theta.cos(), theta.sin(), torch.zeros_like(theta)
    matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_orientation(images: Tensor, rng: np.random.Generator, rotation: float = 0.0) -> Tensor:
    """Beyond the paper: a random quarter turn and flip of each square image, and a rotation of half of them.

    The plan turns images of the rarer classes only, so the signs of a rotation (interpolation blur, mirrored corners)
    reveal the class; here they are the same for all classes.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S).
    rng : numpy.random.Generator
        Chooses turns, flips and angles.
    rotation : float
        Largest angle in degrees, either way; 0 leaves the rotation out.

    Returns
    -------
    Tensor
        float (N, 3, S, S).
    """
    choice = rng.integers(0, 8, len(images))
    out = torch.empty_like(images)
    for k in range(8):
        members = to_tensor(np.flatnonzero(choice == k), images.device)
        if len(members):
            turned = torch.rot90(images[members], k % 4, (2, 3))
            out[members] = turned.flip(3) if k >= 4 else turned
    if rotation:
        some = np.flatnonzero(rng.random(len(images)) < 0.5)
        index = to_tensor(some, images.device)
        out = out.index_copy(0, index, rotate(out[index], rng.uniform(-rotation, rotation, len(some))))
    return out


def jitter_stain(images: Tensor, spread: float, rng: np.random.Generator) -> Tensor:
    """Beyond the paper: vary stain strength by a factor per channel on optical density.

    Intensity I becomes I ** g (Beer and Lambert: a thicker or stronger stain multiplies the optical density), where g
    is a factor common to the channels times one of each channel.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S) in [0, 1].
    spread : float
        In [0, 1): the common factor is uniform in 1 +- spread, the channels' in 1 +- spread / 2.
    rng : numpy.random.Generator
        Draws the factors.

    Returns
    -------
    Tensor
        float (N, 3, S, S) in [0, 1].
    """
    common = rng.uniform(1 - spread, 1 + spread, (len(images), 1))
    channel = rng.uniform(1 - spread / 2, 1 + spread / 2, (len(images), 3))
    gamma = _beside(common * channel, images)
    return images.clamp_min(1e-3) ** gamma.view(-1, 3, 1, 1)


def vary_scale(images: Tensor, spread: float, rng: np.random.Generator) -> Tensor:
    """Beyond the paper: show each image nearer or farther about its centre, bilinear, reflecting at the border.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S).
    spread : float
        In [0, 1): magnifications are uniform in 1 +- spread.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    Tensor
        float (N, 3, S, S).
    """
    part = to_tensor(1 / rng.uniform(1 - spread, 1 + spread, len(images)), images.device).float()
    matrix = torch.zeros(len(images), 2, 3, device=images.device)
    matrix[:, 0, 0], matrix[:, 1, 1] = part, part
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def vary_focus(images: Tensor, spread: float, rng: np.random.Generator) -> Tensor:
    """Beyond the paper: blur half of the images by up to a mean over 3 x 3 pixels.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S).
    spread : float
        In [0, 1], largest share of the blurred image.
    rng : numpy.random.Generator
        Draws the shares.

    Returns
    -------
    Tensor
        float (N, 3, S, S).
    """
    share = np.where(rng.random(len(images)) < 0.5, rng.uniform(0, spread, len(images)), 0.0)
    blurred = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    weight = _beside(share, images).view(-1, 1, 1, 1)
    return torch.lerp(images, blurred, weight)


def vary_light(images: Tensor, spread: float, rng: np.random.Generator) -> Tensor:
    """Beyond the paper: another lamp or white balance, a factor of each channel.

    Parameters
    ----------
    images : Tensor
        float (N, 3, S, S) in [0, 1].
    spread : float
        In [0, 1): factors are uniform in 1 +- spread.
    rng : numpy.random.Generator
        Draws the factors.

    Returns
    -------
    Tensor
        float (N, 3, S, S) in [0, 1].
    """
    gain = _beside(rng.uniform(1 - spread, 1 + spread, (len(images), 3)), images)
    return (images * gain.view(-1, 3, 1, 1)).clamp_max(1)
