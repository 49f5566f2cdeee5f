"""The network as the paper has it (section 2.3): five convolutional blocks and a head of three layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from alnet_lib.imaging.augmentation import to_tensor
from alnet_lib.networks.timm_body import BLOCKS, TimmBody


@dataclass(frozen=True)
class Preprocessing:
    """What a network's weights expect of an RGB image in [0, 1]: (channel - mean) / std, then the channel order.

    Attributes
    ----------
    mean : tuple of float
        Of red, green and blue, in [0, 1].
    std : tuple of float
        Of red, green and blue, in units of [0, 1].
    bgr : bool
        Whether the network takes blue first.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images.

        Parameters
        ----------
        images : Tensor
            Float (N, 3, H, W) in [0, 1], RGB.

        Returns
        -------
        Tensor
            Same shape, as the network takes it.
        """
        given = to_tensor(np.array([self.mean, self.std]), images.device).to(images.dtype)
        mean, std = given.view(2, 1, 3, 1, 1)
        images = (images - mean) / std
        return images.flip(1) if self.bgr else images


CAFFE = Preprocessing(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)
"""Preprocessing of weights trained in Caffe's manner: BGR, 0 to 255, channel means subtracted."""


def device_of(module: nn.Module) -> torch.device:
    """Tell where a module's parameters lie.

    Parameters
    ----------
    module : Module
        One without parameters counts as on the CPU.
    """
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


class _Tail(nn.Sequential):
    """Leaves it to its parts which of their parameters train: torch's own method sets them all."""

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        for part in self:
            part.requires_grad_(requires_grad)
        return self


class Network(nn.Module):
    """Five convolutional blocks and a head of three fully connected layers.

    Attributes
    ----------
    name : str
        Key of ARCHITECTURES, or timm's name.
    classes : tuple of str
        In the order of the logits.
    input_size : int
        Pixels a side.
    blocks : ModuleList
        Five convolutional blocks; one `TimmBody` for a timm model.
    map_shapes : tuple
        (C, h, w) after each block.
    head : Sequential
        Fully connected layers fc1, fc2, fc3, with ReLU and dropout between them.
    hidden : tuple of int
        Widths of fc1 and fc2.
    preprocessing : Preprocessing
        What the weights expect of an image.
    weights : str
        `random`, or the name of the weights that the blocks started from.
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        input_size: int,
        blocks: list[nn.Module],
        hidden: tuple[int, int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.name, self.classes, self.input_size, self.hidden = name, tuple(classes), input_size, hidden
        self.blocks = nn.ModuleList(blocks)
        self.preprocessing = Preprocessing()
        self.weights = "random"
        with torch.no_grad():
            shapes, x = [], torch.zeros(1, 3, input_size, input_size)
            self.blocks.eval()
            for block in self.blocks:
                x = block(x)
                shapes.append(tuple(x.shape[1:]))
            self.blocks.train()
        self.map_shapes: tuple[tuple[int, ...], ...] = tuple(shapes)
        first, second = hidden
        self.head = nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc1=nn.Linear(x.numel(), first),
                relu1=nn.ReLU(inplace=True),
                dropout1=nn.Dropout(dropout),
                fc2=nn.Linear(first, second),
                relu2=nn.ReLU(inplace=True),
                dropout2=nn.Dropout(dropout),
                fc3=nn.Linear(second, len(self.classes)),
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images.

        Parameters
        ----------
        images : Tensor
            Float (N, 3, input_size, input_size), normalised by `preprocessing`.

        Returns
        -------
        Tensor
            (N, classes).
        """
        for block in self.blocks:
            images = block(images)
        return self.head(images)

    def parts(self, fine_tuned_blocks: int) -> tuple[nn.Sequential, nn.Sequential]:
        """Split into the frozen prefix and the tail that trains (the last blocks and the head).

        Parameters
        ----------
        fine_tuned_blocks : int
            1 to 5; 5 trains the whole network.

        Returns
        -------
        tuple of Sequential
            Prefix (empty for 5, and for timm models, which freeze their own groups) and tail.

        Raises
        ------
        ValueError
            A number outside 1 to 5.
        """
        if not 1 <= fine_tuned_blocks <= BLOCKS:
            raise ValueError(f"{fine_tuned_blocks} fine-tuned blocks: a network has {BLOCKS}")
        if isinstance(self.blocks[0], TimmBody):
            self.blocks[0].fine_tune(fine_tuned_blocks)
            return nn.Sequential(), _Tail(self.blocks[0], self.head)
        kept = len(self.blocks) - fine_tuned_blocks
        return nn.Sequential(*self.blocks[:kept]), nn.Sequential(*self.blocks[kept:], self.head)
