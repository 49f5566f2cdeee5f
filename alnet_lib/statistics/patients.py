"""Who stands behind a number: an interval with its patients, smears and cells, and the clusters that rows form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

MINIMUM_PATIENTS = 5
"""Below this number of patients no interval is given; where fewer hold all errors, each patient is one observation."""


@dataclass(frozen=True)
class Interval:
    """A 95% interval and what stands behind it.

    Attributes
    ----------
    estimate, low, high : float
        In the unit of what was measured; `low` and `high` are NaN where no interval is given.
    method : str
        In words, e.g. `Korn-Graubard over patients`; empty where no interval is given.
    n_patients : int
        Clusters: patients, and the images of a site whose patients are unknown as one.
    n_smears, n_cells : int or None
        None where the rows do not say.
    design_effect : float
        Variance of the estimate over that of as many independent observations; NaN where it cannot be estimated.
    why : str
        Why no interval is given, in words, where it is not for too few patients in all.
    """

    estimate: float
    low: float
    high: float
    method: str
    n_patients: int
    n_smears: int | None = None
    n_cells: int | None = None
    design_effect: float = float("nan")
    why: str = ""

    @property
    def given(self) -> bool:
        """Whether there is an interval."""
        return bool(self.method)

    def scaled(self, factor: float) -> Interval:
        """The same in another unit, e.g. times 100 in %."""
        return replace(self, estimate=factor * self.estimate, low=factor * self.low, high=factor * self.high)

    def columns(self, factor: float = 100) -> dict[str, Any]:
        """The columns of a table that stand beside the estimate.

        Parameters
        ----------
        factor : float
            Of the estimate's unit; 100 gives %.

        Returns
        -------
        dict
            `low`, `high`, `patients`, `design_effect`, `interval` (the method, or why there is none).
        """
        return {
            "low": factor * self.low,
            "high": factor * self.high,
            "patients": self.n_patients,
            "design_effect": self.design_effect,
            "interval": self.method or f"none: {self._reason}",
        }

    @property
    def _reason(self) -> str:
        few = f"fewer than {MINIMUM_PATIENTS} patients"
        return self.why or (few if self.n_patients < MINIMUM_PATIENTS else "no variance")

    def text(self, digits: int = 1, factor: float = 100) -> str:
        """The interval in words, for a caption or sentence.

        Parameters
        ----------
        digits : int
            Decimals.
        factor : float
            Of the estimate's unit; 100 gives %.

        Returns
        -------
        str
            `95% interval over 24 patients: 80.8 to 88.7`, or `3 patients: too few for an interval`.
        """
        people = f"{self.n_patients} patient{'' if self.n_patients == 1 else 's'}"
        if not self.given:
            few = self.n_patients < MINIMUM_PATIENTS
            return f"{people}: {'too few for an interval' if few else f'no interval, {self._reason}'}"
        ends = f"{factor * self.low:.{digits}f} to {factor * self.high:.{digits}f}"
        return f"95% interval over {people}: {ends}"


def clusters(rows: pd.DataFrame) -> pd.Series:
    """Give the patient of each row; the images of a site whose patients are unknown are one cluster.

    Parameters
    ----------
    rows : DataFrame
        `patient_id`, and `smear_known` (bool) and `site` where some patients are unknown.

    Returns
    -------
    Series
        With the index of `rows`.

    Raises
    ------
    ValueError
        A row has no patient.
    """
    patients = rows["patient_id"].astype(object)
    if patients.isna().any():
        raise ValueError(f"{int(patients.isna().sum())} of {len(rows)} observations have no patient")
    if "smear_known" in rows:
        unknown = "patients unknown, " + rows.get("site", pd.Series("", rows.index)).astype(str)
        patients = patients.where(rows["smear_known"].astype(bool), unknown)
    return patients


def behind(rows: pd.DataFrame) -> dict[str, Any]:
    """Count who stands behind a number.

    Parameters
    ----------
    rows : DataFrame
        One row an observation.

    Returns
    -------
    dict
        `n_patients`, `n_smears`, `n_cells` as in `Interval`.
    """
    smears = None
    if "smear_id" in rows:
        known = rows["smear_known"].astype(bool) if "smear_known" in rows else pd.Series(True, rows.index)
        smears = int(rows.loc[known, "smear_id"].nunique())
    cells = int(rows["n_cells"].sum()) if "n_cells" in rows else len(rows) if "smear_id" in rows else None
    return {"n_patients": int(clusters(rows).nunique()), "n_smears": smears, "n_cells": cells}


def none(estimate: float, rows: pd.DataFrame, why: str = "") -> Interval:
    """Give an estimate without an interval, and why where it is not for too few patients in all."""
    return Interval(estimate, float("nan"), float("nan"), "", **behind(rows), why=why)


def with_intervals(frame: pd.DataFrame, name: str, low: str, high: str) -> list[str]:
    """Write a column's numbers with their intervals, to be shown: `0.83 (0.61 to 0.95)`.

    Parameters
    ----------
    frame : DataFrame
        One row a number.
    name, low, high : str
        Its columns: the number, and the ends of its interval, NaN where there is none.

    Returns
    -------
    list of str
        Empty where there is no number, ` (no interval)` after one without.
    """
    columns = zip(frame[name], frame[low], frame[high], strict=True)
    texts = ((f"{x:.2f}", f" ({a:.2f} to {b:.2f})" if pd.notna(a) else " (no interval)") for x, a, b in columns)
    return ["" if text == "nan" else text + ends for text, ends in texts]
