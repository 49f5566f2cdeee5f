"""Patients of APL and AML, the cells that vote for them, and the folds that patients are dealt into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.eligibility import eligible

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.core.profile import Profile

DISCOVERY = 0
"""The repeat of the fold that is fitted on the training and testing splits and judged on the external one."""


@dataclass(frozen=True)
class Fold:
    """Cells to fit on, and cells of other patients to judge.

    Attributes
    ----------
    repeat : int
        Deal of the patients, from 1; `DISCOVERY` for the external patients.
    number : int
        Of the fold within its deal, from 1.
    fit, judged : ndarray
        bool (cells,); no patient has cells in both.
    """

    repeat: int
    number: int
    fit: np.ndarray
    judged: np.ndarray

    @property
    def name(self) -> str:
        """`discovery`, or for example `deal-1-fold-2`."""
        return "discovery" if self.repeat == DISCOVERY else f"deal-{self.repeat}-fold-{self.number}"


def known(manifest: pd.DataFrame) -> pd.Series:
    """Whether the patient of each image is known, bool with the manifest's index."""
    told = manifest["patient_id"].notna()
    return told & manifest["smear_known"].astype(bool) if "smear_known" in manifest else told


def teaching(manifest: pd.DataFrame, cells: pd.DataFrame, fold: Fold) -> pd.Series:
    """Which images a fold's networks may be trained on, of whatever cell type, bool with the manifest's index.

    Parameters
    ----------
    manifest : DataFrame
        One row an image.
    cells : DataFrame
        Of `voting`.
    fold : Fold
        Its judged patients are left out with all their images, and images of unknown patients too, since they may be of
        a patient to be judged; for the external patients nothing external is trained on.
    """
    usable = known(manifest) & ~manifest["patient_id"].isin(set(cells.loc[fold.judged, "patient_id"]))
    return usable & manifest["split"].ne("external") if fold.repeat == DISCOVERY else usable


def voting(manifest: pd.DataFrame) -> pd.DataFrame:
    """Cells that vote for a patient of APL or of AML: the eligible ones, labelled or not.

    Parameters
    ----------
    manifest : DataFrame
        One row an image.

    Returns
    -------
    DataFrame
        The manifest's columns, `row` (int, position in the manifest) and `apl` (bool); index from 0.
    """
    chosen = eligible(manifest) & known(manifest) & manifest["diagnosis"].isin(["APL", "AML"])
    rows = np.flatnonzero(chosen.to_numpy())
    cells = manifest.iloc[rows].reset_index(drop=True)
    return cells.assign(row=rows, apl=cells["diagnosis"].eq("APL"))


def deal(cells: pd.DataFrame, profile: Profile, *, folds: int, repeats: int) -> list[Fold] | Unavailable:
    """Deal the patients into folds, stratified by diagnosis, several times.

    Parameters
    ----------
    cells : DataFrame
        Of `voting`.
    profile : Profile
        Its seed; each deal has a generator of its own.
    folds : int
        Asked for; as many as the rarer diagnosis has patients, if these are fewer.
    repeats : int
        Deals.

    Returns
    -------
    list of Fold or Unavailable
        Deal by deal. Unavailable where either diagnosis has fewer than two patients: without one of them nothing could
        be fitted once its patient is left out.
    """
    apl = cells.groupby("patient_id", sort=True)["apl"].first()
    fewest = min(int(apl.sum()), int((~apl).sum()))
    if fewest < 2:
        return Unavailable(
            "two patients with APL and two with AML, with known patient ids and voting cells, are needed; "
            f"there are {int(apl.sum())} and {int((~apl).sum())}"
        )
    from sklearn.model_selection import StratifiedKFold

    found, of_cell = [], cells["patient_id"]
    for repeat in range(1, repeats + 1):
        seed = int(profile.generator(f"transfer/deal {repeat}").integers(1 << 31))
        splitter = StratifiedKFold(min(folds, fewest), shuffle=True, random_state=seed)
        for number, (_, held) in enumerate(splitter.split(apl, apl), 1):
            judged = of_cell.isin(apl.index[held]).to_numpy()
            found.append(Fold(repeat, number, ~judged, judged))
    return found


def discovery(cells: pd.DataFrame) -> Fold | None:
    """Fit on the training and testing splits, judge the external patients; those of both sides are not judged.

    Parameters
    ----------
    cells : DataFrame
        Of `voting`.

    Returns
    -------
    Fold or None
        None where either side lacks APL or AML.
    """
    outside = cells["split"].eq("external")
    judged = outside & ~cells["patient_id"].isin(set(cells.loc[~outside, "patient_id"]))
    sides = [cells.loc[chosen, "apl"] for chosen in (~outside, judged)]
    if any(side.nunique() < 2 for side in sides):
        return None
    return Fold(DISCOVERY, 1, (~outside).to_numpy(), judged.to_numpy())


def weights(cells: pd.DataFrame) -> np.ndarray:
    """Weights that make patients alike within a diagnosis, and the diagnoses alike.

    Parameters
    ----------
    cells : DataFrame
        `patient_id` and `apl`.

    Returns
    -------
    ndarray
        float (n,), mean 1.
    """
    size = cells.groupby("patient_id")["patient_id"].transform("size")
    patients = cells.groupby("apl")["patient_id"].transform("nunique")
    weight = (1.0 / (size * patients)).to_numpy(float)
    return weight / weight.mean()
