"""Starts by their names: `random`, `imagenet`, `cells`, a file, or a model of a hub.

A profile names a start for each network; what it is, where it comes from and its checksum are told by `describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.networks.architectures import ARCHITECTURES
from alnet_lib.networks.starts import files, imagenet
from alnet_lib.networks.starts.files import StartError
from alnet_lib.networks.timm_body import TimmBody

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network

RANDOM, IMAGENET, CELLS, HUB = "random", "imagenet", "cells", "hf-hub:"

DATA = Path(__file__).parent / "data"
"""Folder of the starts that the kit brings."""

MEANING = {
    RANDOM: "seeded random weights, fitted to the training images' colours: nothing is transferred",
    IMAGENET: "weights trained on ImageNet, as the paper's: torchvision's, pretrainedmodels' or timm's file",
    CELLS: "the kit's own start, distilled on drawn cells and on cells of healthy people; comes with the kit",
    "FILE": "a start made by `alnet starts make`, named by its path (.safetensors)",
    "hf-hub:NAME": "weights of a model of the Hugging Face hub, for a network of timm",
}
"""Name of a start -> what it is."""


@dataclass(frozen=True)
class Origin:
    """Where the weights of a start come from.

    Attributes
    ----------
    start : str
        Its name in the profile.
    network : str
        Name of the architecture.
    file : str
        Name of the file, without its folder; empty where there is none.
    sha256 : str
        Of the file; empty where there is none at hand.
    licence : str
        Of the weights; empty where nobody said so.
    trained_on : str
        Images.
    method : str
        How it was trained.
    """

    start: str
    network: str
    file: str = ""
    sha256: str = ""
    licence: str = ""
    trained_on: str = "nothing"
    method: str = ""


def shipped(network: str) -> Path:
    """File of the start `cells` of a network, whether or not there is one.

    Parameters
    ----------
    network : str
        Name of the architecture.
    """
    return DATA / f"{CELLS}-{network}.safetensors"


def brought() -> list[str]:
    """Names of the networks that the kit brings a start `cells` of, in the order of ARCHITECTURES."""
    return [network for network in ARCHITECTURES if shipped(network).is_file()]


def networks_of(start: str) -> list[str]:
    """Tell which networks a start is for.

    Parameters
    ----------
    start : str
        A name of `MEANING`.

    Returns
    -------
    list of str
        Names of architectures; empty where the start's name does not tell.

    Raises
    ------
    StartError
        There is no such start, or its file is damaged.
    """
    if start == CELLS:
        return brought()
    if start == IMAGENET:
        return [network for network, known in ARCHITECTURES.items() if not known.miniature_of]
    path = path_of(start, "")
    return [files.read(path)[0].network] if path else []


def path_of(start: str, network: str) -> Path | None:
    """File of a start in the kit's own format.

    Parameters
    ----------
    start : str
        A name of `MEANING`.
    network : str
        Name of the architecture.

    Returns
    -------
    Path or None
        None for starts that are no such file.

    Raises
    ------
    StartError
        There is no start of this name, or the kit brings no `cells` of this network, or they are damaged.
    """
    if start in (RANDOM, IMAGENET) or start.startswith(HUB):
        return None
    if start == CELLS:
        if not shipped(network).is_file():
            there = ", ".join(brought()) or "no network"
            raise StartError(f"there is no start `{CELLS}` of {network}; it is there for {there}")
        files.check(shipped(network))
        return shipped(network)
    path = Path(start)
    if path.suffix != ".safetensors":
        raise StartError(
            f"unknown start `{start}`: known are {', '.join(MEANING)}; a file must end in .safetensors, since others "
            "can run code when they are read"
        )
    return path.expanduser()


def load(network: Network, start: str, weights_dir: str = "") -> None:
    """Put a start into a network's blocks; its preprocessing becomes the network's, the head stays random.

    Parameters
    ----------
    network : Network
        Changed in place.
    start : str
        A name of `MEANING`.
    weights_dir : str
        Folder to look for ImageNet weights in, before the usual caches.

    Raises
    ------
    StartError
        There is no such start, or it does not fit the network.
    alnet_lib.networks.starts.imagenet.WeightsError
        ImageNet weights, or those of a hub, cannot be had or do not fit.
    """
    if start == RANDOM:
        return
    if start == IMAGENET:
        imagenet.load_imagenet(network, weights_dir)
    elif start.startswith(HUB):
        if not isinstance(network.blocks[0], TimmBody):
            raise StartError(f"{start} is for a network of timm, the profile asks for {network.name}")
        imagenet.load_hub(network, network.blocks[0], start)
    elif (path := path_of(start, network.name)) is not None:
        files.fill(network, path)
        network.weights = f"{start}: {path.name}" if start == CELLS else path.name


def describe(start: str, network: str, weights_dir: str = "") -> Origin:
    """Tell where a start's weights come from, without building a network.

    Parameters
    ----------
    start : str
        A name of `MEANING`.
    network : str
        Name of the architecture.
    weights_dir : str
        The profile's folder of weight files.

    Returns
    -------
    Origin
        Without file and checksum where a file is not at hand.

    Raises
    ------
    StartError
        There is no such start, or its file is damaged or of another network.
    alnet_lib.networks.starts.imagenet.WeightsError
        There are no ImageNet weights of this network, or their file is damaged.
    """
    if start == RANDOM:
        return Origin(start, network, method=MEANING[RANDOM])
    if start == IMAGENET:
        found = imagenet.find(network, weights_dir)
        method = "supervised, 1,000 classes"
        if found is None:
            return Origin(start, network, trained_on="ImageNet", method=method)
        return Origin(
            start, network, imagenet.told(found), digest_of(found), imagenet.licence(found), "ImageNet", method
        )
    if (path := path_of(start, network)) is None:
        return Origin(start, network, trained_on="see the model's card on the hub", method="")
    about = files.read(path)[0]
    if about.network != network:
        raise StartError(f"{path} is a start of {about.network}, not of {network}")
    return Origin(start, network, path.name, digest_of(path), about.licence, about.trained_on, about.method)


def origins_of(chosen: Mapping[str, str], weights_dir: str = "") -> list[dict[str, str]]:
    """Tell where the weights of several networks come from, for a run's provenance.

    Parameters
    ----------
    chosen : mapping of str to str
        Network to the name of its start.
    weights_dir : str
        The profile's folder of weight files.

    Returns
    -------
    list of dict
        The fields of `Origin`, one a network.

    Raises
    ------
    StartError, alnet_lib.networks.starts.imagenet.WeightsError
        A start that does not exist, or whose file is damaged.
    """
    return [asdict(describe(start, network, weights_dir)) for network, start in chosen.items()]


def ensure(chosen: Mapping[str, str], weights_dir: str = "") -> list[Origin]:
    """See that the weights of several networks are at hand, ImageNet weights are downloaded if need be.

    Parameters
    ----------
    chosen : mapping of str to str
        Network to the name of its start.
    weights_dir : str
        The profile's folder of weight files.

    Returns
    -------
    list of Origin
        One a network.

    Raises
    ------
    StartError, alnet_lib.networks.starts.imagenet.WeightsError
        A start that cannot be had; the message names every one.
    """
    found, problems = list[Origin](), list[str]()
    for network, start in chosen.items():
        try:
            if start == IMAGENET and network in ARCHITECTURES:
                imagenet.fetch(network, weights_dir)
            found.append(describe(start, network, weights_dir))
        except (StartError, imagenet.WeightsError) as error:
            problems.append(str(error))
    if problems:
        raise StartError(" ".join(problems))
    return found


def fingerprint(start: str, network: str) -> str:
    """Name a start so that the name changes with the content of its file.

    Parameters
    ----------
    start : str
        A name of `MEANING`.
    network : str
        Name of the architecture.

    Raises
    ------
    StartError
        There is no such start.
    """
    path = path_of(start, network)
    if path is not None and not path.is_file():
        raise StartError(f"{path}: there is no such start")
    return start if path is None else f"{start} {digest_of(path)}"
