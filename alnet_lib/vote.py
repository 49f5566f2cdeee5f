"""The vote of a smear (paper section 3.3): the class that more than a threshold of its cells are given to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alnet_lib import evaluation
from alnet_lib.cohorts.vocabulary import DIAGNOSES, MODULE_1_CLASSES, MODULE_2_CLASSES, TO_MODULE_1

UNKNOWN = "unknown"
NON_APL = "AL non-APL"
VERDICTS = (*DIAGNOSES, NON_APL, UNKNOWN)
OF_MODULE_1 = {
    "lymphocyte": "control",
    "monocyte": "control",
    "reactive_lymphocyte": "infection",
    "abnormal_promyelocyte": "APL",
    "blast": NON_APL,
}
OF_MODULE_2 = {"myeloid_blast": "AML", "b_lymphoblast": "ALL"}

SMEAR_CLASSES = {
    "lymphocyte": "Control (LY)",
    "monocyte": "Control (MO)",
    "reactive_lymphocyte": "Infection",
    "abnormal_promyelocyte": "APL",
    "blast": "AL non-APL",
}
"""Class of module 1 -> the diagnosis as Table 9A prints it."""


def _probabilities(cells: pd.DataFrame, prefix: str, classes: Sequence[str]) -> np.ndarray:
    values = cells[[f"{prefix}_{name}" for name in classes]].to_numpy(float)
    if (bad := np.isnan(values).any(axis=1)).any():
        names = ", ".join(cells["image_id"][bad].astype(str).head(5))
        raise ValueError(f"{int(bad.sum())} cells have no probability of module {prefix[1]}: {names}")
    return values


def classify(cells: pd.DataFrame, prefix: str, classes: Sequence[str]) -> pd.Series:
    """The most probable class of each cell. prefix: `p1` or `p2`.

    Raises
    ------
    ValueError
        a probability is NaN; the message names images.
    """
    best = _probabilities(cells, prefix, classes).argmax(axis=1)
    return pd.Series(np.array(classes, dtype=object)[best], index=cells.index, dtype=object)


def has_module_2(cells: pd.DataFrame) -> bool:
    """Whether the cells carry probabilities of module 2 (columns that hold nothing but NaN do not count)."""
    return all(f"p2_{name}" in cells and cells[f"p2_{name}"].notna().any() for name in MODULE_2_CLASSES)


def smear_shares(cells: pd.DataFrame, prefix: str = "p1", classes: Sequence[str] = MODULE_1_CLASSES) -> pd.DataFrame:
    """Share of each smear's cells, in [0, 1], whose most probable class is each of `classes`; index smear_id, sorted.

    The scores of the ROC analysis of section 3.3. Raises as `classify`.
    """
    return _shares(cells["smear_id"].to_numpy(), classify(cells, prefix, classes).to_numpy(), classes)


def _shares(smears: np.ndarray, calls: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    counts = pd.crosstab(pd.Series(smears, name="smear_id"), calls).reindex(columns=list(classes), fill_value=0)
    return counts.div(counts.sum(axis=1), axis=0)


def vote(cells: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """The verdict on every smear.

    Parameters
    ----------
    cells: one row a cell, with smear_id, patient_id, site, diagnosis, split, image_id, `p1_<class>` and, where there is
    a module 2, `p2_<class>`. threshold: in [0, 1); a class must have strictly more than this share of the cells.

    Returns
    -------
    One row a smear: smear_id, patient_id, site, diagnosis, split, n_cells, share_<class> of module 1, module_1 (class
    or `unknown`), n_blasts, share2_<class>, module_2 (AML, ALL, `unknown`, or empty where it is not asked), verdict
    (one of VERDICTS), expected (the verdict that is right: the diagnosis, or `AL non-APL` where there is no module 2 to
    tell AML from ALL). Module 2 is asked only for smears that module 1 calls blasts, and sees the cells that module 1
    called blasts: the paper does not say which cells it sees (register of open points).

    Raises
    ------
    ValueError
        a probability of module 1 is NaN, or one of module 2 on a cell that it sees; the message names images.
    """
    calls = classify(cells, "p1", MODULE_1_CLASSES).to_numpy()
    two = has_module_2(cells)
    grouped = cells.groupby("smear_id", sort=True)
    about = grouped[["patient_id", "site", "diagnosis", "split"]].first()
    about["n_cells"] = grouped.size()
    shares = _shares(cells["smear_id"].to_numpy(), calls, MODULE_1_CLASSES)
    about[[f"share_{name}" for name in MODULE_1_CLASSES]] = shares
    about["module_1"] = _winner(shares, threshold)
    blasts = cells[calls == "blast"]
    about["n_blasts"] = blasts.groupby("smear_id").size().reindex(about.index, fill_value=0)
    shares_2 = pd.DataFrame(np.nan, index=about.index, columns=list(MODULE_2_CLASSES))
    if two and len(blasts):
        shares_2 = smear_shares(blasts, "p2", MODULE_2_CLASSES).reindex(about.index)
    about[[f"share2_{name}" for name in MODULE_2_CLASSES]] = shares_2
    asked = about["module_1"].eq("blast") & two
    second = _winner(shares_2, threshold).map(lambda name: OF_MODULE_2.get(name, UNKNOWN))
    about["module_2"] = second.where(asked, "")
    first = about["module_1"].map(lambda name: OF_MODULE_1.get(name, UNKNOWN))
    about["verdict"] = second.where(asked, first)
    # Without module 2 the lineage is not asked, so `AL non-APL` is all that can be right.
    about["expected"] = (
        about["diagnosis"] if two else about["diagnosis"].replace(dict.fromkeys(("AML", "ALL"), NON_APL))
    )
    return about.reset_index()


def _winner(shares: pd.DataFrame, threshold: float) -> pd.Series:
    """The class whose share exceeds the threshold; below one half several may: the largest, and no one on a tie."""
    filled = shares.fillna(0.0)
    best = filled.idxmax(axis=1)
    top = filled.max(axis=1)
    tied = filled.eq(top, axis=0).sum(axis=1) > 1
    return best.where((top > threshold) & ~tied, UNKNOWN)


def smear_truth(cells: pd.DataFrame) -> pd.Series:
    """The class of module 1 that most cells of each smear truly have, by smear_id; on a tie, the first by name."""
    kinds = cells["cell_type"].map(TO_MODULE_1)
    return pd.crosstab(cells["smear_id"], kinds).idxmax(axis=1)


def table_9a(votes: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """Counts of smears, true diagnosis against the one of module 1, as Table 9A; with a column UNK.

    votes: of `vote`. truth: of `smear_truth`.
    """
    names = list(SMEAR_CLASSES.values())
    true = votes["smear_id"].map(truth).map(SMEAR_CLASSES)
    predicted = votes["module_1"].map(SMEAR_CLASSES | {UNKNOWN: "UNK"})
    return evaluation.confusion(true, predicted, names, ["UNK"])


def table_9b(votes: pd.DataFrame) -> pd.DataFrame:
    """Counts of smears of AML and ALL patients that module 1 called AL non-APL, against module 2, as Table 9B.

    Raises
    ------
    ValueError
        there was no module 2.
    """
    asked = votes[votes["module_1"].eq("blast") & votes["diagnosis"].isin(["AML", "ALL"])]
    if asked["module_2"].eq("").any():
        raise ValueError("Table 9B needs module 2: these votes were made without it")
    return evaluation.confusion(asked["diagnosis"], asked["module_2"].replace(UNKNOWN, "UNK"), ["AML", "ALL"], ["UNK"])


def end_to_end(votes: pd.DataFrame) -> pd.DataFrame:
    """Counts of smears, the verdict that is right against the one given, `unknown` as a further column."""
    return evaluation.confusion(votes["expected"], votes["verdict"], [*DIAGNOSES, NON_APL], [UNKNOWN])


def coverage(cells: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Accuracy against coverage as the threshold moves: an `unknown` is a referral, not an answer.

    Returns threshold, smears, decided (share with a verdict), accuracy (of the decided, NaN if none), correct (of all).
    """
    rows = []
    for threshold in thresholds:
        votes = vote(cells, threshold)
        decided = votes["verdict"].ne(UNKNOWN)
        right = votes["verdict"].eq(votes["expected"])
        rows.append((threshold, len(votes), decided.mean(), right[decided].mean(), right.mean()))
    return pd.DataFrame(rows, columns=["threshold", "smears", "decided", "accuracy", "correct"])


