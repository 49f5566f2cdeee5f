"""Where in an image a module looks: Grad-CAM and integrated gradients (captum), and how much of it lies on the cell.

Beyond the paper. An attribution map is believed only as far as its sanity check: the same method on the network with
random weights must give another map (`randomisation`; Adebayo et al., NeurIPS 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from alnet_lib.core.outcomes import MissingArtefact, Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, ModuleSpec
from alnet_lib.evaluation.explanation import randomisation
from alnet_lib.evaluation.explanation.ranges import clipped
from alnet_lib.evaluation.explanation.regions import REGIONS, regions
from alnet_lib.imaging import augmentation
from alnet_lib.networks import storage
from alnet_lib.networks.network import Network, device_of
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import intervals
from alnet_lib.statistics.intervals import Interval
from alnet_lib.training import memory

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.core.profile import Profile
    from alnet_lib.experiments.preparation import Setup

STEPS = 8
"""Steps of the path integral of integrated gradients."""

GRAD_CAM_BLOCK = 4
"""Block whose output Grad-CAM weighs; the last one is too coarse for small images."""

CHECKED_CELLS = 24
"""Cells of a module in the sanity check at most, of as many patients as possible: each is explained at seven steps."""

BATCH = 32
"""Images explained at a time; fewer where memory runs out."""

ALL = "all"
"""Name of the rows over all classes."""

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
        On any device.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB.
    targets : ndarray
        int64 (n,), the class explained in each image.

    Returns
    -------
    ndarray
        float32 (n, S, S), each map scaled to a maximum of 1, or 0 everywhere.
    """
    from captum.attr import LayerGradCam

    network.eval()
    method = LayerGradCam(_OnImages(network), network.blocks[min(GRAD_CAM_BLOCK, len(network.blocks)) - 1])
    device = device_of(network)
    given, explained = augmentation.to_float(pictures, device), torch.tensor(targets, device=device)
    found = method.attribute(given, explained, relu_attributions=True)
    size = (pictures.shape[2], pictures.shape[1])
    maps = [cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in found[:, 0].detach().cpu().numpy()]
    return np.stack([_stretched(np.maximum(m, 0)) for m in maps])


