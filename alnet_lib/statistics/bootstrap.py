"""Bootstrap over clusters: cells of one patient are alike, so whole patients are drawn, never single cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def resamples(
    clusters: ArrayLike, replicates: int, rng: np.random.Generator, strata: ArrayLike | None = None
) -> Iterator[np.ndarray]:
    """Rows of bootstrap replicates in which whole clusters are drawn with replacement.

    For statistics without a smooth variance, such as a threshold; the intervals are in `statistics.intervals`.

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