def cells_needed(
    cells: pd.DataFrame, sizes: Sequence[int], repeats: int, rng: np.random.Generator, threshold: float = 0.5
) -> pd.DataFrame:
    """How the vote does when only some cells of each smear are seen, drawn at random without replacement.

    A smear with fewer cells than a size gives all it has, so every size judges the same smears; `full` counts those
    that have enough.

    Returns
    -------
    One row a size: cells, full, correct (mean over the repeats of the share of smears with the right verdict), low,
    high (2.5 and 97.5 percentile over the repeats), unknown (mean share of `unknown`).

    Raises
    ------
    ValueError
        a size below 1; else as `vote`.
    """
    if min(sizes) < 1:
        raise ValueError("a smear needs one cell at least")
    smear = cells["smear_id"].astype("category").cat.codes.to_numpy()
    # Position of every cell in a random order of its smear's cells, once a repeat: sizes are nested in each other.
    ranks = np.empty((repeats, len(cells)), np.int64)
    for repeat in range(repeats):
        order = np.lexsort((rng.random(len(cells)), smear))
        ranks[repeat, order] = pd.Series(smear[order]).groupby(smear[order]).cumcount()
    available = np.bincount(smear)
    rows = []
    for size in sizes:
        repeat, row = np.nonzero(ranks < size)
        votes = vote(cells.iloc[row].assign(smear_id=repeat * len(available) + smear[row]), threshold)
        of_repeat = votes["smear_id"] // len(available)
        correct = votes["verdict"].eq(votes["expected"]).groupby(of_repeat).mean()
        low, high = np.percentile(correct, [2.5, 97.5])
        unknown = votes["verdict"].eq(UNKNOWN).mean()
        rows.append((size, int((available >= size).sum()), correct.mean(), low, high, unknown))
    return pd.DataFrame(rows, columns=["cells", "full", "correct", "low", "high", "unknown"])
