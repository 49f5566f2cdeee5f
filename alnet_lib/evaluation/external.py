"""Cells and smears of other sites (section 3.3), with intervals over patients, and examples of each site (Figure 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_2, MODULES
from alnet_lib.evaluation.cell_level import predictions_of
from alnet_lib.evaluation.smear_level import end_to_end
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification, intervals

_EXTERNAL_IDS = {
    ("1", "Blasts"): "text.external.module_1.accuracy",
    ("2", "Myeloid blasts"): "text.external.module_2.myeloid_blast",
    ("2", "B-Lymphoblasts"): "text.external.module_2.b_lymphoblast",
}


SIDE = 112
"""Pixels a side of the pictures of Figure 5: 36 of them are printed 2 centimetres wide."""


@if_available
def external_cells(cells: pd.DataFrame) -> Result | Unavailable:
    """Give the accuracy on the eligible cells of other sites by site, module and class.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `patient_id`, `site`, `split`, `eligible`, `cell_type` and probabilities.

    Returns
    -------
    Result or Unavailable
        Frame: `site` (`all` for all together), `module`, `class`, `correct`, `cells`, `accuracy` (%), the columns of
        `Interval.columns`. Values: over all other sites, beside section 3.3 where it prints them, and
        `external.<site>.<module>.<class>`. Facts: `n` (cells), `patients`. Unavailable without a labelled cell.
    """
    external = cells[cells["split"].eq("external") & cells["eligible"]]
    rows, values = [], []
    for spec in MODULES:
        if spec is MODULE_2 and not spec.predicts(external):
            continue
        found = predictions_of(external, spec)
        for site, of_site in [*found.groupby("site"), ("all", found)]:
            for name, own in of_site.groupby("reference"):
                measured, module = classification.accuracy(own), spec.name[-1]
                row = {"site": site, "module": module, "class": LABELS[name]}
                row |= {"correct": int(own["predicted"].eq(name).sum()), "cells": len(own)}
                rows.append(row | {"accuracy": 100 * measured.estimate} | measured.columns())
                values.append(Value.of(f"external.{site}.{spec.name}.{name}", measured, "%"))
                if site == "all" and (module, LABELS[name]) in _EXTERNAL_IDS:
                    values.append(Value.of(_EXTERNAL_IDS[module, LABELS[name]], measured))
    if not rows:
        return Unavailable("no labelled cell of another site")
    facts = {"n": len(external), "patients": intervals.behind(external)["n_patients"]}
    return Result(pd.DataFrame(rows), tuple(values), facts)


@if_available
def external_smears(votes: pd.DataFrame, cells: pd.DataFrame) -> Result | Unavailable:
    """Give the verdicts on the smears of other sites.

    Parameters
    ----------
    votes : DataFrame
        Of `smear_level.votes_of` on external smears.
    cells : DataFrame
        Predictions of all splits: say whether there is a module 2.

    Returns
    -------
    Result or Unavailable
        Frame and facts: of `smear_level.end_to_end`. Values: `external.smears.accuracy`, `external.smears.<diagnosis>`
        and, with module 2, the numbers of section 3.3.
    """
    result = end_to_end(votes, key="external.smears")
    if isinstance(result, Unavailable):
        return result
    more = _section_3_3(votes) if MODULE_2.predicts(cells) else []
    return replace(result, values=(*result.values, *more))


def _section_3_3(votes: pd.DataFrame) -> list[Value]:
    """Smears of other hospitals as section 3.3 counts them: through module 1, and through both modules."""
    leukaemia = votes[votes["diagnosis"].isin(["AML", "ALL"])]
    values = []
    if len(leukaemia):
        first = intervals.proportion(leukaemia["module_1"].eq("blast"), leukaemia)
        values.append(Value.of("text.external.smears_module_1", first))
    for diagnosis, part in leukaemia.groupby("diagnosis"):
        correct, id = part["verdict"].eq(diagnosis), f"text.external.{diagnosis}"
        counts, sizes = {f"{id}_smears_right": int(correct.sum()), f"{id}_smears": len(part)}, intervals.behind(part)
        values += [replace(Value.of(one, n), **sizes) for one, n in counts.items()]
        values.append(Value.of(f"{id}_sensitivity", intervals.proportion(correct, part)))
    return values


def site_examples(
    manifest: pd.DataFrame,
    read: Callable[[pd.Series, int], Sequence[np.ndarray]],
    rng: np.random.Generator,
    *,
    each: int = 6,
) -> dict[tuple[str, str], list[np.ndarray]] | Unavailable:
    """Choose blasts to show of each site and lineage (Figure 5).

    Parameters
    ----------
    manifest : DataFrame
        Of the cohort.
    read : callable
        Gives the pictures of image_ids at a side in pixels, as `Run.pictures` does.
    rng : numpy.random.Generator
        Of the purpose `figure_05`.
    each : int
        Most pictures of a site and lineage.

    Returns
    -------
    dict or Unavailable
        Lineage and site to pictures, uint8 (S, S, 3); unavailable when blasts come from one site only.
    """
    blasts = MODULE_2.reference(manifest)
    sites = manifest.loc[blasts.notna(), "site"].unique()
    if len(sites) < 2:
        return Unavailable("blasts come from one site only")
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for name in MODULE_2.classes:
        for site in sites:
            rows = np.flatnonzero(blasts.eq(name) & manifest["site"].eq(site))
            if len(rows):
                chosen = manifest["image_id"].iloc[rng.permutation(rows)[:each]]
                found[LABELS[name], str(site)] = list(read(chosen, SIDE))
    return found
