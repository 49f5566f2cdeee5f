"""ImageNet weights: found in the usual caches or a given folder, else downloaded, always verified.

torchvision and pretrainedmodels name their files `<network>-<first digits of the SHA-256>.pth`; a file whose content
does not match its name is refused, and so is one whose tensors are not those of the network, by name and shape. Nothing
falls back silently to a random start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.networks import timm_body
from alnet_lib.networks.architectures import ARCHITECTURES, architecture, senet
from alnet_lib.networks.network import CAFFE, Network, Preprocessing
from alnet_lib.networks.timm_body import TimmBody


class WeightsError(RuntimeError):
    """Weights that cannot be found, verified or downloaded; the message says which file and how to provide it."""


_TORCHVISION = {
    "vgg16": "VGG16_Weights",
    "vgg19": "VGG19_Weights",
    "resnet101": "ResNet101_Weights",
    "densenet121": "DenseNet121_Weights",
    "squeezenet1_1": "SqueezeNet1_1_Weights",
}

_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""The published DenseNet file is older than torchvision's names: `norm.1.weight` for `norm1.weight`."""

_COUNTER = "num_batches_tracked"
"""A buffer of batch normalisation that older files lack and that prediction does not use."""

KERAS_SQUEEZENET = "squeezenet_v1.1_imagenet_notop_tf.h5"
"""SqueezeNet's weights as rcmalli/keras-squeezenet publishes them, taken where torchvision's file is not at hand."""


def source(name: str) -> str:
    """Address that torchvision or pretrainedmodels gives for a network's ImageNet weights.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES.

    Raises
    ------
    WeightsError
        Nobody published ImageNet weights of this network.
    """
    if name in _TORCHVISION:
        import torchvision

        return getattr(torchvision.models, _TORCHVISION[name]).IMAGENET1K_V1.url
    if name != "senet154":
        raise WeightsError(f"there are no ImageNet weights of {name}: choose a profile with another `start`")
    return senet().pretrained_settings[name]["imagenet"]["url"]


def folders(weights_dir: str = "") -> list[Path]:
    """Where weight files are looked for, in order: the given folder, $ALNET_WEIGHTS, torch's own cache.

    Parameters
    ----------
    weights_dir : str
        The profile's folder; empty for none.
    """
    given = [folder for folder in (weights_dir, os.environ.get("ALNET_WEIGHTS", "")) if folder]
    return [Path(folder).expanduser() for folder in given] + [Path(torch.hub.get_dir()) / "checkpoints"]


def find(name: str, weights_dir: str = "") -> Path | None:
    """Find the network's weight file in one of `folders` and verify it; None where there is none.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm: of these only the given folder has files.
    weights_dir : str
        The profile's folder; empty for none.

    Raises
    ------
    WeightsError
        A file of the expected name has another checksum, or nobody published weights of this network.
    """
    if name not in ARCHITECTURES:
        given = Path(weights_dir).expanduser() / f"{name}.safetensors"
        return given if weights_dir and given.is_file() else None
    filename = Path(urlparse(source(name)).path).name
    for folder in folders(weights_dir):
        path = folder / filename
        if path.is_file():
            expected = path.stem.rsplit("-", 1)[-1]
            if not digest_of(path).startswith(expected):
                raise WeightsError(
                    f"{path} is damaged: its SHA-256 does not begin with {expected}; delete it and try again"
                )
            return path
        if name == "squeezenet1_1" and (folder / KERAS_SQUEEZENET).is_file():
            return folder / KERAS_SQUEEZENET
    return None


def load_imagenet(network: Network, weights_dir: str = "") -> None:
    """Load ImageNet weights into the network's blocks and set its preprocessing; the head keeps its random start.

    Parameters
    ----------
    network : Network
        Changed in place.
    weights_dir : str
        The profile's folder; empty for none.

    Raises
    ------
    WeightsError
        The file is not at hand and cannot be downloaded, or does not fit the network.
    """
    if isinstance(network.blocks[0], TimmBody):
        _load_timm(network, network.blocks[0], weights_dir)
        return
    path = find(network.name, weights_dir)
    if path is not None:
        load_file(network, path)
        return
    fill(network, _download(network.name))
    network.weights = Path(urlparse(source(network.name)).path).name


