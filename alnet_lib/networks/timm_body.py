"""Networks beyond the paper: any model of timm by its name, under the paper's protocol (head, blocks, schedule)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

BLOCKS = 5
"""Convolutional blocks of each network of the paper, and groups of layers of any other."""


class TimmBody(nn.Module):
    """A timm model without its classifier, its layers in five groups from the input to the output.

    timm names the order of a model's layers (`group_matcher`); they are split into five groups of neighbours, the
    counterpart of the paper's convolutional blocks.

    Attributes
    ----------
    model : Module
        timm's model.
    group_of : dict of str to int
        Parameter's name to its group, 0 to 4.
    fine_tuned : int
        How many of the last groups train.
    """

    def __init__(self, name: str, input_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.model = create(name, input_size, pretrained=False)
        self.group_of = _groups(self.model)
        self.fine_tuned = BLOCKS

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Parameters
        ----------
        images : Tensor
            Float (N, 3, input_size, input_size), normalised.

        Returns
        -------
        Tensor
            Maps (N, C, H, W) or tokens (N, T, C).
        """
        return self.model.forward_features(images)

    def fine_tune(self, groups: int) -> None:
        """From now on only the last groups train; the others stay frozen and in evaluation mode.

        Parameters
        ----------
        groups : int
            1 to 5.
        """
        self.fine_tuned = groups

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As torch's, but frozen groups never require gradients.

        Parameters
        ----------
        requires_grad : bool
            Whether the groups that train do.
        """
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(requires_grad and not self._frozen(name))
        return self

    def train(self, mode: bool = True) -> Self:
        """As torch's, but frozen groups stay in evaluation mode.

        Parameters
        ----------
        mode : bool
            Training mode if True, else evaluation mode.
        """
        super().train(mode)
        for name, module in self.model.named_modules():
            own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)]
            if own and all(self._frozen(parameter) for parameter in own):
                module.eval()
        return self

    def _frozen(self, parameter: str) -> bool:
        return self.group_of.get(parameter, BLOCKS - 1) < BLOCKS - self.fine_tuned


def create(name: str, input_size: int, **given: Any) -> Any:
    """Create a model of timm without its classifier.

    Parameters
    ----------
    name : str
        timm's name, or `hf-hub:` and a name of the Hugging Face hub.
    input_size : int
        Pixels a side; models that take any size are not told.
    **given : object
        Further arguments of `timm.create_model`.
    """
    import timm

    try:
        return timm.create_model(name, num_classes=0, img_size=input_size, **given)
    except TypeError:  # Convolutional models take any size and know no `img_size`.
        return timm.create_model(name, num_classes=0, **given)


def _groups(model: Any) -> dict[str, int]:
    from timm.models import group_parameters

    if not hasattr(model, "group_matcher"):
        raise ValueError(f"timm does not say the order of the layers of {type(model).__name__}")
    layers = group_parameters(model, model.group_matcher(coarse=False))
    order = sorted(layers)
    return {name: number * BLOCKS // len(order) for number, key in enumerate(order) for name in layers[key]}


def known(name: str) -> bool:
    """Whether timm has a model of this name.

    Parameters
    ----------
    name : str
        For example `convnext_tiny`.
    """
    import timm

    return timm.is_model(name)


def load(body: TimmBody, name: str, weights_dir: str) -> dict[str, Any]:
    """Fill the body with timm's own weights of this name: from `<weights_dir>/<name>.safetensors`, else downloaded.

    Parameters
    ----------
    body : TimmBody
        Changed in place.
    name : str
        timm's name of the model.
    weights_dir : str
        The profile's folder; empty for none.

    Returns
    -------
    dict
        timm's description of the weights; its `mean` and `std` are what they expect of an image.

    Raises
    ------
    OSError, RuntimeError, ValueError
        Weights that cannot be had or do not fit, as timm and its hub report it.
    """
    file = Path(weights_dir).expanduser() / f"{name}.safetensors"
    given = {"pretrained_cfg_overlay": {"file": str(file)}} if weights_dir and file.is_file() else {}
    with torch.random.fork_rng(devices=[]):
        model = create(name, body.input_size, pretrained=True, **given)
    body.model.load_state_dict(model.state_dict())
    return model.pretrained_cfg


def published(name: str) -> str:
    """Address that timm gives for weights outside the Hugging Face hub; empty where it gives none.

    Parameters
    ----------
    name : str
        timm's name with the weights' tag, e.g. `legacy_senet154.in1k`.
    """
    import timm

    return getattr(timm.get_pretrained_cfg(name), "url", "") or ""


def cached(name: str) -> Path | None:
    """Find timm's file of weights in the cache of the Hugging Face hub, without a network.

    Parameters
    ----------
    name : str
        timm's name with the weights' tag, e.g. `vgg16.tv_in1k`.
    """
    import huggingface_hub

    found = huggingface_hub.try_to_load_from_cache(f"timm/{name}", "model.safetensors")
    return Path(found) if isinstance(found, str) else None


def from_hub(name: str) -> dict[str, Tensor]:
    """Download timm's weights from the Hugging Face hub into its cache.

    Parameters
    ----------
    name : str
        timm's name with the weights' tag, e.g. `vgg16.tv_in1k`.
    """
    import huggingface_hub
    from safetensors.torch import load_file

    return load_file(huggingface_hub.hf_hub_download(f"timm/{name}", "model.safetensors"))
