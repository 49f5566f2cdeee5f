"""A trained network on disk: weights as safetensors, its description as JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save_file

from alnet_lib.core.files import atomic_path, write_json
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Network, Preprocessing


def save_network(
    network: Network, path: Path, settings: dict[str, Any], *, history: pd.DataFrame | None = None
) -> None:
    """Write a network's weights, and beside them what is needed to build it again.

    Parameters
    ----------
    network : Network
        On any device.
    path : Path
        The safetensors file; the description gets the same name with .json.
    settings : dict
        Further entries of the description; they win over the network's own.
    history : DataFrame, optional
        One row an iteration, kept beside the weights as .history.csv.
    """
    if history is not None:
        with atomic_path(path.with_suffix(".history.csv")) as temporary:
            history.to_csv(temporary, index=False)
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in network.state_dict().items()}, temporary)
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
        },
    )


def load_network(path: Path) -> tuple[Network, dict[str, Any]]:
    """Read the network that `save_network` wrote, in evaluation mode on the CPU, and its description.

    Parameters
    ----------
    path : Path
        The safetensors file.

    Raises
    ------
    FileNotFoundError
        The weights or their description are missing.
    """
    settings = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    network = build(settings["backbone"], settings["classes"], settings["input_size"])
    network.load_state_dict(load_file(path))
    given = settings["preprocessing"]
    network.preprocessing = Preprocessing(tuple(given["mean"]), tuple(given["std"]), given["bgr"])
    network.weights = settings["weights"]
    return network.eval(), settings