def load_file(network: Network, path: Path) -> None:
    """Load the ImageNet weights in a file into a network's blocks and set its preprocessing.

    Parameters
    ----------
    network : Network
        One of ARCHITECTURES; changed in place.
    path : Path
        As torchvision or pretrainedmodels publishes it (.pth), or of `keras_squeezenet` (.h5).

    Raises
    ------
    WeightsError
        The file cannot be read, or does not fit the network.
    """
    keras = path.suffix == ".h5"
    try:
        state = keras_squeezenet(path) if keras else torch.load(path, map_location="cpu", weights_only=True)
        known = isinstance(state, Mapping) and all(isinstance(tensor, Tensor) for tensor in state.values())
    except WeightsError:
        raise
    except Exception as error:  # h5py, zipfile and torch fail in many ways on a file that is no such file.
        raise WeightsError(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error
    if not known:
        raise WeightsError(f"{path} holds no tensors by their names")
    fill(network, state)
    if keras:
        network.preprocessing = CAFFE
    network.weights = path.name


def _load_timm(network: Network, body: TimmBody, weights_dir: str) -> None:
    try:
        described = timm_body.load(body, network.name, weights_dir)
    except Exception as error:
        raise WeightsError(
            f"weights of {network.name} are not at hand and timm could not download them "
            f"({type(error).__name__}: {error}). Put timm's file as {network.name}.safetensors into the profile's "
            "weights_dir, or choose a profile with another `start`."
        ) from error
    network.preprocessing = Preprocessing(tuple(described["mean"]), tuple(described["std"]))
    network.weights = f"timm {network.name}"


def load_hub(network: Network, body: TimmBody, start: str) -> None:
    """Load the weights of a model of the Hugging Face hub into a timm network of the same architecture.

    Parameters
    ----------
    network : Network
        Changed in place.
    body : TimmBody
        Its only block.
    start : str
        `hf-hub:` and the model's name.

    Raises
    ------
    WeightsError
        The model cannot be had, or is of another architecture.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            model = timm_body.create(start, body.input_size, pretrained=True)
    except Exception as error:
        raise WeightsError(
            f"{start} is not at hand and timm could not get it ({type(error).__name__}: {error})"
        ) from error
    found = model.pretrained_cfg.get("architecture", "") or type(model).__name__
    try:
        body.model.load_state_dict(model.state_dict())
    except RuntimeError as error:
        raise WeightsError(f"{start} is of {found}, the profile asks for {network.name}: {error}") from error
    described = model.pretrained_cfg
    network.preprocessing = Preprocessing(tuple(described["mean"]), tuple(described["std"]))
    network.weights = start


def licence(path: Path) -> str:
    """Licence under which a weight file is published.

    Parameters
    ----------
    path : Path
        Of `find`.
    """
    known = {".h5": "MIT", ".safetensors": "see the model's card in timm"}
    return known.get(path.suffix, "BSD-3-Clause (torchvision, pretrainedmodels)")


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
        "weights_dir), or choose a profile with another `start`."
    )


def fill(network: Network, state: Mapping[str, Tensor]) -> None:
    """Copy a library's state dict into the network's blocks, each tensor by its name; the classifier is left out.

    Parameters
    ----------
    network : Network
        One of ARCHITECTURES; its blocks are changed in place.
    state : mapping
        State dict of the library's whole network, in any order; the tensors of its classifier may be missing.

    Raises
    ------
    WeightsError
        A tensor is missing, has another shape, or is not known to the library's network. Nothing is changed then.
    """
    given = {_OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
    keys, classifier = architecture(network.name).library_keys()
    problems = [f"unknown {key}" for key in given.keys() - set(keys.values()) - classifier]
    filled: dict[str, Tensor] = {}
    for own, own_tensor in network.blocks.state_dict().items():
        tensor = given.get(keys[own])
        if tensor is None:
            problems += [] if own.endswith(_COUNTER) else [f"missing {keys[own]}"]
        elif tensor.shape != own_tensor.shape:
            problems.append(f"{keys[own]} of shape {tuple(tensor.shape)} for {tuple(own_tensor.shape)}")
        else:
            filled[own] = tensor
    if problems:
        raise WeightsError(
            f"the weights do not fit {network.name}: {len(problems)} tensors differ, e.g. {sorted(problems)[0]}"
        )
    network.blocks.load_state_dict(filled, strict=False)


def keras_squeezenet(path: Path) -> dict[str, Tensor]:
    """SqueezeNet 1.1's convolutional part from a Keras HDF5 file, under torchvision's names.

    Keras keeps kernels as (height, width, in, out); torch as (out, in, height, width). Source of the layout: the
    repository rcmalli/keras-squeezenet.

    Parameters
    ----------
    path : Path
        The .h5 file.

    Raises
    ------
    WeightsError
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
    for theirs, ours in _keras_layers().items():
        kernel = next((v for k, v in tensors.items() if theirs in k and "kernel" in k.rsplit("/", 1)[-1]), None)
        bias = next((v for k, v in tensors.items() if theirs in k and "bias" in k.rsplit("/", 1)[-1]), None)
        if kernel is None or bias is None:
            found = ", ".join(list(tensors)[:6])
            raise WeightsError(f"{path.name} has no kernel and bias for {theirs} (it has {found} ...)")
        state[f"{ours}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
        state[f"{ours}.bias"] = bias
    return state


def _keras_layers() -> dict[str, str]:
    """Layers of the Keras file to torchvision's; both number their fire modules from the input on."""
    with torch.device("meta"):
        features = ARCHITECTURES["squeezenet1_1"].library().get_submodule("features")
    fires = [number for number, module in features.named_children() if type(module).__name__ == "Fire"]
    layers = {"conv1": "features.0"}
    for fire, number in enumerate(fires, start=2):
        for theirs, ours in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            layers[f"fire{fire}/{theirs}"] = f"features.{number}.{ours}"
    return layers
