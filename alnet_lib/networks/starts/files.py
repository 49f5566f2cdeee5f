"""A start in a file: the blocks' tensors in half precision, and in the same file what they are.

safetensors keeps a header of text beside the tensors, so that a start is one file and cannot lose its description.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from alnet_lib.core.files import atomic_path, write_text
from alnet_lib.core.integrity.index import digest_of
from alnet_lib.networks.network import Network, Preprocessing

HEADER = "alnet_start"
"""Entry of the file's header that describes the start, as JSON."""

SUMS = "SHA256SUMS"
"""File beside the starts of the kit: their checksums, as `sha256sum` writes and checks them."""

_COUNTER = "num_batches_tracked"
"""A buffer of batch normalisation that prediction does not use."""


class StartError(ValueError):
    """A start that cannot be used; the message names the file or start, what it is and what was asked for."""


class Description(BaseModel):
    """What a start says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: str = Field(min_length=1, description="name of the architecture")
    sizes: tuple[int, int] = Field(description="smallest and largest input size in pixels that it is meant for")
    mean: tuple[float, float, float] = Field(description="of red, green and blue, in [0, 1]")
    std: tuple[float, float, float] = Field(description="of red, green and blue, in units of [0, 1]")
    bgr: bool = Field(False, description="whether the network takes blue first")
    trained_on: str = Field(description="images")
    method: str = Field(description="how, in words")
    licence: str = Field(description="of the weights")
    origin: str = Field(description="who made them, or the command that does")

    @property
    def preprocessing(self) -> Preprocessing:
        """Normalisation that the weights expect."""
        return Preprocessing(self.mean, self.std, self.bgr)


def write(path: Path, network: Network, **about: Any) -> None:
    """Write a network's blocks as a start.

    Parameters
    ----------
    path : Path
        The safetensors file.
    network : Network
        Its blocks and its preprocessing are kept, its head is not.
    **about : object
        Further fields of `Description`.

    Raises
    ------
    StartError
        The network has values that half precision cannot hold: its training went wrong.
    """
    own = network.preprocessing
    described = Description(network=network.name, mean=own.mean, std=own.std, bgr=own.bgr, **about)
    tensors = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in network.blocks.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    if broken := _not_finite(tensors):
        raise StartError(f"{network.name} is not written: {broken} has values that are not finite in half precision")
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: described.model_dump_json()})


def read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    """Read a start.

    Parameters
    ----------
    path : Path
        The safetensors file.

    Returns
    -------
    tuple
        The description, and float32 tensors by their names in the blocks' state dict.

    Raises
    ------
    StartError
        The file is missing, damaged, or not a start.
    """
    if not path.is_file():
        raise StartError(f"{path}: there is no such start")
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            names = list(file.keys())
            if header is None:
                raise StartError(_no_start(path, names))
            described = Description.model_validate_json(header)
            tensors = {name: file.get_tensor(name).float() for name in names}
    except StartError:
        raise
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise StartError(f"{path} is damaged: its description is not valid ({what})") from error
    except (SafetensorError, ValueError, OSError) as error:
        raise StartError(f"{path} is damaged or no safetensors file: {error}") from error
    if broken := _not_finite(tensors):
        raise StartError(f"{path} is damaged: {broken} has values that are not finite")
    return described, tensors


def _no_start(path: Path, names: Sequence[str]) -> str:
    if any(name.startswith("head.") for name in names):
        return f"{path} is a trained model of the kit, with its head, and not a start; see `alnet starts`"
    return f"{path} is no start: its header has no entry `{HEADER}`"


def _not_finite(tensors: dict[str, Tensor]) -> str:
    return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), "")


def sums(folder: Path) -> dict[str, str]:
    """Read the checksums of a folder of starts.

    Parameters
    ----------
    folder : Path
        That `SUMS` lies in.

    Returns
    -------
    dict of str to str
        Name of a file to its SHA-256; empty where there is no such list.
    """
    listed = folder / SUMS
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    return {name: known for known, _, name in (line.partition("  ") for line in lines)}


def note_sums(paths: Sequence[Path]) -> Path:
    """Write the checksums of starts into the list beside them; those of other files there stay as they are.

    Parameters
    ----------
    paths : sequence of Path
        At least one, all in one folder.

    Returns
    -------
    Path
        The list.
    """
    listed = paths[0].parent / SUMS
    known = sums(listed.parent) | {path.name: digest_of(path) for path in paths}
    write_text(listed, "".join(f"{known[name]}  {name}\n" for name in sorted(known)))
    return listed


def check(path: Path) -> None:
    """Compare a start with the checksum in the list beside it.

    Parameters
    ----------
    path : Path
        Of the start.

    Raises
    ------
    StartError
        The list does not have the file, or has another checksum for it.
    """
    known = sums(path.parent).get(path.name)
    if known is None:
        raise StartError(f"{path} cannot be checked: {SUMS} beside it does not list it")
    if digest_of(path) != known:
        raise StartError(f"{path} is damaged: its SHA-256 is not that of {SUMS}; install the kit again")


def fill(network: Network, path: Path) -> Description:
    """Put a start into a network's blocks and take over its preprocessing.

    Parameters
    ----------
    network : Network
        Changed in place; unchanged where the start does not fit.
    path : Path
        Of the start.

    Raises
    ------
    StartError
        The file cannot be used, is of another network, or is meant for other sizes; the message names both sides.
    """
    described, tensors = read(path)
    if described.network != network.name:
        raise StartError(f"{path} is a start of {described.network}, the profile asks for {network.name}")
    low, high = described.sizes
    if not low <= network.input_size <= high:
        raise StartError(
            f"{path} is meant for {low} to {high} pixels a side, the profile's image_size is {network.input_size}"
        )
    own = {name: tensor for name, tensor in network.blocks.state_dict().items() if not name.endswith(_COUNTER)}
    problems = [f"{name} is missing" for name in own.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - own.keys()]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, the network has {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != own[name].shape
    ]
    if problems:
        raise StartError(f"{path} does not fit {network.name}: {len(problems)} tensors differ, e.g. {min(problems)}")
    network.blocks.load_state_dict(tensors, strict=False)
    network.preprocessing = described.preprocessing
    return described
