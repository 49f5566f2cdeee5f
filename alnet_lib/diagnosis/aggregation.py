"""From the cells of a smear to its verdict: what a rule sees, the paper's rule (section 3.3), and the vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from alnet_lib.core.vocabulary import DIAGNOSES, NON_APL, UNKNOWN
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, ModuleSpec

OF_MODULE_1: dict[str, str] = {
    "lymphocyte": "control",
    "monocyte": "control",
    "reactive_lymphocyte": "infection",
    "abnormal_promyelocyte": "APL",
    "blast": NON_APL,
}
"""Class of module 1 -> verdict."""

OF_MODULE_2: dict[str, str] = {"myeloid_blast": "AML", "b_lymphoblast": "ALL"}
"""Class of module 2 -> verdict."""

SHARES_1 = [f"share_{name}" for name in MODULE_1.classes]
"""Columns of the shares of module 1's classes."""

SHARES_2 = [f"share2_{name}" for name in MODULE_2.classes]
"""Columns of the shares of module 2's classes."""


class AggregationRule(Protocol):
    """Decides on smears from their scores. Any callable with this signature is a rule."""

    def __call__(self, scores: pd.DataFrame, /) -> pd.DataFrame:
        """Decide on every smear.

        Parameters
        ----------
        scores : DataFrame
            Of `smear_scores`, one row a smear.

        Returns
        -------
        DataFrame
            With the index of `scores` and the column `verdict`; `module_1` and `module_2` (str) if the rule decides
            in two stages.
        """


