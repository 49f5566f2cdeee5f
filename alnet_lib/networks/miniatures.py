"""The paper's families in miniature: the same five blocks with few channels, for runs on processors without a GPU.

Built by the libraries' own classes with small widths: torchvision's VGG and DenseNet, timm's ResNet, which with squeeze
and excitation and grouped convolutions is the SENet of the paper. With their heads they have at most two million
parameters each.
"""

from __future__ import annotations

from typing import Any

from torch import nn

HIDDEN = (256, 128)
"""Widths of the two hidden fully connected layers of a miniature."""

WIDTHS = (16, 32, 64, 96, 128)
"""Channels of the five blocks of VGG; the residual networks' stem and stages have nearly the same."""


def vgg(*convolutions: int) -> nn.Module:
    """Build a VGG with batch normalisation, as torchvision's `vgg16_bn`, from a random start.

    Without it so short a training as those on a processor does not get far.

    Parameters
    ----------
    *convolutions : int
        Convolutions of each of the five blocks: 2, 2, 3, 3, 3 for VGG16.
    """
    from torchvision.models.vgg import VGG, make_layers

    plan: list[str | int] = []
    for width, number in zip(WIDTHS, convolutions, strict=True):
        plan += [*[width] * number, "M"]
    network = VGG(nn.Sequential(), num_classes=2)
    # The classifier is not ours, and its first layer alone would hold a hundred million numbers.
    network.features, network.classifier = make_layers(plan, batch_norm=True), nn.Sequential()
    return network


def densenet() -> nn.Module:
    """Build a DenseNet with growth rate 16 and dense blocks of 3, 6, 8 and 6 layers, from a random start."""
    from torchvision.models.densenet import DenseNet

    return DenseNet(growth_rate=16, block_config=(3, 6, 8, 6), num_init_features=32, num_classes=2)


def resnet() -> nn.Module:
    """Build a residual network with one basic block a stage, from a random start."""
    from timm.models.resnet import BasicBlock

    return _residual(BasicBlock, channels=WIDTHS[1:])


def senet() -> nn.Module:
    """Build a residual network of bottlenecks with squeeze and excitation and eight groups, from a random start."""
    from timm.models.resnet import Bottleneck

    planes = tuple(3 * width // 4 for width in WIDTHS[1:])
    return _residual(Bottleneck, channels=planes, cardinality=8, base_width=8, block_args={"attn_layer": "se"})


def _residual(block: Any, **settings: Any) -> nn.Module:
    from timm.models.resnet import ResNet

    return ResNet(block, (1, 1, 1, 1), num_classes=2, stem_width=WIDTHS[0], zero_init_last=False, **settings)
