"""The networks as five convolutional blocks and the paper's head (section 2.3).

The convolutional parts are torchvision's (VGG16, VGG19, ResNet101, DenseNet121, SqueezeNet 1.1) and
pretrainedmodels' (SENet154); only the cut into blocks and the head are ours.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
import torchvision
from torch import Tensor, nn

from alnet_lib import timm_backbones
from alnet_lib.timm_backbones import DEPTHS, TimmBody


@dataclass(frozen=True)
class Preprocessing:
    """What a network's weights expect of an RGB image in [0, 1]: (channel - mean) / std, then the channel order."""

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise float images (N, 3, H, W) in [0, 1], RGB."""
        mean = images.new_tensor(self.mean).view(1, 3, 1, 1)
        std = images.new_tensor(self.std).view(1, 3, 1, 1)
        images = (images - mean) / std
        return images.flip(1) if self.bgr else images


CAFFE = Preprocessing(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)
"""Preprocessing of weights trained in Caffe's manner: BGR, 0 to 255, channel means subtracted."""


def _vgg_blocks(layers: int) -> list[nn.Module]:
    features = getattr(torchvision.models, f"vgg{layers}")(weights=None).features
    blocks, current = [], []
    for layer in features:
        current.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            blocks.append(nn.Sequential(*current))
            current = []
    return blocks


def _resnet101_blocks() -> list[nn.Module]:
    net = torchvision.models.resnet101(weights=None)
    stem = nn.Sequential(
        OrderedDict(conv1=net.conv1, bn1=net.bn1, relu=net.relu, maxpool=net.maxpool),
    )
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4]


def _densenet121_blocks() -> list[nn.Module]:
    features = torchvision.models.densenet121(weights=None).features
    parts = dict(features.named_children())
    groups = [
        ("conv0", "norm0", "relu0", "pool0"),
        ("denseblock1", "transition1"),
        ("denseblock2", "transition2"),
        ("denseblock3", "transition3"),
        ("denseblock4", "norm5"),
    ]
    blocks = [nn.Sequential(OrderedDict((name, parts[name]) for name in group)) for group in groups]
    # torchvision applies the last ReLU in forward(), outside `features`.
    blocks[-1].add_module("relu5", nn.ReLU(inplace=True))
    return blocks


def senet() -> ModuleType:
    """pretrainedmodels' module of SENets. It is old: Python warns of its syntax when it is first compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from pretrainedmodels.models import senet
    return senet


def _senet154_blocks() -> list[nn.Module]:
    net = senet().senet154(num_classes=1000, pretrained=None)
    return [net.layer0, net.layer1, net.layer2, net.layer3, net.layer4]


def _squeezenet_blocks() -> list[nn.Module]:
    features = torchvision.models.squeezenet1_1(weights=None).features
    return [features[0:3], features[3:6], features[6:9], features[9:11], features[11:13]]


@dataclass(frozen=True)
class Architecture:
    """One network of the comparison: its title, its blocks, and the widths of its fully connected layers."""

    title: str
    blocks: Callable[[], list[nn.Module]]
    hidden: tuple[int, int]


ARCHITECTURES: dict[str, Architecture] = {
    "vgg16": Architecture("VGG16", lambda: _vgg_blocks(16), (1024, 512)),
    "vgg19": Architecture("VGG19", lambda: _vgg_blocks(19), (1024, 512)),
    "resnet101": Architecture("ResNet101", _resnet101_blocks, (4096, 512)),
    "densenet121": Architecture("DenseNet121", _densenet121_blocks, (2048, 512)),
    "senet154": Architecture("SENet154", _senet154_blocks, (4096, 512)),
    "squeezenet1_1": Architecture("SqueezeNet 1.1", _squeezenet_blocks, (1024, 512)),
}


def architecture(name: str, input_size: int = 224) -> Architecture:
    """The architecture of a name in ARCHITECTURES or in timm.

    Raises
    ------
    ValueError
        neither knows the name.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if not timm_backbones.known(name):
        raise ValueError(f"unknown network `{name}`: known are {', '.join(ARCHITECTURES)}, and the models of timm")
    return Architecture(name, lambda: [timm_backbones.TimmBody(name, input_size)], (1024, 512))


def title(name: str) -> str:
    """What a network is called in tables: `VGG16`; timm's own name for its models."""
    return ARCHITECTURES[name].title if name in ARCHITECTURES else name


class _Tail(nn.Sequential):
    """Leaves it to its parts which of their parameters train: torch's own method sets them all."""

    def requires_grad_(self, requires_grad: bool = True) -> _Tail:
        for part in self:
            part.requires_grad_(requires_grad)
        return self


