"""What the network sees (paper section 4, Fig. 7): activations of one layer, and numbers about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from alnet_lib.core.outcomes import MissingArtefact, Unavailable
from alnet_lib.core.vocabulary import CELL_GROUPS, LABELS
from alnet_lib.diagnosis.tasks import MODULE_1, SIX_CLASSES, ModuleSpec
from alnet_lib.evaluation.explanation.ranges import clipped
from alnet_lib.evaluation.explanation.regions import reference_masks
from alnet_lib.experiments.datasets import fit_and_validation, planned
from alnet_lib.experiments.preparation import Setup, begin
from alnet_lib.imaging import augmentation
from alnet_lib.imaging.decoding import resize
from alnet_lib.networks import activations, storage
from alnet_lib.networks.network import Network, device_of
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import intervals
from alnet_lib.training import memory

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.core.profile import Profile
    from alnet_lib.statistics.intervals import Interval

BATCH = 64
"""Images whose maps are computed at a time; fewer where memory runs out."""

ALL = "all"
"""Name of the rows over all cell groups."""

DIFFERENCE = "difference, paired by cell"
"""Name of the rows of the trained network less the original."""

RANGES = {"entropy": 8.0, "dark": 1.0, "peak_position": 255.0, "peak_width": 256.0}
"""Measure -> its largest possible value, the smallest is 0; that of an AUC is 1."""

UNITS = {"entropy": "bits", "peak_position": "grey level", "peak_width": "grey levels"}
"""Measure -> unit; shares and AUCs have none."""


def to_grey(feature_map: np.ndarray) -> np.ndarray:
    """Stretch a feature map to grey levels.

    Parameters
    ----------
    feature_map : ndarray
        float (h, w).

    Returns
    -------
    ndarray
        uint8 (h, w), 0 to 255; 0 everywhere for a constant map.
    """
    low, high = float(feature_map.min()), float(feature_map.max())
    if high <= low:
        return np.zeros(feature_map.shape, np.uint8)
    return np.round(255 * (feature_map - low) / (high - low)).astype(np.uint8)


def histogram_summary(grey: np.ndarray) -> dict[str, float]:
    """Numbers about a map's grey-level histogram (Fig. 7C).

    Parameters
    ----------
    grey : ndarray
        uint8 (h, w).

    Returns
    -------
    dict
        `peak_position`: middle of the highest of 32 bins, grey level 0 to 255. `peak_width`: grey levels of the
        contiguous bins around it that hold at least half as many pixels. `entropy`: bits, 0 to 8, of the 256 levels.
        `dark`: share of pixels below 64.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    share = counts / counts.sum()
    entropy = float(-(share[share > 0] * np.log2(share[share > 0])).sum()) + 0.0
    bins = counts.reshape(32, 8).sum(1)
    peak = int(bins.argmax())
    high = bins >= bins[peak] / 2
    first = last = peak
    while first > 0 and high[first - 1]:
        first -= 1
    while last < 31 and high[last + 1]:
        last += 1
    return {
        "peak_position": 8.0 * peak + 4,
        "peak_width": 8.0 * (last - first + 1),
        "entropy": entropy,
        "dark": float((grey < 64).mean()),
    }


def edge_agreement(feature_map: np.ndarray, mask: np.ndarray) -> float:
    """How well a map's edges follow an outline: AUC of its gradient for pixels on the outline against the others.

    Parameters
    ----------
    feature_map : ndarray
        float (h, w).
    mask : ndarray
        bool, any size; it is resized to the map's.

    Returns
    -------
    float
        0.5 is chance; 1 means that the map is steeper at every pixel of the outline than at any other. NaN when the
        mask has no outline at that size.
    """
    height, width = feature_map.shape
    zoom = (height / mask.shape[0], width / mask.shape[1])
    small = ndimage.zoom(mask.astype(float), zoom, order=1) > 0.5
    outline = small ^ ndimage.binary_erosion(small)
    outline = ndimage.binary_dilation(outline)
    if outline.all() or not outline.any():
        return float("nan")
    gradient = ndimage.gaussian_gradient_magnitude(feature_map.astype(float), 0.7)
    return float(roc_auc_score(outline.ravel(), gradient.ravel()))


class Networks(NamedTuple):
    """A module before and after its training.

    Attributes
    ----------
    original : Network or Unavailable
        What the training began from.
    trained : Network or Unavailable
        What it led to.
    start : str
        The weights of `original`, in words.
    """

    original: Network | Unavailable
    trained: Network | Unavailable
    start: str


