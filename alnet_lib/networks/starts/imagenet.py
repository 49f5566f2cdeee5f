"""ImageNet weights: found in the usual caches or a given folder, else downloaded, always verified.

torchvision, pretrainedmodels and timm name their files `<network>-<first digits of the SHA-256>.pth`, and the cache of
the Hugging Face hub names a file by its whole SHA-256; a file whose content does not match its name is refused, and so
is one whose tensors are not those of the network, by name and shape. timm's files on the hub, put into a folder as
`<timm's name>.safetensors`, have no checksum in their name: theirs is told and recorded. Nothing falls back silently to
a random start.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import safetensors.torch
import torch
from torch import Tensor

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.networks import timm_body
from alnet_lib.networks.architectures import ARCHITECTURES, architecture, senet
from alnet_lib.networks.network import CAFFE, Network, Preprocessing
from alnet_lib.networks.starts import keras
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

TIMM = {
    "vgg16": "vgg16.tv_in1k",
    "vgg19": "vgg19.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "densenet121": "densenet121.tv_in1k",
    "senet154": "legacy_senet154.in1k",
}
"""Network -> timm's name of the same weights as torchvision's or pretrainedmodels'."""

_CLASSIFIERS = ("classifier.", "fc.", "last_linear.", "pre_logits.", "head.")
"""What the libraries call the layers after the convolutions; no block of ours has such names."""

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


def names(name: str) -> list[str]:
    """Files that hold a network's ImageNet weights, by the names under which they are looked for, in order.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES.

    Returns
    -------
    list of str
        torchvision's or pretrainedmodels' file, then timm's.

    Raises
    ------
    WeightsError
        Nobody published ImageNet weights of this network.
    """
    found = [_file_of(source(name))]
    if name in TIMM:
        published = timm_body.published(TIMM[name])
        found += [_file_of(published)] if published else []
        found.append(f"{TIMM[name]}.safetensors")
    if name == "squeezenet1_1":
        found.append(KERAS_SQUEEZENET)
    return list(dict.fromkeys(found))


def _file_of(url: str) -> str:
    return Path(urlparse(url).path).name


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
    wanted = names(name)
    for path in (folder / one for folder in folders(weights_dir) for one in wanted):
        if path.is_file():
            return _verified(path, path.stem.rpartition("-")[2] if path.suffix == ".pth" else "")
    cached = timm_body.cached(TIMM[name]) if name in TIMM else None
    # The hub's cache links to a file that is named by its SHA-256; where links are not possible it holds the file.
    digest = cached.resolve().name if cached else ""
    return _verified(cached, digest if len(digest) == 64 else "") if cached else None


def _verified(path: Path, expected: str) -> Path:
    if not digest_of(path).startswith(expected):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not begin with {expected}; delete it and try again")
    return path


def told(path: Path) -> str:
    """Name a weight file in a record: its own name, and of a file of the hub's cache the model's too.

    Parameters
    ----------
    path : Path
        Of `find`.
    """
    model = next((part for part in path.parts if part.startswith("models--")), "")
    return f"{model.removeprefix('models--').replace('--', '/')}/{path.name}" if model else path.name


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
    state, network.weights = _download(network.name)
    fill(network, state)


def load_file(network: Network, path: Path) -> None:
    """Load the ImageNet weights in a file into a network's blocks and set its preprocessing.

    Parameters
    ----------
    network : Network
        One of ARCHITECTURES; changed in place.
    path : Path
        As torchvision, pretrainedmodels or timm publishes it (.pth, .safetensors), or as `keras` reads it (.h5).

    Raises
    ------
    WeightsError
        The file cannot be read, or does not fit the network.
    """
    try:
        if path.suffix == ".h5":
            state = keras.squeezenet(path)
        elif path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        known = isinstance(state, Mapping) and all(isinstance(tensor, Tensor) for tensor in state.values())
    except Exception as error:  # h5py, zipfile and torch fail in many ways on a file that is no such file.
        raise WeightsError(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error
    if not known:
        raise WeightsError(f"{path} holds no tensors by their names")
    fill(network, state)
    if path.suffix == ".h5":
        network.preprocessing = CAFFE
    network.weights = told(path)


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
    if any(path.name.startswith(published) or published in str(path) for published in TIMM.values()):
        return "as timm's card of the model says (BSD-3-Clause or Apache-2.0)"
    known = {".h5": "MIT", ".safetensors": "see the model's card in timm"}
    return known.get(path.suffix, "BSD-3-Clause (torchvision, pretrainedmodels)")


def _download(name: str) -> tuple[dict[str, Tensor], str]:
    """Weights and their name: torchvision's or pretrainedmodels' file, else timm's of the same weights."""
    url, problems = source(name), []
    # The host of pretrainedmodels has been unreachable for years; what timm publishes answers.
    published = timm_body.published(TIMM[name]) if name in TIMM else ""
    for one in dict.fromkeys(filter(None, (url, published))):
        try:
            found = torch.hub.load_state_dict_from_url(one, map_location="cpu", check_hash=True, weights_only=True)
            return found, _file_of(one)
        except Exception as error:
            problems.append(f"{_file_of(one)}: {type(error).__name__}: {error}")
    if name in TIMM and not published:
        try:
            return timm_body.from_hub(TIMM[name]), f"timm/{TIMM[name]}/model.safetensors"
        except Exception as error:
            problems.append(f"timm {TIMM[name]}: {type(error).__name__}: {error}")
    raise WeightsError(
        f"ImageNet weights of {name} are not at hand and could not be downloaded ({'; '.join(problems)}). "
        f"Get one of the files {', '.join(names(name))} on a machine with a network, the first from {url}"
        f"{f', the second from {published}' if published and published != url else ''}, and put it into one of: "
        f"{', '.join(str(folder) for folder in folders())} (or a folder named by $ALNET_WEIGHTS or by the profile's "
        "weights_dir), or choose a profile with another `start`."
    )


def fetch(name: str, weights_dir: str = "") -> Path:
    """Download a network's ImageNet weights, unless they are at hand.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES.
    weights_dir : str
        The profile's folder; empty for none.

    Returns
    -------
    Path
        Where the file is, in torch's or the hub's cache where it was downloaded; verified.

    Raises
    ------
    WeightsError
        It cannot be downloaded; the message names the files and where to put one of them.
    """
    if (found := find(name, weights_dir)) is None:
        _download(name)
        found = find(name, weights_dir)
    if found is None:
        raise WeightsError(f"ImageNet weights of {name} were downloaded and cannot be found in {folders(weights_dir)}")
    return found


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
    other = {key for key in given if key.startswith(_CLASSIFIERS)} | classifier
    problems = [f"unknown {key}" for key in given.keys() - set(keys.values()) - other]
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
