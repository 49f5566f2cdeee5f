"""Which cells vote: what a pathologist would give to the system."""

from __future__ import annotations

import pandas as pd


def known_smear(cells: pd.DataFrame) -> pd.Series:
    """Whether the smear of each cell is known, bool with the index of `cells`; all are without `smear_known`."""
    return cells.get("smear_known", pd.Series(True, cells.index)).astype(bool)


def eligible(manifest: pd.DataFrame) -> pd.Series:
    """Whether each cell counts in the vote of its smear.

    Parameters
    ----------
    manifest : DataFrame
        One row a cell. `immature` (bool, optional) says which cells raise suspicion, all where it is missing;
        `smear_known` (bool, optional) is False for cells of an unknown smear.

    Returns
    -------
    Series of bool
        With the index of `manifest`.
    """
    chosen = pd.Series(True, index=manifest.index)
    for column in ("immature", "smear_known"):
        if column in manifest:
            chosen &= manifest[column].astype(bool)
    return chosen