def networks(setup: Setup, spec: ModuleSpec = MODULE_1) -> Networks:
    """The network that a module's training began from, and the trained one.

    Parameters
    ----------
    setup : Setup
        Images, profile, and the folder with the trained models.
    spec : ModuleSpec
        The module.

    Returns
    -------
    Networks
        Both in evaluation mode, on the setup's device; both unavailable where the cohort cannot train the module.

    Raises
    ------
    MissingArtefact
        The module has not been trained.
    """
    if isinstance(plannable := planned(setup.data.manifest, spec, setup.profile), Unavailable):
        none = Unavailable(f"{spec.title.lower()} cannot be trained: {plannable.reason}")
        return Networks(none, none, "none")
    path = setup.folder / "models" / f"{spec.name}.safetensors"
    if not path.is_file():
        raise MissingArtefact(f"{path} is missing: the training of {spec.title.lower()} makes it")
    trained, settings = storage.load_network(path)
    fit_on = fit_and_validation(setup.data, spec, setup.profile)[0]
    original = begin(setup.profile, settings["backbone"], fit_on, name=spec.name)
    start = STARTS.get(setup.profile.start_of(settings["backbone"]), "the pretrained start")
    return Networks(original.eval().to(setup.device), trained.to(setup.device), start)


LEAST_SIDE = 112
"""Fewest pixels a side of the pictures whose maps Figure 7 shows: maps of VGG's last block then have 7."""


STARTS = {"imagenet": "ImageNet weights", "random": "the untrained random start", "cells": "the kit's own start"}
"""Name of a start -> how captions name it."""