def integrated_gradients(network: Network, pictures: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Integrated gradients (Sundararajan et al., ICML 2017), from an empty image of the background's colour.

    The background's colour is the median over the image's border.

    Parameters
    ----------
    network : Network
        On any device.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB.
    targets : ndarray
        int64 (n,), the class explained in each image.

    Returns
    -------
    ndarray
        float32 (n, S, S), absolute values summed over channels, each map scaled to a maximum of 1.
    """
    from captum.attr import IntegratedGradients

    network.eval()
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    blank = np.broadcast_to(np.median(border, axis=1)[:, None, None].astype(np.uint8), pictures.shape)
    method = IntegratedGradients(_OnImages(network))
    device = device_of(network)
    given, empty = (augmentation.to_float(images, device).contiguous() for images in (pictures, blank))
    found = method.attribute(
        given, empty, torch.tensor(targets, device=device), n_steps=STEPS, internal_batch_size=max(len(pictures), STEPS)
    )
    return np.stack([_stretched(m) for m in found.abs().sum(1).detach().cpu().numpy()])


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


def statistics(
    cohort: Cohort, setup: Setup, cells: pd.DataFrame | Unavailable
) -> tuple[Result | Unavailable, Result | Unavailable]:
    """Where the attribution of each module lies in testing cells, and the sanity check.

    Parameters
    ----------
    cohort : Cohort
        With the files, which are segmented where there are no reference masks.
    setup : Setup
        Images, profile, and the folder with the trained models.
    cells : DataFrame or Unavailable
        The cells with the modules' probabilities.

    Returns
    -------
    where : Result or Unavailable
        One row a module, method, class (and `all`) and region: `module`, `method`, `class`, `region`, `cells`,
        `share, %` with the columns of its interval over patients, and `area, %`, the region's share of the image.
        Values: `attribution.<module>.<method>.<region>`, over all cells. Facts: `notes`, on memory that ran out.
    checks : Result or Unavailable
        One row a module, method and step of the cascade (`randomisation.cascade`): `module`, `method`, `step` (the part
        randomised, with all above it), `correlation` of the maps with the intact network's (Spearman, mean over cells)
        with the columns of its interval over patients, `cells`. Values: `attribution_check.<module>.<method>.<step>`.
        Facts: `verdict`, in words.
    """
    if isinstance(cells, Unavailable):
        return cells, cells
    rows: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    values: list[Value] = []
    checked: list[Value] = []
    notes: list[str] = []
    for spec in MODULES:
        chosen = _chosen(setup.profile, cells, spec) if spec.predicts(cells) else cells.head(0)
        if not len(chosen):
            continue
        network = _trained(setup, spec)
        found = [regions(cohort, setup.profile, row) for row in chosen.to_dict("records")]
        pictures = np.asarray(setup.data.pixels[setup.data.rows_of(chosen["image_id"])])
        targets = chosen["predicted"].map({label: i for i, label in enumerate(network.classes)}).to_numpy(np.int64)
        for name, method in METHODS.items():
            own, measured = _by_class(spec, name, chosen, _in_batches(method, network, pictures, targets, notes), found)
            rows += own
            values += measured
        few = _spread(chosen, setup.profile.feature_map_cells if setup.profile.rehearsal else CHECKED_CELLS)
        own, measured = _checks(setup.profile, spec, chosen.iloc[few], network, pictures[few], targets[few], notes)
        checks += own
        checked += measured
    if not rows:
        none = Unavailable("no testing cell has a class of module 1")
        return none, none
    frame = pd.DataFrame(checks)
    where = Result(pd.DataFrame(rows), tuple(values), {"notes": memory.told(notes)})
    return where, Result(frame, tuple(checked), {"verdict": _verdict(frame)})


def _trained(setup: Setup, spec: ModuleSpec) -> Network:
    path = setup.folder / "models" / f"{spec.name}.safetensors"
    if not path.is_file():
        raise MissingArtefact(f"{path} is missing: the training of {spec.title.lower()} makes it")
    return storage.load_network(path)[0].to(setup.device)


def _chosen(profile: Profile, cells: pd.DataFrame, spec: ModuleSpec) -> pd.DataFrame:
    own = spec.labelled(cells[cells["split"].eq("test")])
    own = own.assign(reference=spec.reference(own), predicted=spec.predicted(own))
    rng = profile.generator(f"attribution/{spec.prefix}")
    limit = max(profile.feature_map_cells // 4, 2)
    kept = [part.iloc[np.sort(rng.permutation(len(part))[:limit])] for _, part in own.groupby("reference", sort=False)]
    return pd.concat(kept) if kept else own


def _spread(rows: pd.DataFrame, most: int) -> np.ndarray:
    """Positions of at most so many rows, from as many patients as possible: each patient's first, then its second."""
    order = rows.groupby("patient_id", sort=False).cumcount().to_numpy()
    return np.sort(np.argsort(order, kind="stable")[:most])


def _by_class(
    spec: ModuleSpec, name: str, chosen: pd.DataFrame, maps: np.ndarray, found: list[np.ndarray | None]
) -> tuple[list[dict[str, Any]], list[Value]]:
    """Rows of `where` for one module and method, all classes first, and the values."""
    columns = [*REGIONS, *(f"area, {region}" for region in REGIONS)]
    shared = [shares(m, r) if r is not None else {} for m, r in zip(maps, found, strict=True)]
    frame = pd.DataFrame(shared, index=chosen.index, columns=columns, dtype=float)
    groups = {ALL: chosen} | {LABELS[label]: part for label, part in chosen.groupby("reference", sort=False)}
    rows: list[dict[str, Any]] = []
    values = []
    for title, part in groups.items():
        own = frame.loc[part.index]
        for region in REGIONS:
            share = clipped(intervals.mean(own[region], part), 0.0, 1.0)
            row = {"module": int(spec.name[-1]), "method": name, "class": title, "region": region}
            row |= {"cells": int(own[region].notna().sum()), "share, %": 100 * share.estimate, **share.columns()}
            rows.append(row | {"area, %": 100 * own[f"area, {region}"].mean()})
            if title == ALL:
                values.append(Value.of(f"attribution.{spec.name}.{_key(name)}.{region}", share, "%"))
    return rows, values


def _checks(
    profile: Profile,
    spec: ModuleSpec,
    rows: pd.DataFrame,
    network: Network,
    pictures: np.ndarray,
    targets: np.ndarray,
    notes: list[str],
) -> tuple[list[dict[str, Any]], list[Value]]:
    """Rows of `checks` for one module, and the values."""
    seed = int(profile.generator(f"attribution check/{spec.prefix}").integers(2**31))
    explained: dict[str, randomisation.Explain] = {
        name: partial(_in_batches, method, pictures=pictures, targets=targets, notes=notes)
        for name, method in METHODS.items()
    }
    found: list[dict[str, Any]] = []
    values = []
    for name, steps in randomisation.correlations(explained, network, pictures, seed).items():
        for step in steps.columns:
            alike = clipped(intervals.mean(steps[step], rows), -1.0, 1.0)
            found.append(
                {"module": int(spec.name[-1]), "method": name, "step": step, "correlation": alike.estimate}
                | {**alike.columns(factor=1), "cells": int(steps[step].notna().sum())}
            )
            values.append(Value.of(f"attribution_check.{spec.name}.{_key(name)}.{_key(step)}", alike, ""))
    return found, values


def _key(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _in_batches(
    attribute: Method, network: Network, pictures: np.ndarray, targets: np.ndarray, notes: list[str]
) -> np.ndarray:
    def work(index: np.ndarray) -> np.ndarray:
        return attribute(network, pictures[index], targets[index])

    parts = memory.in_parts(work, len(pictures), BATCH, what="attribution", device=device_of(network), notes=notes)
    return np.concatenate([maps for _, maps in parts])


def _last(checks: pd.DataFrame) -> pd.DataFrame:
    """The last step of the cascade, by module and method."""
    return checks.groupby(["module", "method"], sort=False).tail(1).set_index(["module", "method"])


def _depends(end: Any) -> bool | None:
    """Whether maps depend on what was learnt, by a row of `_last`; None where the patients cannot say."""
    low, high = end["low"], end["high"]
    if np.isnan(low) and end["patients"] >= intervals.MINIMUM_PATIENTS:
        # The maps of all cells are equally alike, so there is no spread to make an interval of.
        low = high = end["correlation"]
    if high < randomisation.ALIKE:
        return True
    return False if low > randomisation.ALIKE else None


def _verdict(checks: pd.DataFrame) -> str:
    end = _last(checks)
    found = {f"{method} of module {module}": _depends(row) for (module, method), row in end.iterrows()}
    said = []
    for verdict, words in ((False, "does not depend on what was learnt"), (None, "cannot be judged")):
        if names := [name for name, depends in found.items() if depends is verdict]:
            said.append(f"{words}: {', '.join(names)}")
    told = "; ".join(said) or "all methods' maps change with the weights"
    return told[0].upper() + told[1:]


def _ci(row: Any, estimate: float, digits: int) -> str:
    """The interval of a row, which has the columns of `Interval.columns`, in words."""
    method = row["interval"] if pd.notna(row["low"]) else ""
    return Interval(estimate, row["low"], row["high"], method, row["patients"], None, None).text(digits, 1)


def findings(where: Result | Unavailable, checks: Result | Unavailable) -> list[str] | Unavailable:
    """Where the modules look, in sentences, and whether the maps may be read so.

    Parameters
    ----------
    where, checks : Result or Unavailable
        Of `statistics`.

    Returns
    -------
    list of str or Unavailable
        One sentence or more a module and method, those that can be given. The whole interval of the correlation after
        the cascade must lie below `randomisation.ALIKE` for the shares to be a finding, and above it for the maps to be
        said not to depend on what was learnt; else this cannot be judged. Either comes before the shares.
    """
    if isinstance(where, Unavailable) or isinstance(checks, Unavailable):
        return where if isinstance(where, Unavailable) else Unavailable("attribution was not checked")
    everything = where.frame[where.frame["class"].eq(ALL)].set_index(["module", "method", "region"])
    said = []
    for (module, method), end in _last(checks.frame).iterrows():
        rows = {region: everything.loc[(module, method, region)] for region in ("nucleus", "background")}
        parts = [
            f"{row['share, %']:.1f}% on the {region} ({_ci(row, row['share, %'], 1)})"
            for region, row in rows.items()
            if not np.isnan(row["share, %"])
        ]
        shown = " and ".join(parts) or "no share can be given, as no map of a segmented cell has any attribution"
        told, alike, depends = f"Module {module}, {method}", end["correlation"], _depends(end)
        if np.isnan(alike):
            said.append(f"{told}: not checked, as the maps of randomised weights are empty; so no finding: {shown}.")
            continue
        measured = f"correlation {alike:.2f}, {_ci(end, alike, 2)}"
        if depends:
            said.append(f"{told}: {shown}. The maps change when all weights are random ({measured}).")
        elif depends is None:
            said.append(
                f"{told}: whether its maps depend on what was learnt **cannot be judged** (with all weights random: "
                f"{measured}; the bound is {randomisation.ALIKE}). So no finding about the network: {shown}."
            )
        else:
            said.append(
                f"{told}: **its maps do not depend on what was learnt**: with all weights random they stay alike "
                f"({measured}). The shares describe the images and are no finding about the network: {shown}."
            )
    return said


@if_available
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
