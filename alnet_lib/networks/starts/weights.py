"""Where each weight file of a run was found, or the command to get it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.networks.architectures import ARCHITECTURES
from alnet_lib.networks.starts import imagenet, start
from alnet_lib.networks.starts.files import StartError

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile


@dataclass(frozen=True)
class Weights:
    """What a network begins with, and whether it is there.

    Attributes
    ----------
    network : str
        Name of the architecture.
    start : str
        Its name in the profile.
    there : bool
        Nothing is left to be got.
    said : str
        What was found, in words, without a folder.
    where : str
        The file; empty where there is none.
    command : str
        To get it; empty where nothing is to be got.
    """

    network: str
    start: str
    there: bool
    said: str
    where: str = ""
    command: str = ""


def of_run(profile: Profile) -> list[Weights]:
    """Look for the weights of every network of a profile, each start once.

    Parameters
    ----------
    profile : Profile
        Networks, starts, and the folder of weight files.
    """
    asked = [(name, profile.start_of(name)) for name in profile.networks]
    asked += [(one.network, one.start) for one in profile.transfer.starts] if profile.transfer else []
    return [look(network, begin, profile.weights_dir) for network, begin in dict.fromkeys(asked)]


def look(network: str, begin: str, weights_dir: str = "") -> Weights:
    """Look for the weights of one network.

    Parameters
    ----------
    network : str
        Name of the architecture, or a model of timm.
    begin : str
        A name of `networks.starts.start.MEANING`.
    weights_dir : str
        The profile's folder of weight files; empty for none.
    """
    if begin == start.RANDOM:
        return Weights(network, begin, True, "random numbers; nothing is transferred")
    try:
        if begin == start.IMAGENET:
            found = imagenet.find(network, weights_dir)
            return _found(network, begin, found) if found else _absent(network)
        if begin.startswith(start.HUB):
            return Weights(network, begin, False, "asked of the hub when training starts", command=_timm(begin))
        path = start.path_of(begin, network)
        if path is not None and path.is_file():
            return _found(network, begin, path)
        return Weights(network, begin, False, f"{Path(begin).name} is not there")
    except (StartError, imagenet.WeightsError) as error:
        return Weights(network, begin, False, " ".join(str(error).split()))


def _found(network: str, begin: str, path: Path) -> Weights:
    return Weights(network, begin, True, f"found, {imagenet.told(path)}", str(path))


def _absent(network: str) -> Weights:
    if network not in ARCHITECTURES:
        return Weights(network, start.IMAGENET, False, "not at hand; timm downloads it", command=_timm(network))
    said = f"not at hand; one of these files will do: {', '.join(imagenet.names(network))}"
    return Weights(network, start.IMAGENET, False, said, command=f"alnet starts check --network {network} --fetch")


def _timm(name: str) -> str:
    call = f"import timm; timm.create_model({name!r}, pretrained=True)"
    return f"python -c {shlex.quote(call)}"
