"""Cells and smears of other sites (section 3.3), and examples of each site (Figure 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_2, MODULES
from alnet_lib.evaluation import overall
from alnet_lib.evaluation.smear_level import verdict_counts, with_percent
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.paper.values import Result, Value

_EXTERNAL_IDS = {
    ("1", "Blasts"): "text.external.module_1.accuracy",
    ("2", "Myeloid blasts"): "text.external.module_2.myeloid_blast",
    ("2", "B-Lymphoblasts"): "text.external.module_2.b_lymphoblast",
}


@if_available
def external_cells(cells: pd.DataFrame) -> Result | Unavailable:
    """Give the accuracy on the eligible cells of other sites by site, module and class.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `site`, `split`, `eligible`, `cell_type` and probabilities.

    Returns
    -------
    Result or Unavailable
        Frame: `site` (`all` for all together), `module`, `class`, `correct`, `cells`, `accuracy`, `low`, `high` (%, 95%
        Wilson). Values: over all other sites, beside section 3.3. Unavailable without a labelled cell.
    """
    external = cells[cells["split"].eq("external") & cells["eligible"]]
    rows: list[tuple[Any, ...]] = []
    for spec in MODULES:
        if spec is MODULE_2 and not spec.predicts(external):
            continue
        own = spec.labelled(external)
        reference = spec.reference(own)
        correct = spec.predicted(own).eq(reference)
        frame = pd.DataFrame({"site": own["site"], "class": reference, "correct": correct})
        parts = [*frame.groupby(["site", "class"]), *((("all", name), p) for name, p in frame.groupby("class"))]
        for (site, name), part in parts:
            good, n = int(part["correct"].sum()), len(part)
            bounds = overall.interval(good, n)
            rows.append((site, spec.name[-1], LABELS[name], good, n, 100 * part["correct"].mean(), *bounds))
    if not rows:
        return Unavailable("no labelled cell of another site")
    table = pd.DataFrame(rows, columns=["site", "module", "class", "correct", "cells", "accuracy", "low", "high"])
    together = table[table["site"].eq("all")].set_index(["module", "class"])
    values = [
        Value.of(id, *(together.loc[key, column] for column in ("accuracy", "low", "high")))
        for key, id in _EXTERNAL_IDS.items()
        if key in together.index
    ]
    return Result(table, tuple(values), {"n": len(external)})


@if_available
def external_smears(votes: pd.DataFrame, cells: pd.DataFrame) -> Result:
    """Give the verdicts on the smears of other sites.

    Parameters
    ----------
    votes : DataFrame
        Of `smear_level.votes_of` on external smears.
    cells : DataFrame
        Predictions of all splits: say whether there is a module 2.

    Returns
    -------
    Result
        Frame: of `smear_level.with_percent`, diagnoses that have smears. Values: `external.smears.accuracy` and, with
        module 2, the numbers of section 3.3. Facts: `accuracy`, `low`, `high` (%), `n`, `counts`.
    """
    counts = verdict_counts(votes)
    counts = counts[counts.sum(axis=1) > 0]
    about = overall.accuracy(counts)
    values = [Value("external.smears.accuracy", "%", None, None, about["accuracy"], about["low"], about["high"])]
    if MODULE_2.predicts(cells):
        values += _section_3_3(votes)
    return Result(with_percent(counts), tuple(values), about | {"counts": counts})


def _section_3_3(votes: pd.DataFrame) -> list[Value]:
    """Smears of other hospitals as section 3.3 counts them: through module 1, and through both modules."""
    leukaemia = votes[votes["diagnosis"].isin(["AML", "ALL"])]
    values = []
    if len(leukaemia):
        blast = leukaemia["module_1"].eq("blast")
        bounds = overall.interval(int(blast.sum()), len(blast))
        values.append(Value.of("text.external.smears_module_1", 100 * blast.mean(), *bounds))
    for diagnosis, part in leukaemia.groupby("diagnosis"):
        correct, n = int(part["verdict"].eq(diagnosis).sum()), len(part)
        id = f"text.external.{diagnosis}"
        values += [Value.of(f"{id}_smears_right", correct), Value.of(f"{id}_smears", n)]
        values.append(Value.of(f"{id}_sensitivity", 100 * correct / n, *overall.interval(correct, n)))
    return values


def site_examples(
    data: CellImages, rng: np.random.Generator, *, each: int = 6
) -> dict[str, list[np.ndarray]] | Unavailable:
    """Choose blasts to show of each site and lineage (Figure 5).

    Parameters
    ----------
    data : CellImages
        The cohort.
    rng : numpy.random.Generator
        Of the purpose `figure_05`.
    each : int
        Most pictures of a site and lineage.

    Returns
    -------
    dict or Unavailable
        Lineage and site, on two lines, to pictures, uint8 (S, S, 3); unavailable when blasts come from one site only.
    """
    manifest = data.manifest
    blasts = MODULE_2.reference(manifest)
    sites = manifest.loc[blasts.notna(), "site"].unique()
    if len(sites) < 2:
        return Unavailable("blasts come from one site only")
    found = {}
    for name in MODULE_2.classes:
        for site in sites:
            rows = np.flatnonzero(blasts.eq(name) & manifest["site"].eq(site))
            if len(rows):
                found[f"{LABELS[name]}\n{site}"] = [data.pixels[i] for i in rng.permutation(rows)[:each]]
    return found