class Network(nn.Module):
    """Five convolutional blocks and a head of three fully connected layers.

    Attributes
    ----------
    name: key in ARCHITECTURES, or timm's. classes: names, in the order of the logits. input_size: pixels a side.
    blocks: ModuleList of five (of one `TimmBody` for a timm model). head: Sequential.
    preprocessing: what the weights expect.
    weights: `none` or the name of the weights that `blocks` started from.
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
        self.name, self.classes, self.input_size = name, tuple(classes), input_size
        self.blocks = nn.ModuleList(blocks)
        self.preprocessing = Preprocessing()
        self.weights = "none"
        with torch.no_grad():
            shapes, x = [], torch.zeros(1, 3, input_size, input_size)
            self.blocks.eval()
            for block in self.blocks:
                x = block(x)
                shapes.append(tuple(x.shape[1:]))
            self.blocks.train()
        self.map_shapes: tuple[tuple[int, int, int], ...] = tuple(shapes)
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
        """Logits (N, classes) of normalised float images (N, 3, input_size, input_size)."""
        for block in self.blocks:
            images = block(images)
        return self.head(images)

    def parts(self, depth: int) -> tuple[nn.Sequential, nn.Sequential]:
        """The frozen prefix and the trained tail when the last `depth` blocks (1 to 5) are fine-tuned."""
        if not 1 <= depth <= DEPTHS:
            raise ValueError(f"depth {depth}: a network has {DEPTHS} blocks")
        if isinstance(self.blocks[0], TimmBody):
            self.blocks[0].keep(depth)
            return nn.Sequential(), _Tail(self.blocks[0], self.head)
        kept = len(self.blocks) - depth
        return nn.Sequential(*self.blocks[:kept]), nn.Sequential(*self.blocks[kept:], self.head)


def build(
    name: str,
    classes: Sequence[str],
    input_size: int,
    *,
    weights: str = "none",
    weights_dir: str = "",
    dropout: float = 0.5,
    seed: int = 0,
) -> Network:
    """A network with a head for `classes`, from a seeded random start or from ImageNet weights.

    Parameters
    ----------
    name: key of ARCHITECTURES, or a model of timm. classes: at least two names. input_size: pixels a side, at least 32.
    weights: `none` or `imagenet`. dropout: in [0, 1), between the fully connected layers.

    Raises
    ------
    ValueError
        unknown name, or fewer than two classes.
    alnet_lib.weights.WeightsError
        `imagenet` weights that cannot be had; the message names the file and where to put it.
    """
    if len(classes) < 2:
        raise ValueError(f"a classifier needs two classes or more, not {list(classes)}")
    chosen = architecture(name, input_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(name, classes, input_size, chosen.blocks(), chosen.hidden, dropout)
    if weights != "none":
        from alnet_lib.weights import load_imagenet

        load_imagenet(network, weights_dir)
    return network


NORMALISING = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
"""Layers that keep a signal's variance by themselves."""


class _Reached(Exception):
    """A layer's outputs are known: the rest of the forward pass is not needed."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread


def _stop_after(_layer: nn.Module, _inputs: tuple, outputs: Tensor) -> None:
    raise _Reached(float(outputs.std()))


def start_from(network: Network, images: Tensor, *, seed: int = 0, tolerance: float = 0.05) -> None:
    """Fit a random start to the images at hand: their mean and deviation for normalising, unit variance in every layer.

    Layer-sequential unit-variance initialisation (Mishkin and Matas, ICLR 2016): orthonormal weights, each layer in
    turn scaled until its outputs on `images` have variance 1. Without it VGG16 loses its signal on the way, and a short
    training ends before it has found one. Networks with normalising layers have no need of it and only get the
    normalising.

    images: float (N, 3, S, S) in [0, 1], some tens of training images. The network is changed in place.
    """
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp_min(1e-3)
    network.preprocessing = Preprocessing(tuple(mean.tolist()), tuple(std.tolist()))
    if any(isinstance(module, NORMALISING) for module in network.modules()):
        return
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    training = network.training
    network.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in layers[:-1]:
            nn.init.orthogonal_(layer.weight)
            hook = layer.register_forward_hook(_stop_after)
            for _ in range(5):
                spread = 0.0
                try:
                    network(network.preprocessing(images))
                except _Reached as reached:
                    spread = reached.spread
                if spread < 1e-8 or abs(spread - 1) < tolerance:
                    break
                layer.weight.div_(spread)
            hook.remove()
    network.train(training)
