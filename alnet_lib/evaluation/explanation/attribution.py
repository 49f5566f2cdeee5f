"""Where in an image a module looks: Grad-CAM and integrated gradients (captum), and how much of it lies on the cell.

Beyond the paper. An attribution map is believed only as far as its sanity check: the same method on the network with
its random start must give another map (Adebayo et al., NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, ModuleSpec
from alnet_lib.evaluation.explanation.feature_maps import REPLICATES, networks
from alnet_lib.evaluation.explanation.regions import REGIONS, regions
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging import augmentation
from alnet_lib.networks.network import Network
from alnet_lib.paper.values import Result
from alnet_lib.statistics import bootstrap

STEPS = 8
"""Steps of the path integral of integrated gradients."""

GRAD_CAM_BLOCK = 4
"""Block whose output Grad-CAM weighs; the last one is too coarse for small images."""

Method = Callable[[Network, np.ndarray, np.ndarray], np.ndarray]
"""(network, images, target classes) to maps, as `grad_cam`."""


class _OnImages(nn.Module):
    """A network on float images in [0, 1], normalising included."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.network.preprocessing(images))


def grad_cam(network: Network, pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., ICCV 2017).

    Parameters
    ----------
    network : Network
        On the CPU.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB.
    targets : ndarray
        int64 (n,), the class explained in each image.

    Returns
    -------
    ndarray
        float32 (n, S, S), each map scaled to a maximum of 1, or 0 everywhere.
    """
    network.eval()
    method = LayerGradCam(_OnImages(network), network.blocks[GRAD_CAM_BLOCK - 1])
    found = method.attribute(augmentation.to_float(pictures), torch.tensor(targets), relu_attributions=True)
    size = (pictures.shape[2], pictures.shape[1])
    maps = [cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in found[:, 0].detach().numpy()]
    return np.stack([_stretched(np.maximum(m, 0)) for m in maps])


def integrated_gradients(network: Network, pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Integrated gradients (Sundararajan et al., ICML 2017), from an empty image of the background's colour.

    The background's colour is the median over the image's border.

    Parameters
    ----------
    network : Network
        On the CPU.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB.
    targets : ndarray
        int64 (n,), the class explained in each image.

    Returns
    -------
    ndarray
        float32 (n, S, S), absolute values summed over channels, each map scaled to a maximum of 1.
    """
    network.eval()
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    blank = np.broadcast_to(np.median(border, axis=1)[:, None, None].astype(np.uint8), pictures.shape)
    method = IntegratedGradients(_OnImages(network))
    given = augmentation.to_float(pictures).contiguous()
    found = method.attribute(
        given, augmentation.to_float(blank).contiguous(), torch.tensor(targets), n_steps=STEPS,
        internal_batch_size=max(len(pictures), STEPS),
    )  # fmt: skip
    return np.stack([_stretched(m) for m in found.abs().sum(1).detach().numpy()])


METHODS: dict[str, Method] = {"Grad-CAM": grad_cam, "integrated gradients": integrated_gradients}


def _stretched(values: np.ndarray) -> np.ndarray:
    top = float(values.max())
    return (values / top if top > 0 else values).astype(np.float32)


def shares(attribution: np.ndarray, region: np.ndarray) -> dict[str, float]:
    """How a map is distributed over the regions of the image.

    Parameters
    ----------
    attribution : ndarray
        float (S, S), not negative.
    region : ndarray
        uint8 (S, S), the index in REGIONS.

    Returns
    -------
    dict
        `<region>`: share of the map's sum, NaN for an empty map; `area, <region>`: share of the image; in [0, 1].
    """
    total = float(attribution.sum())
    found = {}
    for k, name in enumerate(REGIONS):
        found[name] = float(attribution[region == k].sum()) / total if total > 0 else float("nan")
        found[f"area, {name}"] = float((region == k).mean())
    return found


def statistics(cohort: Cohort, setup: Setup, cells: pd.DataFrame) -> tuple[Result | Unavailable, Result | Unavailable]:
    """Where the attribution of each module lies in testing cells, and the sanity check.

    Parameters
    ----------
    cohort : Cohort
        With the files, which are segmented where there are no reference masks.
    setup : Setup
        Images, profile, and the folder with the trained models.
    cells : DataFrame
        The cells with the modules' probabilities.

    Returns
    -------
    where : Result or Unavailable
        One row a module, method and class: `module`, `method`, `class`, `cells`, the share in each of REGIONS in % with
        95% bootstrap intervals over patients for nucleus and background, and each region's share of the area in %.
    checks : Result or Unavailable
        One row a module and method: `correlation` of the trained network's maps with those of the random start (mean of
        Spearman's over cells), `cells`.
    """
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for spec in MODULES:
        chosen = _chosen(setup.profile, cells, spec) if spec.predicts(cells) else cells.head(0)
        if not len(chosen):
            continue
        before = networks(setup, spec)
        own = {"trained": before.trained, "random start": before.original}
        found = [regions(cohort, setup.profile, row) for row in chosen.to_dict("records")]
        pictures = np.asarray(setup.data.pixels[setup.data.rows_of(chosen["image_id"])])
        for name, method in METHODS.items():
            where, check = _by_class(setup.profile, spec, chosen, pictures, found, own, name, method)
            rows += where
            checks.append(check)
    if not rows:
        none = Unavailable("no testing cell has a class of module 1")
        return none, none
    return Result(pd.DataFrame(rows)), Result(pd.DataFrame(checks))


