"""The networks as five convolutional blocks and the paper's head (section 2.3).

The convolutional parts are torchvision's (VGG16, VGG19, ResNet101, DenseNet121, SqueezeNet 1.1) and
pretrainedmodels' (SENet154); only the cut into blocks and the head are ours. The families in miniature are those of
`networks.miniatures`.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from alnet_lib.networks import miniatures, timm_body


def senet() -> ModuleType:
    """Import the part of pretrainedmodels that defines SENets.

    It is old: Python warns of its syntax when it is first compiled, which is hidden here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        from pretrainedmodels.models import senet
    return senet


def _vgg(net: Any) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    current: list[nn.Module] = []
    for layer in net.features:
        current.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            blocks.append(nn.Sequential(*current))
            current = []
    return blocks


def _resnet(net: Any) -> list[nn.Module]:
    stem = nn.Sequential(OrderedDict(conv1=net.conv1, bn1=net.bn1, relu=net.relu, maxpool=net.maxpool))
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4]


def _densenet(net: Any) -> list[nn.Module]:
    parts = dict(net.features.named_children())
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
    return [*blocks]


def _senet(net: Any) -> list[nn.Module]:
    return [net.layer0, net.layer1, net.layer2, net.layer3, net.layer4]


def _residual(net: Any) -> list[nn.Module]:
    stem = nn.Sequential(OrderedDict(conv1=net.conv1, bn1=net.bn1, act1=net.act1, maxpool=net.maxpool))
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4]


def _squeezenet(net: Any) -> list[nn.Module]:
    return [net.features[start:stop] for start, stop in ((0, 3), (3, 6), (6, 9), (9, 11), (11, 13))]


@dataclass(frozen=True)
class Architecture:
    """One network of the comparison.

    Attributes
    ----------
    title : str
        Its name in tables.
    library : callable
        The whole network as its library builds it, from a random start.
    cut : callable
        That network to our list of convolutional blocks, which are its own modules.
    hidden : tuple of int
        Widths of the two hidden fully connected layers.
    miniature_of : str
        Of a miniature: the network of the paper whose family it is; else empty.
    """

    title: str
    library: Callable[[], nn.Module]
    cut: Callable[[Any], list[nn.Module]]
    hidden: tuple[int, int]
    miniature_of: str = ""

    def blocks(self) -> list[nn.Module]:
        """Build the convolutional blocks from a random start, drawn from torch's global generator."""
        return self.cut(self.library())

    def library_keys(self) -> tuple[dict[str, str], set[str]]:
        """Where the blocks' tensors stand in the library's state dict.

        Found by building the library's network once more, without memory (torch's meta device): the tensors of the
        blocks are the network's own, so each is looked up there by identity.

        Returns
        -------
        tuple
            Key in the blocks' state dict (of a ModuleList) to key in the library's; and the library's keys that are in
            no block (those of its classifier).
        """
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = self.library()
        # Cut after listing the keys: nothing in the network is changed, but the order makes that plain.
        key_of = {id(tensor): key for key, tensor in network.state_dict(keep_vars=True).items()}
        blocks = nn.ModuleList(self.cut(network)).state_dict(keep_vars=True)
        keys = {key: key_of[id(tensor)] for key, tensor in blocks.items()}
        return keys, set(key_of.values()) - set(keys.values())


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        # Imported on use: it takes seconds, and most steps of a run build no network.
        import torchvision

        return getattr(torchvision.models, name)(weights=None)

    return build


ARCHITECTURES: dict[str, Architecture] = {
    "vgg16": Architecture("VGG16", _torchvision("vgg16"), _vgg, (1024, 512)),
    "vgg19": Architecture("VGG19", _torchvision("vgg19"), _vgg, (1024, 512)),
    "resnet101": Architecture("ResNet101", _torchvision("resnet101"), _resnet, (4096, 512)),
    "densenet121": Architecture("DenseNet121", _torchvision("densenet121"), _densenet, (2048, 512)),
    "senet154": Architecture(
        "SENet154", lambda: senet().senet154(num_classes=1000, pretrained=None), _senet, (4096, 512)
    ),
    "squeezenet1_1": Architecture("SqueezeNet 1.1", _torchvision("squeezenet1_1"), _squeezenet, (1024, 512)),
    "vgg16_miniature": Architecture(
        "VGG16, miniature", lambda: miniatures.vgg(2, 2, 3, 3, 3), _vgg, miniatures.HIDDEN, "vgg16"
    ),
    "vgg19_miniature": Architecture(
        "VGG19, miniature", lambda: miniatures.vgg(2, 2, 4, 4, 4), _vgg, miniatures.HIDDEN, "vgg19"
    ),
    "resnet_miniature": Architecture("ResNet, miniature", miniatures.resnet, _residual, miniatures.HIDDEN, "resnet101"),
    "densenet_miniature": Architecture(
        "DenseNet, miniature", miniatures.densenet, _densenet, miniatures.HIDDEN, "densenet121"
    ),
    "senet_miniature": Architecture("SENet, miniature", miniatures.senet, _residual, miniatures.HIDDEN, "senet154"),
}
"""The paper's networks, SqueezeNet, and the families in miniature. To add one: its library's network and a cut."""


def architecture(name: str, input_size: int = 224) -> Architecture:
    """Look up an architecture.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.
    input_size : int
        Pixels a side; timm's transformers are built for it.

    Raises
    ------
    ValueError
        The name is neither in ARCHITECTURES nor in timm.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if not timm_body.known(name):
        raise ValueError(f"unknown network `{name}`: known are {', '.join(ARCHITECTURES)}, and the models of timm")
    return Architecture(name, lambda: timm_body.TimmBody(name, input_size), lambda body: [body], (1024, 512))


def title(name: str) -> str:
    """Name of a network in tables.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.

    Returns
    -------
    str
        For example `VGG16`; timm's own name for its models.
    """
    return ARCHITECTURES[name].title if name in ARCHITECTURES else name


def in_the_paper(name: str) -> str:
    """Network of the paper beside which a network stands in tables.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.

    Returns
    -------
    str
        `vgg16` for `vgg16_miniature`; the name itself for what is no miniature.
    """
    known = ARCHITECTURES.get(name)
    return (known.miniature_of if known else "") or name


def stand_ins(names: Sequence[str]) -> str:
    """Say for a caption which networks stand for those of the paper.

    Parameters
    ----------
    names : sequence of str
        Keys of ARCHITECTURES, or models of timm.

    Returns
    -------
    str
        A sentence that begins with a space; empty where no name is that of a miniature.
    """
    small = dict.fromkeys(name for name in names if in_the_paper(name) != name)
    if not small:
        return ""
    pairs = [f"{title(name)} for {title(in_the_paper(name))}" for name in small]
    return f" This run trains small networks of the families that the paper has: {', '.join(pairs)}."
