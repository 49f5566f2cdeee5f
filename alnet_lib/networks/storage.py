"""A trained network on disk: weights as safetensors, its description as JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from alnet_lib.core.files import atomic_path, write_json
from alnet_lib.core.integrity.index import digest_of
from alnet_lib.core.integrity.reading import Damaged, reading
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Network, Preprocessing

if TYPE_CHECKING:
    import pandas as pd

DIGEST = "sha256"
"""Entry of the description: SHA-256 of the file of weights, as `sha256sum` prints it."""

Share = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DamagedModel(ValueError):
    """A trained network that cannot be trusted; the message names the file and what is wrong."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Preprocessing(_Strict):
    mean: tuple[Share, Share, Share]
    std: tuple[Spread, Spread, Spread]
    bgr: bool


class _TrainedOn(_Strict):
    cohort: str
    kind: str
    profile: str = ""


class _Description(_Strict):
    """What the JSON beside the weights must hold, and what it may."""

    backbone: str = Field(min_length=1)
    classes: list[str] = Field(min_length=2)
    input_size: int = Field(ge=8, le=1024)
    weights: str
    preprocessing: _Preprocessing
    head: tuple[int, int]
    threshold: float = Field(default=0.5, ge=0, lt=1, allow_inf_nan=False)
    crop: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    trained_on: _TrainedOn | None = None
    sha256: str = Field(default="", pattern="^[0-9a-f]{64}$")

    @field_validator("classes")
    @classmethod
    def _once_each(cls, classes: list[str]) -> list[str]:
        twice = sorted({name for name in classes if classes.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there more than once")
        return classes


def save_network(
    network: Network, path: Path, settings: dict[str, Any], *, history: pd.DataFrame | None = None
) -> None:
    """Write a network's weights, and beside them what is needed to build it again, with the digest of the weights.

    Parameters
    ----------
    network : Network
        On any device.
    path : Path
        The safetensors file; the description gets the same name with .json.
    settings : dict
        Further entries of the description; they win over the network's own, but for the digest.
    history : DataFrame, optional
        One row an iteration, kept beside the weights as .history.csv.
    """
    if history is not None:
        with atomic_path(path.with_suffix(".history.csv")) as temporary:
            history.to_csv(temporary, index=False)
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in network.state_dict().items()}, temporary)
        digest = digest_of(temporary)
    write_json(
        path.with_suffix(".json"),
        {
            "backbone": network.name,
            "classes": list(network.classes),
            "input_size": network.input_size,
            "weights": network.weights,
            "preprocessing": vars(network.preprocessing),
            "head": list(network.hidden),
            **settings,
            DIGEST: digest,
        },
    )


def load_network(path: Path) -> tuple[Network, dict[str, Any]]:
    """Read the network that `save_network` wrote, in evaluation mode on the CPU, and its description.

    Nothing is used that does not fit: the description is checked against its schema and the run's index of digests, the
    weights against the digest in it. A description written before there were digests has no entry `sha256`; its weights
    are then checked only for their names, shapes, kinds of number and for values that are not finite.

    Parameters
    ----------
    path : Path
        The safetensors file.

    Raises
    ------
    FileNotFoundError
        The weights or their description are missing.
    DamagedModel
        One of them is damaged; the message names the file.
    """
    about = path.with_suffix(".json")
    for file in (path, about):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing")
    settings = _described(about)
    if settings.get(DIGEST) and digest_of(path) != settings[DIGEST]:
        raise DamagedModel(f"{path} is damaged: its SHA-256 is not the one in {about.name}")
    network = _built(about, settings)
    try:
        weights = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise DamagedModel(f"{path} is damaged: {error}") from error
    if what := _misfit(network, weights):
        raise DamagedModel(f"{path} does not fit {about.name}, one of them is damaged: {what}")
    network.load_state_dict(weights)
    return network.eval(), settings


def _described(about: Path) -> dict[str, Any]:
    try:
        with reading(about):
            text = about.read_text(encoding="utf-8")
        _Description.model_validate_json(text)
        return json.loads(text)
    except ValidationError as error:
        found = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
        what = "; ".join(f"{where}: {message}" if where else message for where, message in found)
        raise DamagedModel(f"{about} is damaged: {what}") from error
    except Damaged as error:
        raise DamagedModel(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise DamagedModel(f"{about} is damaged: {error}") from error


def _built(about: Path, settings: dict[str, Any]) -> Network:
    # timm and torch fail in many ways on names and sizes that never were; to the reader they are one.
    try:
        network = build(settings["backbone"], settings["classes"], settings["input_size"])
    except Exception as error:
        what = f"no network can be built from it ({type(error).__name__}: {error})"
        raise DamagedModel(f"{about} is damaged: {what}") from error
    if list(network.hidden) != settings["head"]:
        what = f"the head of {network.name} is {list(network.hidden)}, not {settings['head']}"
        raise DamagedModel(f"{about} is damaged: {what}")
    given = settings["preprocessing"]
    network.preprocessing = Preprocessing(tuple(given["mean"]), tuple(given["std"]), given["bgr"])
    network.weights = settings["weights"]
    return network


def _misfit(network: Network, weights: dict[str, torch.Tensor]) -> str:
    own = network.state_dict()
    if own.keys() != weights.keys():
        lacking, more = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
        return "; ".join(
            f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
            for what, names in (("lacks", lacking), ("unknown", more))
            if names
        )
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            needed, got = ((*t.shape, str(t.dtype).removeprefix("torch.")) for t in (own[name], tensor))
            return f"{name} is {got}, {needed} is needed"
        if not torch.isfinite(tensor).all():
            return f"{name} has values that are not finite"
    return ""