def _chosen(profile: Profile, cells: pd.DataFrame, spec: ModuleSpec) -> pd.DataFrame:
    own = spec.labelled(cells[cells["split"].eq("test")])
    own = own.assign(reference=spec.reference(own), predicted=spec.predicted(own))
    rng = profile.generator(f"attribution/{spec.prefix}")
    limit = max(profile.feature_map_cells // 4, 2)
    kept = [part.iloc[np.sort(rng.permutation(len(part))[:limit])] for _, part in own.groupby("reference", sort=False)]
    return pd.concat(kept) if kept else own


def _by_class(
    profile: Profile,
    spec: ModuleSpec,
    chosen: pd.DataFrame,
    pictures: np.ndarray,
    found: list[np.ndarray | None],
    own: Mapping[str, Network],
    name: str,
    method: Method,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of `where` for one module and method, and its sanity check."""
    module = int(spec.name[-1])
    index = {label: i for i, label in enumerate(own["trained"].classes)}
    targets = chosen["predicted"].map(index).to_numpy(np.int64)
    maps = {which: _in_batches(method, network, pictures, targets) for which, network in own.items()}
    alike = [_spearman(a, b) for a, b in zip(*maps.values(), strict=True)]
    correlation = float(np.nanmean(alike)) if np.isfinite(alike).any() else float("nan")
    check = {"module": module, "method": name, "correlation": correlation, "cells": len(alike)}
    columns = [*REGIONS, *(f"area, {region}" for region in REGIONS)]
    frame = pd.DataFrame(
        [shares(m, r) if r is not None else {} for m, r in zip(maps["trained"], found, strict=True)], columns=columns
    ).assign(reference=chosen["reference"].to_numpy(), patient_id=chosen["patient_id"].to_numpy())
    rows = []
    for label, part in frame.groupby("reference", sort=False):
        row: dict[str, Any] = {"module": module, "method": name, "class": LABELS[label], "cells": len(part)}
        for region in REGIONS:
            row[f"{region}, %"] = 100 * part[region].mean()
            if region != "cytoplasm":
                row |= _interval(profile, part, region, f"attribution/{name}/{label}")
            row[f"area of {region}, %"] = 100 * part[f"area, {region}"].mean()
        rows.append(row)
    return rows, check


def _interval(profile: Profile, part: pd.DataFrame, region: str, purpose: str) -> dict[str, float]:
    known = part.dropna(subset=[region])
    low = high = float("nan")
    if len(known):
        low, high = bootstrap.cluster_bootstrap(
            known,
            lambda drawn: drawn[region].mean(),
            replicates=min(profile.bootstrap, REPLICATES),
            rng=profile.generator(purpose),
        )
    return {f"{region}, low": 100 * low, f"{region}, high": 100 * high}


def _in_batches(
    attribute: Method, network: Network, pictures: np.ndarray, targets: np.ndarray, size: int = 32
) -> np.ndarray:
    parts = [attribute(network, pictures[i : i + size], targets[i : i + size]) for i in range(0, len(pictures), size)]
    return np.concatenate(parts)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [pd.Series(m.ravel()).rank().to_numpy() for m in (a, b)]
    if min(r.std() for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


@if_available
def means(where: Result) -> Result:
    """Mean share of attribution on nucleus and background over the classes, by module and method.

    Parameters
    ----------
    where : Result
        The first of `statistics`.

    Returns
    -------
    Result
        Columns `module`, `method`, `nucleus, %`, `background, %`.
    """
    grouped = where.frame.groupby(["module", "method"])
    return Result(grouped[["nucleus, %", "background, %"]].mean().reset_index())


def confident_errors(cells: pd.DataFrame, count: int = 12) -> Result | Unavailable:
    """Testing cells that module 1 predicts incorrectly, the most confident first.

    Parameters
    ----------
    cells : DataFrame
        The cells with module 1's probabilities.
    count : int
        Cells at most.

    Returns
    -------
    Result or Unavailable
        The columns of `cells`, `reference`, `predicted` and `p`, the probability of `predicted`. Facts: `listed`, the
        errors in words. Unavailable where there is no error.
    """
    own = MODULE_1.labelled(cells[cells["split"].eq("test")])
    own = own.assign(
        reference=MODULE_1.reference(own), predicted=MODULE_1.predicted(own), p=own[MODULE_1.columns].max(axis=1)
    )
    errors = own[own["reference"].ne(own["predicted"])]
    errors = errors.sort_values(["p", "image_id"], ascending=[False, True]).head(count)
    if not len(errors):
        return Unavailable("module 1 makes no error on the testing cells")
    listed = "; ".join(
        f"{LABELS[e.reference]} predicted as {LABELS[e.predicted]} ({e.p:.2f})" for e in errors.itertuples()
    )
    return Result(errors, facts={"listed": listed})
