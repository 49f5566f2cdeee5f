"""Where in a picture a module looks: Grad-CAM and integrated gradients (captum), and how much of it lies on the cell.

Beyond the paper. A map of attribution is believed only as far as its sanity check: the same method on the network with
its random start must give another map (Adebayo et al., NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from alnet_lib import augment, evaluation, images, plots, segmentation, vote
from alnet_lib.backbones import Network
from alnet_lib.cohorts import synthetic
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_1_CLASSES, MODULE_2_CLASSES, TO_MODULE_1, TO_MODULE_2
from alnet_lib.run import Run

STEPS = 8
"""Steps of the path integral of integrated gradients."""
GRAD_CAM_BLOCK = 4
"""Block whose output Grad-CAM weighs; the last one is too coarse for small pictures."""
REGIONS = ("nucleus", "cytoplasm", "background")


class _OfPictures(nn.Module):
    """A network on float pictures in [0, 1], normalising included."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network(self.network.preprocessing(pictures))


def grad_cam(network: Network, pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) for class `targets` (n,): float32 (n, S, S), each from 0 to 1.

    pictures: uint8 (n, S, S, 3).
    """
    network.eval()
    method = LayerGradCam(_OfPictures(network), network.blocks[GRAD_CAM_BLOCK - 1])
    found = method.attribute(augment.to_float(pictures), torch.tensor(targets), relu_attributions=True)
    size = (pictures.shape[2], pictures.shape[1])
    maps = [cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in found[:, 0].detach().numpy()]
    return np.stack([_stretched(np.maximum(m, 0)) for m in maps])


def integrated_gradients(network: Network, pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Integrated gradients (Sundararajan et al. 2017) from a blank picture of the background's colour: (n, S, S).

    The background's colour is the median of the picture's border. Absolute values summed over channels, from 0 to 1.
    """
    network.eval()
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    blank = np.broadcast_to(np.median(border, axis=1)[:, None, None].astype(np.uint8), pictures.shape)
    method = IntegratedGradients(_OfPictures(network))
    given = augment.to_float(pictures).contiguous()
    found = method.attribute(
        given, augment.to_float(blank).contiguous(), torch.tensor(targets), n_steps=STEPS,
        internal_batch_size=max(len(pictures), STEPS),
    )  # fmt: skip
    return np.stack([_stretched(m) for m in found.abs().sum(1).detach().numpy()])


METHODS = {"Grad-CAM": grad_cam, "integrated gradients": integrated_gradients}


def _stretched(values: np.ndarray) -> np.ndarray:
    top = float(values.max())
    return (values / top if top > 0 else values).astype(np.float32)


def regions(run: Run, row: dict) -> np.ndarray | None:
    """Nucleus 0, cytoplasm 1 and background 2 of each pixel that the networks see, uint8 (S, S).

    The true ones where the cell was drawn, else as segmented; None where the cell cannot be segmented.
    """
    if run.cohort_name == synthetic.NAME:
        cell, nucleus = synthetic.masks(row, run.profile.seed)
    else:
        place = tuple(float(row.get(column, np.nan)) for column in images.PLACE_COLUMNS)
        file = run.cohort().root / row["path"]
        found = segmentation.segment(images.picture(file, place, allow_truncated=run.profile.allow_truncated))
        if found is None:
            return None
        cell, nucleus = found.cell, found.nucleus
    label = np.where(nucleus, 0, np.where(cell, 1, 2)).astype(np.uint8)
    shares = [images.resize((label == k).astype(np.uint8) * 255, run.profile.image_size, crop=run.profile.crop)
              for k in range(3)]  # fmt: skip
    return np.argmax(shares, axis=0).astype(np.uint8)


def shares(attribution: np.ndarray, region: np.ndarray) -> dict[str, float]:
    """Share of a map's sum in each of REGIONS, and of the picture's area (`area, <region>`), in [0, 1]."""
    total = float(attribution.sum())
    found = {}
    for k, name in enumerate(REGIONS):
        found[name] = float(attribution[region == k].sum()) / total if total > 0 else float("nan")
        found[f"area, {name}"] = float((region == k).mean())
    return found


