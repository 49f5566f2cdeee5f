"""Bootstrap over clusters: cells of one patient are alike, so whole patients are drawn, never single cells."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def resamples(
    clusters: ArrayLike, replicates: int, rng: np.random.Generator, strata: ArrayLike | None = None
) -> Iterator[np.ndarray]:
    """Rows of bootstrap replicates in which whole clusters are drawn with replacement.

    Every interval of the kit takes its draws from here.

    Parameters
    ----------
    clusters : array-like
        (n,), cluster of each row, e.g. its patient.
    replicates : int
        Number of replicates.
    rng : numpy.random.Generator
        Source of the draws: for each replicate and stratum as many integers as the stratum has clusters.
    strata : array-like, optional
        (n,), stratum of each row, e.g. whether it is a case. Each stratum keeps its number of clusters; a cluster with
        rows in two strata counts as one cluster in each.

    Yields
    ------
    ndarray
        int64, positions of the drawn rows, stratum by stratum in sorted order.

    Raises
    ------
    ValueError
        There is no row, or a row has no cluster or no stratum.
    """
    cluster_of = pd.Series(clusters).reset_index(drop=True)
    stratum_of = pd.Series(0, cluster_of.index) if strata is None else pd.Series(strata).reset_index(drop=True)
    if cluster_of.empty or cluster_of.isna().any() or stratum_of.isna().any():
        raise ValueError(f"{int(cluster_of.isna().sum())} of {len(cluster_of)} rows have no cluster")
    parts: list[list[np.ndarray]] = []
    for rows in stratum_of.groupby(stratum_of, sort=True).indices.values():
        members = cluster_of.iloc[rows]
        parts.append([rows[inside] for inside in members.groupby(members, sort=True).indices.values()])
    return _draws(parts, replicates, rng)


def _draws(parts: list[list[np.ndarray]], replicates: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(replicates):
        yield np.concatenate([part[i] for part in parts for i in rng.integers(0, len(part), len(part))])


def cluster_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], float],
    *,
    cluster: str = "patient_id",
    replicates: int = 1000,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """95% percentile interval of a statistic when whole clusters (patients) are drawn with replacement.

    Replicates on which the statistic is undefined (NaN) are left out, with a warning that says how many.

    Parameters
    ----------
    frame : DataFrame
        One row a cell (or image, or smear).
    statistic : callable
        Frame of drawn rows to a number; NaN where it is undefined.
    cluster : str
        Column of the clusters.
    replicates : int
        Number of replicates.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    tuple of float
        Lower and upper end; (NaN, NaN) when fewer than half of the replicates are defined.

    Raises
    ------
    ValueError
        The frame is empty, or a row belongs to no cluster.
    """
    if frame.empty or frame[cluster].isna().any():
        raise ValueError(f"{int(frame[cluster].isna().sum())} of {len(frame)} rows have no {cluster}")
    values = [statistic(frame.iloc[rows]) for rows in resamples(frame[cluster], replicates, rng)]
    defined = np.array(values, float)
    defined = defined[~np.isnan(defined)]
    if len(defined) < replicates:
        left_out = replicates - len(defined)
        warnings.warn(f"undefined in {left_out} of {replicates} bootstrap replicates, left out", stacklevel=2)
    if len(defined) < replicates / 2:
        return float("nan"), float("nan")
    return float(np.percentile(defined, 2.5)), float(np.percentile(defined, 97.5))


def paired_difference(
    plain: pd.DataFrame, other: pd.DataFrame, *, paired: bool, replicates: int, rng: np.random.Generator
) -> dict[str, float]:
    """Accuracies of two methods, their difference, and its 95% percentile interval over draws of whole patients.

    Parameters
    ----------
    plain : DataFrame
        One row a cell or smear: `patient_id`, and `correct` (bool) of the method compared with.
    other : DataFrame
        The same of the other method.
    paired : bool
        Both methods were evaluated on the same patients, who are then drawn together. Otherwise the patients of each
        side are drawn apart.
    replicates : int
        Number of replicates.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    dict
        `plain`, `other`, `difference` (other less plain), `low`, `high`; all as fractions.
    """
    rows = pd.concat([plain[["patient_id", "correct"]], other[["patient_id", "correct"]]], ignore_index=True)
    side = np.repeat([0, 1], [len(plain), len(other)])
    correct = rows["correct"].to_numpy(float)
    differences = np.empty(replicates)
    for number, drawn in enumerate(resamples(rows["patient_id"], replicates, rng, None if paired else side)):
        drawn_side = side[drawn]
        # A side of which no patient was drawn has no accuracy: 0/0, which nanpercentile leaves out.
        with np.errstate(invalid="ignore"):
            accuracy = np.bincount(drawn_side, correct[drawn], 2) / np.bincount(drawn_side, minlength=2)
        differences[number] = accuracy[1] - accuracy[0]
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    first, second = float(plain["correct"].mean()), float(other["correct"].mean())
    return {"plain": first, "other": second, "difference": second - first, "low": float(low), "high": float(high)}
