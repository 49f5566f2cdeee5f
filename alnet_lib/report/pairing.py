"""Which pictures and smears two runs have in common, by the content of the pictures.

Names play no part: those of two cohorts, or of two synthetic ones, may agree by chance.
"""

from __future__ import annotations

import pandas as pd


def same_cells(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Find the pictures that two runs have in common.

    Parameters
    ----------
    first, second : DataFrame
        Predictions, with `sha256` where the pictures were read.

    Returns
    -------
    DataFrame
        A row a picture: `first`, `second` (index labels), `first_smear`, `second_smear`. A picture that a run has twice
        counts once.
    """
    names = ["first", "second", "first_smear", "second_smear"]
    if "sha256" not in first or "sha256" not in second:
        return pd.DataFrame(columns=names)
    sides = []
    for side, cells in (("first", first), ("second", second)):
        read = cells[cells["sha256"].fillna("").ne("")].drop_duplicates("sha256")
        about = {"sha256": read["sha256"], side: read.index, f"{side}_smear": read["smear_id"]}
        sides.append(pd.DataFrame(about))
    return sides[0].merge(sides[1], on="sha256")[names]


def same_smears(cells: pd.DataFrame) -> pd.DataFrame:
    """Find the smears that two runs have in common.

    Parameters
    ----------
    cells : DataFrame
        Of `same_cells`.

    Returns
    -------
    DataFrame
        A row a smear: `first_smear`, `second_smear`. One whose pictures lie in several smears of the other run is none.
    """
    names = ["first_smear", "second_smear"]
    smears = cells[names].dropna().drop_duplicates()
    return smears[~smears["first_smear"].duplicated(keep=False) & ~smears["second_smear"].duplicated(keep=False)]