def _chosen(
    run: Run, cells: pd.DataFrame, mapping: dict[str, str], prefix: str, names: tuple[str, ...]
) -> pd.DataFrame:
    own = cells[cells["split"].eq("test") & cells["cell_type"].isin(mapping)]
    own = own.assign(true=own["cell_type"].map(mapping), called=vote.classify(own, prefix, names))
    rng = run.generator(f"attribution/{prefix}")
    limit = max(run.profile.feature_map_cells // 4, 2)
    kept = [part.iloc[np.sort(rng.permutation(len(part))[:limit])] for _, part in own.groupby("true", sort=False)]
    return pd.concat(kept) if kept else own


def statistics(
    run: Run, cells: pd.DataFrame, module: int, networks: Mapping[str, Network]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where attribution lies in testing cells, and the sanity check.

    cells: of `alnet.load_cells`. networks: `trained` and `random start`. First: method, class, cells, share in each of
    REGIONS (%), with the 95% bootstrap interval over patients of nucleus and background, and the area's share. Second:
    method, correlation of the trained network's maps with the random start's (mean of Spearman's over cells).
    """
    mapping, prefix, names = (
        (TO_MODULE_1, "p1", MODULE_1_CLASSES) if module == 1 else (TO_MODULE_2, "p2", MODULE_2_CLASSES)
    )
    chosen = _chosen(run, cells, mapping, prefix, names)
    position = pd.Series(np.arange(len(run.cohort().manifest)), index=run.cohort().manifest["image_id"])
    pictures = np.asarray(run.pixels()[position[chosen["image_id"]].to_numpy()])
    index = {name: i for i, name in enumerate(networks["trained"].classes)}
    targets = chosen["called"].map(index).to_numpy(np.int64)
    found = [regions(run, row) for row in chosen.to_dict("records")]
    rows, checks = [], []
    for method, attribute in METHODS.items():
        maps = {name: _in_batches(attribute, network, pictures, targets) for name, network in networks.items()}
        alike = [_spearman(a, b) for a, b in zip(*maps.values(), strict=True)]
        checks.append(
            {
                "module": module,
                "method": method,
                "correlation": float(np.nanmean(alike)) if np.isfinite(alike).any() else float("nan"),
                "cells": len(alike),
            }
        )
        frame = pd.DataFrame(
            [shares(m, r) if r is not None else {} for m, r in zip(maps["trained"], found, strict=True)]
        ).assign(true=chosen["true"].to_numpy(), patient_id=chosen["patient_id"].to_numpy())
        for name, part in frame.groupby("true", sort=False):
            row = {"module": module, "method": method, "class": LABELS[name], "cells": len(part)}
            for region in REGIONS:
                row[f"{region}, %"] = 100 * part[region].mean()
                if region != "cytoplasm":
                    row |= _interval(run, part, region, f"attribution/{method}/{name}")
                row[f"area of {region}, %"] = 100 * part[f"area, {region}"].mean()
            rows.append(row)
    return pd.DataFrame(rows), pd.DataFrame(checks)


def _interval(run: Run, part: pd.DataFrame, region: str, purpose: str) -> dict[str, float]:
    known = part.dropna(subset=[region])
    low = high = float("nan")
    if len(known):
        low, high = evaluation.cluster_bootstrap(
            known, lambda drawn: drawn[region].mean(), replicates=min(run.profile.bootstrap, 300),
            rng=run.generator(purpose),
        )  # fmt: skip
    return {f"{region}, low": 100 * low, f"{region}, high": 100 * high}


def _in_batches(attribute, network: Network, pictures: np.ndarray, targets: np.ndarray, size: int = 32) -> np.ndarray:
    parts = [attribute(network, pictures[i : i + size], targets[i : i + size]) for i in range(0, len(pictures), size)]
    return np.concatenate(parts)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [pd.Series(m.ravel()).rank().to_numpy() for m in (a, b)]
    if min(r.std() for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def overlay(picture: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """A grey picture under the map in cividis' colours, uint8 (S, S, 3)."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    heat = cv2.applyColorMap(np.round(255 * attribution).astype(np.uint8), cv2.COLORMAP_CIVIDIS)[:, :, ::-1]
    weight = 0.65 * attribution[..., None]
    return np.round((1 - weight) * grey + weight * heat).astype(np.uint8)


def confident_errors(cells: pd.DataFrame, count: int = 12) -> pd.DataFrame:
    """Testing cells that module 1 calls wrongly, the most confident first: columns of `cells`, true, called, p."""
    own = cells[cells["split"].eq("test") & cells["cell_type"].isin(TO_MODULE_1)]
    true, called = own["cell_type"].map(TO_MODULE_1), vote.classify(own, "p1", MODULE_1_CLASSES)
    p = own[[f"p1_{name}" for name in MODULE_1_CLASSES]].max(axis=1)
    wrong = own.assign(true=true, called=called, p=p)[true.ne(called)]
    return wrong.sort_values(["p", "image_id"], ascending=[False, True]).head(count)


def errors_figure(run: Run, errors: pd.DataFrame, network: Network):
    """Each error's picture above its Grad-CAM for the class called, headed by what it is and what it was called."""
    position = pd.Series(np.arange(len(run.cohort().manifest)), index=run.cohort().manifest["image_id"])
    pictures = np.asarray(run.pixels()[position[errors["image_id"]].to_numpy()])
    index = {name: i for i, name in enumerate(network.classes)}
    maps = grad_cam(network, pictures, errors["called"].map(index).to_numpy(np.int64))
    rows, per_row = {}, 6
    for first in range(0, len(errors), per_row):
        part = slice(first, first + per_row)
        rows[f"cells {first + 1} to {first + len(pictures[part])}"] = list(pictures[part])
        rows["Grad-CAM" + "\u200b" * first] = [overlay(p, m) for p, m in zip(pictures[part], maps[part], strict=True)]
    return plots.montage(rows)
