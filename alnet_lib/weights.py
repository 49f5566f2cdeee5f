"""ImageNet weights: found in the usual caches or a given folder, else downloaded, always verified.

torchvision and pretrainedmodels name their files `<network>-<first digits of the SHA-256>.pth`; a file whose content
does not match its name is refused. Nothing falls back silently to a random start.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision
from torch import Tensor

from alnet_lib import timm_backbones
from alnet_lib.backbones import CAFFE, Network, Preprocessing, senet
from alnet_lib.timm_backbones import TimmBody


class WeightsError(RuntimeError):
    """Weights that cannot be found, verified or downloaded; the message says which file and how to provide it."""


_TORCHVISION = {
    "vgg16": "VGG16_Weights",
    "vgg19": "VGG19_Weights",
    "resnet101": "ResNet101_Weights",
    "densenet121": "DenseNet121_Weights",
    "squeezenet1_1": "SqueezeNet1_1_Weights",
}
KERAS_SQUEEZENET = "squeezenet_v1.1_imagenet_notop_tf.h5"


def source(name: str) -> str:
    """The address that torchvision or pretrainedmodels gives for a network's ImageNet weights."""
    if name in _TORCHVISION:
        return getattr(torchvision.models, _TORCHVISION[name]).IMAGENET1K_V1.url
    return senet().pretrained_settings[name]["imagenet"]["url"]


def folders(weights_dir: str = "") -> list[Path]:
    """Where weight files are looked for, in order: the given folder, $ALNET_WEIGHTS, torch's own cache."""
    given = [folder for folder in (weights_dir, os.environ.get("ALNET_WEIGHTS", "")) if folder]
    return [Path(folder).expanduser() for folder in given] + [Path(torch.hub.get_dir()) / "checkpoints"]


def find(name: str, weights_dir: str = "") -> Path | None:
    """The network's verified weight file in one of `folders`, or None.

    Raises
    ------
    WeightsError
        a file of the right name whose content has another checksum.
    """
    filename = Path(urlparse(source(name)).path).name
    for folder in folders(weights_dir):
        path = folder / filename
        if path.is_file():
            expected = path.stem.rsplit("-", 1)[-1]
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not digest.startswith(expected):
                raise WeightsError(
                    f"{path} is damaged: its SHA-256 does not begin with {expected}; delete it and try again"
                )
            return path
        if name == "squeezenet1_1" and (folder / KERAS_SQUEEZENET).is_file():
            return folder / KERAS_SQUEEZENET
    return None


def load_imagenet(network: Network, weights_dir: str = "") -> None:
    """Load ImageNet weights into the network's blocks (the head keeps its random start) and set its preprocessing.

    Raises
    ------
    WeightsError
        the file is not at hand and cannot be downloaded, or does not fit the network.
    """
    if isinstance(network.blocks[0], TimmBody):
        _load_timm(network, network.blocks[0], weights_dir)
        return
    path = find(network.name, weights_dir)
    if path is not None and path.suffix == ".h5":
        state = keras_squeezenet(path)
        network.preprocessing = CAFFE
    elif path is not None:
        state = torch.load(path, map_location="cpu", weights_only=True)
    else:
        state = _download(network.name)
    _fill(network, state)
    network.weights = path.name if path is not None else Path(urlparse(source(network.name)).path).name


def _load_timm(network: Network, body: TimmBody, weights_dir: str) -> None:
    try:
        described = timm_backbones.load(body, network.name, weights_dir)
    except Exception as error:
        raise WeightsError(
            f"weights of {network.name} are not at hand and timm could not download them "
            f"({type(error).__name__}: {error}). Put timm's file as {network.name}.safetensors into the profile's "
            "weights_dir, or choose a profile with `weights: none`."
        ) from error
    network.preprocessing = Preprocessing(tuple(described["mean"]), tuple(described["std"]))
    network.weights = f"timm {network.name}"


def _download(name: str) -> dict[str, Tensor]:
    url = source(name)
    filename = Path(urlparse(url).path).name
    problems = []
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    if name == "senet154":
        # The host of pretrainedmodels has been unreachable for years; timm publishes the same weights.
        try:
            import timm

            return timm.create_model("legacy_senet154", pretrained=True).state_dict()
        except Exception as error:
            problems.append(f"timm legacy_senet154: {type(error).__name__}: {error}")
    raise WeightsError(
        f"ImageNet weights of {name} are not at hand and could not be downloaded ({'; '.join(problems)}). "
        f"Get the file {filename} from {url} on a machine with a network and put it into one of: "
        f"{', '.join(str(folder) for folder in folders())} (or a folder named by $ALNET_WEIGHTS or by the profile's "
        "weights_dir), or choose a profile with `weights: none`."
    )


def _fill(network: Network, state: dict[str, Tensor]) -> None:
    """Copy the convolutional part, matching tensors in order: our blocks keep the library's order of modules."""
    old_names = ("num_batches_tracked",)
    theirs = [value for key, value in state.items() if not _is_head(key) and not key.endswith(old_names)]
    own = [(key, value) for key, value in network.blocks.state_dict().items() if not key.endswith(old_names)]
    if len(own) != len(theirs) or any(a.shape != b.shape for (_, a), b in zip(own, theirs, strict=True)):
        raise WeightsError(
            f"the weights do not fit {network.name}: {len(theirs)} tensors given, {len(own)} expected, "
            "or their shapes differ"
        )
    filled = {key: value for (key, _), value in zip(own, theirs, strict=True)}
    network.blocks.load_state_dict(filled, strict=False)


def _is_head(key: str) -> bool:
    return key.startswith(("classifier.", "fc.", "last_linear."))


def keras_squeezenet(path: Path) -> dict[str, Tensor]:
    """SqueezeNet 1.1's convolutional part from a Keras HDF5 file, as torchvision's state dict orders it.

    Keras keeps kernels as (height, width, in, out); torch as (out, in, height, width). Source of the layout: the
    repository rcmalli/keras-squeezenet.
    """
    import h5py

    layers = ["conv1"]
    for fire in range(2, 10):
        layers += [f"fire{fire}/{part}" for part in ("squeeze1x1", "expand1x1", "expand3x3")]
    state: dict[str, Tensor] = {}
    with h5py.File(path, "r") as file:
        tensors: dict[str, Tensor] = {}

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                tensors[name] = torch.from_numpy(item[()])

        file.visititems(visit)
        for layer in layers:
            kernel = next((v for k, v in tensors.items() if layer in k and "kernel" in k.rsplit("/", 1)[-1]), None)
            bias = next((v for k, v in tensors.items() if layer in k and "bias" in k.rsplit("/", 1)[-1]), None)
            if kernel is None or bias is None:
                found = ", ".join(list(tensors)[:6])
                raise WeightsError(f"{path.name} has no kernel and bias for {layer} (it has {found} ...)")
            state[f"{layer}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
            state[f"{layer}.bias"] = bias
    return state