@dataclass(frozen=True)
class CellChoice(Result):
    """The cells of Figure 7.

    Attributes
    ----------
    rows : mapping of str to int
        Cell group -> row of the manifest and of the pixels.
    image_ids : mapping of str to str
        Cell group -> image_id.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    image_ids: Mapping[str, str] = field(default_factory=dict)


def figure_7_cells(manifest: pd.DataFrame, rng: np.random.Generator) -> CellChoice | Unavailable:
    """Choose a myeloid blast and an abnormal promyelocyte, testing cells first (Figure 7).

    Parameters
    ----------
    manifest : DataFrame
        With `image_id`, `cell_type` and `split`.
    rng : Generator
        Chooses the cells.

    Returns
    -------
    CellChoice or Unavailable
        Frame: columns `group`, `row`. Facts: `names`. Unavailable where the cohort has neither.
    """
    found: dict[str, int] = {}
    groups = SIX_CLASSES.reference(manifest)
    for name in ("myeloid_blast", "abnormal_promyelocyte"):
        rows = np.flatnonzero(groups.eq(name) & manifest["split"].eq("test"))
        rows = rows if len(rows) else np.flatnonzero(groups.eq(name))
        if len(rows):
            found[name] = int(rng.choice(rows))
    if not found:
        return Unavailable("the cohort has neither myeloid blasts nor abnormal promyelocytes")
    names = " and ".join(LABELS[name].lower() for name in found)
    ids = {name: str(manifest["image_id"].iloc[row]) for name, row in found.items()}
    frame = pd.DataFrame(found.items(), columns=["group", "row"])
    return CellChoice(frame, facts={"names": names}, rows=found, image_ids=ids)


def figure_7_side(network: Network | Unavailable) -> int:
    """Pixels a side of what Figure 7 shows: what the network was trained at, and LEAST_SIDE at least."""
    return LEAST_SIDE if isinstance(network, Unavailable) else max(LEAST_SIDE, network.input_size)


def figure_7_scale(network: Network | Unavailable) -> str:
    """Say for the caption of Figure 7 that its maps are of larger pictures than the network was trained at."""
    side = figure_7_side(network)
    if isinstance(network, Unavailable) or network.input_size == side:
        return ""
    return f" Maps of pictures of {side} pixels a side; the networks were trained at {network.input_size}."


def grid_cell(choice: CellChoice | Unavailable) -> int:
    """The cell for the grid of all maps: the first of Figure 7, else the cohort's first.

    Parameters
    ----------
    choice : CellChoice or Unavailable
        Of `figure_7_cells`.

    Returns
    -------
    int
        Row of the manifest and of the pixels.
    """
    return 0 if isinstance(choice, Unavailable) else next(iter(choice.rows.values()))


def statistics(
    cohort: Cohort, pixels: np.ndarray, profile: Profile, nets: Mapping[str, Network | Unavailable]
) -> Result | Unavailable:
    """Numbers about the paper's map (block 3, layer 1, map 202 of VGG16) of testing cells, by cell group and network.

    Parameters
    ----------
    cohort : Cohort
        Only the synthetic one has reference masks, which edge agreement needs.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    profile : Profile
        Cells of a group (`feature_map_cells`), seed and crop.
    nets : mapping
        Name -> network or Unavailable, the original first and then the trained one, e.g. `original` and `ALNet`.

    Returns
    -------
    Result or Unavailable
        One row a group (and `all`), network (and the paired difference, last network less first) and measure, those of
        `histogram_summary` and of the edge agreement of the mean map: `group`, `network`, `measure`, `cells`, `mean`,
        and the columns of its interval over patients. Values: `feature_maps.<network>.<measure>` and
        `feature_maps.difference.<measure>`, over all groups. Facts: `map` (its number), `entropy_<network>` and
        `difference` in bits, `ci` and `verdict` of the difference, `notes` on memory that ran out. Unavailable without
        testing cells or without a network.
    """
    there = {title: network for title, network in nets.items() if not isinstance(network, Unavailable)}
    if lacking := [network for network in nets.values() if isinstance(network, Unavailable)]:
        return lacking[0]
    block, layer, number = activations.papers_map(list(there.values())[-1])
    manifest, rng = cohort.manifest, profile.generator("feature maps")
    groups, parts, notes = SIX_CLASSES.reference(manifest), [], list[str]()
    for name in CELL_GROUPS:
        members = np.flatnonzero(groups.eq(name) & manifest["split"].eq("test"))
        members = np.sort(rng.permutation(members)[: profile.feature_map_cells])
        if not len(members):
            continue
        outlines = _outlines(cohort, profile, manifest.iloc[members], pixels.shape[1])
        for title, network in there.items():
            maps = _maps(network, pixels[members], block, layer, notes)
            cells = pd.DataFrame([histogram_summary(to_grey(m[number - 1])) for m in maps], index=members)
            for what, masks in outlines.items():
                mean = maps.mean(1)
                cells[what] = [edge_agreement(m, mask) for m, mask in zip(mean, masks, strict=True)]
            parts.append(cells.assign(group=LABELS[name], network=title))
    if not parts:
        return Unavailable("no testing cell has a class")
    made = _summarised(pd.concat(parts), manifest.reset_index(drop=True), list(there))
    return replace(made, facts={**made.facts, "map": number, "notes": memory.told(notes)})


def _maps(network: Network, pictures: np.ndarray, block: int, layer: int, notes: list[str]) -> np.ndarray:
    def work(index: np.ndarray) -> np.ndarray:
        return activations.activations(network, augmentation.to_float(pictures[index]), block, layer).cpu().numpy()

    device = device_of(network)
    parts = memory.in_parts(work, len(pictures), BATCH, what="feature maps", device=device, notes=notes)
    return np.concatenate([maps for _, maps in parts])


def _summarised(measured: pd.DataFrame, manifest: pd.DataFrame, titles: list[str]) -> Result:
    """Means with intervals over patients, of one row a cell (a position in the manifest) and network."""
    measures = measured.columns.drop(["group", "network"])
    own = {title: measured[measured["network"].eq(title)] for title in titles}
    changed = own[titles[-1]][measures] - own[titles[0]][measures]
    own[DIFFERENCE] = changed.assign(group=own[titles[0]]["group"], network=DIFFERENCE)
    rows: list[dict[str, Any]] = []
    values, overall = [], {}
    for group in (ALL, *measured["group"].unique()):
        for title, frame in own.items():
            part = frame if group == ALL else frame[frame["group"].eq(group)]
            for measure in measures:
                top = RANGES.get(measure, 1.0)
                found = intervals.mean(part[measure], manifest.loc[part.index])
                found = clipped(found, -top if title == DIFFERENCE else 0.0, top)
                row = {
                    "group": group,
                    "network": title,
                    "measure": measure.replace("_", " "),
                    "cells": int(part[measure].notna().sum()),
                }
                rows.append(row | {"mean": found.estimate, **found.columns(factor=1)})
                if group == ALL:
                    key = f"feature_maps.{title.split(',')[0]}.{measure.replace(', ', '_')}"
                    values.append(Value.of(key, found, UNITS.get(measure, "")))
                    overall[title, measure] = found
    change = overall[DIFFERENCE, "entropy"]
    facts: dict[str, Any] = {f"entropy_{title}": overall[title, "entropy"].estimate for title in titles}
    facts |= {"difference": change.estimate, "ci": change.text(2, 1), "verdict": _reading(change)}
    return Result(pd.DataFrame(rows), tuple(values), facts)


def _reading(change: Interval) -> str:
    """How a difference in entropy bears on what the paper reads from two cells: more information in ALNet's map."""
    if not change.given:
        return (
            "too few patients to say whether this agrees with the paper, which reads more information in ALNet's maps"
        )
    if change.low > 0:
        return "in line with the paper, which reads more information in ALNet's maps"
    if change.high < 0:
        return "this goes against the paper, which reads more information in ALNet's maps: here they hold less"
    return "no evidence either way of the additional information that the paper reads in ALNet's maps"


def _outlines(cohort: Cohort, profile: Profile, rows: pd.DataFrame, size: int) -> dict[str, list[np.ndarray]]:
    found = [reference_masks(cohort, profile, row) for row in rows.to_dict("records")]
    small = [
        [resize(m.astype(np.uint8) * 255, size, crop=profile.crop) > 127 for m in pair]
        for pair in found
        if pair is not None
    ]
    if not small:
        return {}
    return {"edges, cell": [pair[0] for pair in small], "edges, nucleus": [pair[1] for pair in small]}
