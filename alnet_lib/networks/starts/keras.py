"""SqueezeNet's ImageNet weights from Keras, under torchvision's names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from alnet_lib.networks.architectures import ARCHITECTURES


def squeezenet(path: Path) -> dict[str, Tensor]:
    """SqueezeNet 1.1's convolutional part from a Keras HDF5 file, under torchvision's names.

    Keras keeps kernels as (height, width, in, out); torch as (out, in, height, width). Source of the layout: the
    repository rcmalli/keras-squeezenet.

    Parameters
    ----------
    path : Path
        The .h5 file.

    Raises
    ------
    ValueError
        A layer is missing.
    """
    import h5py

    tensors: dict[str, Tensor] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            tensors[name] = torch.from_numpy(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    state: dict[str, Tensor] = {}
    for theirs, ours in _layers().items():
        kernel = next((v for k, v in tensors.items() if theirs in k and "kernel" in k.rsplit("/", 1)[-1]), None)
        bias = next((v for k, v in tensors.items() if theirs in k and "bias" in k.rsplit("/", 1)[-1]), None)
        if kernel is None or bias is None:
            found = ", ".join(list(tensors)[:6])
            raise ValueError(f"{path.name} has no kernel and bias for {theirs} (it has {found} ...)")
        state[f"{ours}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        state[f"{ours}.bias"] = bias
    return state


def _layers() -> dict[str, str]:
    """Layers of the Keras file to torchvision's; both number their fire modules from the input on."""
    with torch.device("meta"):
        features = ARCHITECTURES["squeezenet1_1"].library().get_submodule("features")
    fires = [number for number, module in features.named_children() if type(module).__name__ == "Fire"]
    layers = {"conv1": "features.0"}
    for fire, number in enumerate(fires, start=2):
        for theirs, ours in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            layers[f"fire{fire}/{theirs}"] = f"features.{number}.{ours}"
    return layers
