"""Figures 6 and 7, and feature maps of many cells in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from alnet_lib import alnet, augment, evaluation, feature_maps, plots, training
from alnet_lib.backbones import Network
from alnet_lib.cohorts import synthetic
from alnet_lib.cohorts.vocabulary import CELL_GROUPS, LABELS, TO_GROUP
from alnet_lib.images import resize
from alnet_lib.run import Run

DEEPER = (5, 1, 1)
"""Block, layer and map that stand for the deeper layer of Fig. 7D, which the paper does not name."""


def cell_types(run: Run, pixels: np.ndarray) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Rows A and B of Figure 6: lists of (name, uint8 picture)."""
    manifest, rng = run.cohort().manifest, run.generator("figure_06")
    groups = manifest["cell_type"].map(TO_GROUP)

    def one(name: str) -> list[tuple[str, np.ndarray]]:
        rows = np.flatnonzero(groups.eq(name))
        return [(LABELS[name], pixels[rng.choice(rows)])] if len(rows) else []

    easy = []
    if run.cohort_name == synthetic.NAME:
        drawn = synthetic.extras(1, run.profile.seed)
        easy = [(k.capitalize(), resize(v[0], pixels.shape[1], crop=run.profile.crop)) for k, v in drawn.items()]
    easy += one("lymphocyte") + one("b_lymphoblast")
    rows = {"A": easy, "B": [pair for name in CELL_GROUPS for pair in one(name)]}
    return {name: row for name, row in rows.items() if row}


def networks(run: Run, task: str = "module_1") -> tuple[Network, Network, str]:
    """The network that a module's training began from, the trained one, and a word for the former's weights.

    Raises
    ------
    MissingArtefact
        notebook 03 has not run.
    """
    trained, settings = training.load_network(run.need(f"models/{task}.safetensors", "03_alnet_training"))
    original = alnet.begin(run, settings["backbone"], alnet.fitted_part(run, task)[0], name=task)
    start = "ImageNet weights" if run.profile.weights == "imagenet" else "the untrained random start"
    return original.eval(), trained, start


def figure_7_cells(manifest: pd.DataFrame, rng: np.random.Generator) -> dict[str, int]:
    """Row of a myeloid blast and of an abnormal promyelocyte, testing cells first; absent where the cohort is."""
    found, groups = {}, manifest["cell_type"].map(TO_GROUP)
    for name in ("myeloid_blast", "abnormal_promyelocyte"):
        rows = np.flatnonzero(groups.eq(name) & manifest["split"].eq("test"))
        rows = rows if len(rows) else np.flatnonzero(groups.eq(name))
        if len(rows):
            found[name] = int(rng.choice(rows))
    return found


def _map(network: Network, picture: np.ndarray, block: int, layer: int, number: int) -> np.ndarray:
    maps = feature_maps.activations(network, augment.to_float(picture[None]), block, layer)[0]
    return feature_maps.to_grey(maps[number - 1].cpu().numpy())


def figure_7(pixels: np.ndarray, cells: Mapping[str, int], original: Network, trained: Network) -> Figure:
    """Rows: cells. Columns: picture, map 202 in both networks, its histogram in ALNet, the deeper map in both."""
    columns = (
        "picture",
        "original, block 3",
        "ALNet, block 3",
        "histogram, ALNet",
        "original, deeper",
        "ALNet, deeper",
    )
    with plots.style():
        figure = Figure(figsize=(plots.PAGE, 1.35 * len(cells)), layout="constrained")
        grid = figure.subplots(len(cells), len(columns), squeeze=False)
        told = []
        for row, (name, index) in enumerate(cells.items()):
            picture = pixels[index]
            shown = [picture]
            for place in (feature_maps.PAPERS_MAP, DEEPER):
                shown += [_map(network, picture, *place) for network in (original, trained)]
            order = [shown[0], shown[1], shown[2], None, shown[3], shown[4]]
            for column, (title, content) in enumerate(zip(columns, order, strict=True)):
                axes = grid[row, column]
                if row == 0:
                    axes.set_title(title)
                if content is None:
                    axes.hist(shown[2].ravel(), bins=32, range=(0, 256), color=plots.CLASS_COLOURS[name])
                    axes.set_yticks([])
                    axes.set_xticks([0, 128, 255])
                    continue
                axes.imshow(content, cmap="gray", vmin=0, vmax=255)
                axes.set_xticks([]), axes.set_yticks([])
                if column == 0:
                    axes.set_ylabel(LABELS[name])
            summary = feature_maps.histogram_summary(shown[2])
            told.append(
                f"{LABELS[name]}: entropy {summary['entropy']:.1f} bits, peak at {summary['peak_position']:.0f}"
            )
        figure.alt = f"Feature maps of the original network and of ALNet. Map 202 in ALNet, {'; '.join(told)}."
    return figure