@dataclass(frozen=True)
class MajorityAboveThreshold:
    """The paper's rule: a class wins that more than a threshold of the cells belong to, first in module 1.

    Module 2 decides on smears that module 1 finds to be of blasts. Below one half several classes may exceed the
    threshold: the largest wins, and a tie is `unknown`. Source: section 3.3 of the paper.

    Attributes
    ----------
    threshold : float
        In [0, 1); a class must have strictly more than this share of the cells.
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"the threshold is {self.threshold}; it must be at least 0 and below 1")

    def __call__(self, scores: pd.DataFrame, /) -> pd.DataFrame:
        """Decide on every smear.

        Parameters
        ----------
        scores : DataFrame
            Of `smear_scores`.

        Returns
        -------
        DataFrame
            `module_1` (a class or `unknown`), `module_2` (AML, ALL, `unknown`, or empty where module 2 has no say),
            `verdict` (one of VERDICTS).
        """
        first, second = scores[SHARES_1], scores[SHARES_2]
        winner = self._winner(first.set_axis(MODULE_1.classes, axis=1))
        lineage = self._winner(second.set_axis(MODULE_2.classes, axis=1)).map(lambda c: OF_MODULE_2.get(c, UNKNOWN))
        asked = winner.eq("blast") & second.notna().all(axis=1)
        alone = winner.map(lambda name: OF_MODULE_1.get(name, UNKNOWN))
        return pd.DataFrame(
            {"module_1": winner, "module_2": lineage.where(asked, ""), "verdict": lineage.where(asked, alone)}
        )

    def _winner(self, shares: pd.DataFrame) -> pd.Series:
        filled = shares.fillna(0.0)
        top = filled.max(axis=1)
        tied = filled.eq(top, axis=0).sum(axis=1) > 1
        return filled.idxmax(axis=1).where((top > self.threshold) & ~tied, UNKNOWN)


@dataclass(frozen=True)
class HighestProbability:
    """The rule of a model that gives each smear a probability of every diagnosis: the most probable one."""

    def __call__(self, scores: pd.DataFrame, /) -> pd.DataFrame:
        """Decide on every smear.

        Parameters
        ----------
        scores : DataFrame
            Columns `p_<diagnosis>` in [0, 1], for two or more of DIAGNOSES.

        Returns
        -------
        DataFrame
            `verdict`, one of the diagnoses that have a column; the first of equals.

        Raises
        ------
        ValueError
            There is no such column.
        """
        names = [name for name in DIAGNOSES if f"p_{name}" in scores]
        if not names:
            raise ValueError("the scores have no column p_<diagnosis>")
        best = scores[[f"p_{name}" for name in names]].to_numpy(float).argmax(axis=1)
        return pd.DataFrame({"verdict": np.array(names, dtype=object)[best]}, index=scores.index)


def smear_shares(cells: pd.DataFrame, spec: ModuleSpec = MODULE_1) -> pd.DataFrame:
    """Share of each smear's cells that a module predicts to be of each class; the scores of section 3.3's ROC curves.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, with smear_id, image_id and the module's probabilities.
    spec : ModuleSpec
        The module.

    Returns
    -------
    DataFrame
        Index smear_id, sorted; columns the classes; in [0, 1], rows sum to 1.

    Raises
    ------
    ValueError
        A probability is NaN; the message names images.
    """
    best, code = spec.probabilities(cells).argmax(axis=1), cells.groupby("smear_id", sort=True).ngroup().to_numpy()
    smears = cells.groupby("smear_id", sort=True).size().index
    known, shape = code >= 0, (len(smears), len(spec.classes))
    counts = np.bincount(code[known] * shape[1] + best[known], minlength=shape[0] * shape[1]).reshape(shape)
    return pd.DataFrame(counts / counts.sum(axis=1, keepdims=True), smears, list(spec.classes))


def smear_scores(cells: pd.DataFrame) -> pd.DataFrame:
    """Count what an aggregation rule sees of each smear.

    Module 2 sees the cells that module 1 predicts to be blasts: the paper does not say which cells it sees (register
    of open points).

    Parameters
    ----------
    cells : DataFrame
        One row a cell, with smear_id, image_id, `p1_<class>` and, where there is a module 2, `p2_<class>`.

    Returns
    -------
    DataFrame
        Index smear_id, sorted: n_cells (int), share_<class> of module 1 in [0, 1], n_blasts (int), share2_<class> of
        module 2 among the blasts, in [0, 1], NaN where there is no module 2 or no blast.

    Raises
    ------
    ValueError
        A probability of module 1 is NaN, or one of module 2 on a cell that it sees; the message names images.
    """
    scores = cells.groupby("smear_id", sort=True).size().to_frame("n_cells")
    scores[SHARES_1] = smear_shares(cells)
    blasts = cells[MODULE_1.predicted(cells).eq("blast").to_numpy()]
    scores["n_blasts"] = blasts.groupby("smear_id").size().reindex(scores.index, fill_value=0)
    second = pd.DataFrame(np.nan, index=scores.index, columns=list(MODULE_2.classes))
    if MODULE_2.predicts(cells) and len(blasts):
        second = smear_shares(blasts, MODULE_2).reindex(scores.index)
    scores[SHARES_2] = second
    return scores


def vote(cells: pd.DataFrame, rule: AggregationRule = MajorityAboveThreshold(0.5)) -> pd.DataFrame:
    """Give the verdict on every smear.

    Parameters
    ----------
    cells : DataFrame
        The eligible cells, one row each, as for `smear_scores`; of patient_id, site, diagnosis and split those that
        are there are kept.
    rule : callable
        An `AggregationRule`; by default the paper's, with its threshold of one half.

    Returns
    -------
    DataFrame
        One row a smear: smear_id, patient_id, site, diagnosis, split, n_cells, share_<class>, module_1, n_blasts,
        share2_<class>, module_2, verdict and, where the diagnosis is there, expected: the diagnosis, or `AL non-APL`
        for AML and ALL where there is no module 2 that could distinguish them.

    Raises
    ------
    ValueError
        A probability of module 1 is NaN, or one of module 2 on a cell that it sees; the message names images. The
        rule gives no verdict.
    """
    return votes_by(cells, [rule])[0]


def votes_by(cells: pd.DataFrame, rules: Sequence[AggregationRule]) -> list[pd.DataFrame]:
    """Give the verdicts of several rules, which see the same scores: cells are counted once.

    Parameters
    ----------
    cells : DataFrame
        As for `vote`.
    rules : sequence of callable
        AggregationRules.

    Returns
    -------
    list of DataFrame
        Of each rule, as `vote`.

    Raises
    ------
    ValueError
        As `vote`.
    """
    scores = smear_scores(cells)
    names = [name for name in ("patient_id", "site", "diagnosis", "split") if name in cells]
    about = cells.groupby("smear_id", sort=True)[names].first() if names else pd.DataFrame(index=scores.index)
    merged = {} if MODULE_2.predicts(cells) else dict.fromkeys(("AML", "ALL"), NON_APL)
    return [_decided(rule, scores, about.copy(), merged) for rule in rules]


def _decided(rule: AggregationRule, scores: pd.DataFrame, votes: pd.DataFrame, merged: dict[str, str]) -> pd.DataFrame:
    decided = rule(scores)
    if "verdict" not in decided:
        raise ValueError(f"the rule {rule!r} returned no column `verdict`")
    votes[["n_cells", *SHARES_1]] = scores[["n_cells", *SHARES_1]]
    votes["module_1"] = decided.get("module_1", "")
    votes[["n_blasts", *SHARES_2]] = scores[["n_blasts", *SHARES_2]]
    votes["module_2"] = decided.get("module_2", "")
    votes["verdict"] = decided["verdict"]
    if "diagnosis" in votes:
        votes["expected"] = votes["diagnosis"].replace(merged) if merged else votes["diagnosis"]
    return votes.reset_index()