def grid(picture: np.ndarray, network: Network, block: int, layer: int, *, across: int = 32) -> Figure:
    """Every map of a layer for one picture, in one grid."""
    maps = feature_maps.activations(network, augment.to_float(picture[None]), block, layer)[0].cpu().numpy()
    size = maps.shape[1] + 1
    down = -(-len(maps) // across)
    sheet = np.full((down * size, across * size), 255, np.uint8)
    for i, one in enumerate(maps):
        top, left = i // across * size, i % across * size
        sheet[top : top + size - 1, left : left + size - 1] = feature_maps.to_grey(one)
    figure = plots.montage({f"block {block}, layer {layer}": [sheet]})
    figure.alt = f"{len(maps)} feature maps of block {block}, layer {layer}, numbered from 1 by rows of {across}."
    return figure


def statistics(run: Run, manifest: pd.DataFrame, pixels: np.ndarray, nets: Mapping[str, Network]) -> pd.DataFrame:
    """Of testing cells by group and network: entropy, peak and its width of map 202, edge agreement of the mean map.

    Means with 95% bootstrap intervals over patients. Edge agreement needs the true masks, which drawn cohorts have.
    """
    block, layer, number = feature_maps.PAPERS_MAP
    groups, rng = manifest["cell_type"].map(TO_GROUP), run.generator("feature maps")
    rows = []
    for name in CELL_GROUPS:
        members = np.flatnonzero(groups.eq(name) & manifest["split"].eq("test"))
        members = np.sort(rng.permutation(members)[: run.profile.feature_map_cells])
        if not len(members):
            continue
        outlines = _outlines(run, manifest.iloc[members], pixels.shape[1])
        for title, network in nets.items():
            maps = feature_maps.activations(network, augment.to_float(pixels[members]), block, layer).cpu().numpy()
            cells = pd.DataFrame([feature_maps.histogram_summary(feature_maps.to_grey(m[number - 1])) for m in maps])
            for what, masks in outlines.items():
                mean = maps.mean(1)
                cells[what] = [feature_maps.edge_agreement(m, mask) for m, mask in zip(mean, masks, strict=True)]
            cells["patient_id"] = manifest["patient_id"].iloc[members].to_numpy()
            rows.append({"group": LABELS[name], "network": title, "cells": len(members), **_means(run, cells)})
    return pd.DataFrame(rows)


def _outlines(run: Run, rows: pd.DataFrame, size: int) -> dict[str, list[np.ndarray]]:
    if run.cohort_name != synthetic.NAME:
        return {}
    found = [synthetic.masks(row, run.profile.seed) for row in rows.to_dict("records")]
    crop = run.profile.crop
    small = [[resize(m.astype(np.uint8) * 255, size, crop=crop) > 127 for m in pair] for pair in found]
    return {"edges, cell": [pair[0] for pair in small], "edges, nucleus": [pair[1] for pair in small]}


def _means(run: Run, cells: pd.DataFrame) -> dict[str, float]:
    out = {}
    for column in cells.columns.drop("patient_id"):
        out[column] = cells[column].mean()
        if column == "entropy" or column.startswith("edges"):
            out[f"{column}, low"], out[f"{column}, high"] = evaluation.cluster_bootstrap(
                cells,
                lambda drawn, column=column: drawn[column].mean(),
                replicates=min(run.profile.bootstrap, 300),
                rng=run.generator(f"maps/{column}"),
            )
    return out
