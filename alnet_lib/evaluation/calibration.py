"""Calibration of module 1: temperature from patients held out of training, judged on testing and external sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import calibration, intervals

if TYPE_CHECKING:
    from alnet_lib.statistics.intervals import Interval

PARTS = {"test": "testing", "external": "all external"}
"""Name of a part in keys -> in words; a single site has its own name."""

MEASURES = {"ece": "ECE", "brier": "Brier score", "slope": "slope", "intercept": "intercept"}
"""Name in keys -> in words."""

JUDGED_WIDTH = 1.0
"""Slope and intercept are known well enough to find no miscalibration where their intervals are narrower than this."""

TOO_WIDE = "cannot be judged: the intervals are too wide"
NO_INTERVAL = "cannot be judged: no interval"


@dataclass(frozen=True)
class Calibrated:
    """Module 1's probabilities before and after temperature scaling.

    Attributes
    ----------
    temperature : float
        Above 1 the network was too certain.
    curves : mapping of str to tuple of DataFrame
        Part (`testing`, `all external`) to its reliability before and after, of
        `statistics.calibration.reliability`.
    ece : mapping of str to tuple of float
        Part to its expected calibration error before and after, in [0, 1].
    """

    temperature: float
    curves: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
    ece: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class _Cells:
    """Labelled cells with the probabilities of the classes that the network knows, and their labels' positions."""

    rows: pd.DataFrame
    columns: tuple[str, ...]

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return self.rows[list(self.columns)].to_numpy(float), self.rows["label"].to_numpy(int)

    def measures(self) -> dict[str, Interval]:
        given = self.arrays()

        def over_patients(statistic: Callable[..., float], without: Callable[..., np.ndarray], share: bool) -> Interval:
            return intervals.jackknife(
                self.rows, lambda _: statistic(*given), share=share, without=partial(without, *given)
            )

        ece, brier = (
            over_patients(calibration.expected_calibration_error, calibration.calibration_errors_without, True),
            over_patients(calibration.brier, calibration.briers_without, False),
        )
        both = calibration.slope_and_intercept_intervals(*given, self.rows)
        return dict(zip(MEASURES, (ece, brier, *both), strict=True))

    def where(self, chosen: pd.Series) -> _Cells:
        return _Cells(self.rows[chosen], self.columns)

    def tempered(self, temperature: float) -> _Cells:
        probability = calibration.temper(self.rows[list(self.columns)].to_numpy(float), temperature)
        return _Cells(self.rows.assign(**dict(zip(self.columns, probability.T, strict=True))), self.columns)

    def reliability(self) -> pd.DataFrame:
        return calibration.reliability(*self.arrays(), self.rows)


def _labelled(cells: pd.DataFrame, known: list[str]) -> _Cells:
    label = MODULE_1.reference(cells).map({name: i for i, name in enumerate(known)})
    columns = [f"{MODULE_1.prefix}_{name}" for name in known]
    about = ["patient_id", "smear_id", "smear_known", "site", "split", "validation"]
    rows = cells[[name for name in about if name in cells] + columns].assign(label=label)
    return _Cells(rows[label.notna()], tuple(columns))


def calibrate(
    cells: pd.DataFrame | Unavailable,
    cross_fitted: pd.DataFrame | Unavailable,
    *,
    made_by: str = "",
    own_settings: bool = True,
) -> Result | Unavailable:
    """Measure the calibration of module 1 before and after temperature scaling.

    The temperature is fitted on the cross-fitted cells of the training split, each predicted by a network that has not
    seen its patient. These networks are trained on fewer patients, and the profile may make them smaller than module 1:
    then the temperature is theirs, and `aside` says so. Without cross-fitting it is fitted on the validation cells,
    whose patients module 1 was fitted on; the fact `fitted_on` says which. No testing cell and no cell of another site
    has a part in it.

    Parameters
    ----------
    cells : DataFrame or Unavailable
        Predictions of all splits, with `validation` (bool), `split`, `site`, `cell_type`, `patient_id` and module 1's
        probabilities.
    cross_fitted : DataFrame or Unavailable
        Of `experiments.cross_fitting.cross_fitted`.
    made_by : str
        Which networks predicted them: `experiments.cross_fitting.made_by`.
    own_settings : bool
        Whether these have module 1's own settings.

    Returns
    -------
    Result or Unavailable
        Frame: a row for each part (`test`, a site, `external` for all sites together), measure (ECE, Brier
        score, slope, intercept) and `scaled` (bool): `part`, `cells`, `measure`, `scaled`, `value` and the columns of
        `Interval.columns`, without unit. Values: `calibration.module_1.{temperature, ece_before, ece_after}` (of
        testing) and, after scaling, `calibration.module_1.<part>.{ece, brier, slope, intercept}`. Facts: `calibrated`,
        `temperature`, `temperature_ci`, `fitted_on` and `aside` (words), `each` (of every part: `where`, `ece`,
        `before`, `ci`, `finding`).
        Unavailable without labelled cells to fit on, or to judge by.
    """
    if isinstance(cells, Unavailable):
        return cells
    # A class that the network does not know has probability 0 on every cell.
    known = [name for name, column in zip(MODULE_1.classes, MODULE_1.columns, strict=True) if cells[column].max() > 0]
    every = _labelled(cells, known)
    chosen, held_out, fitted_on = _to_fit(every, known, cross_fitted, made_by)
    parts = _parts(every)
    if chosen.rows.empty or not parts:
        return Unavailable("there is no labelled cell to fit the temperature on, or none to judge it by")
    temperature = calibration.temperature_interval(*chosen.arrays(), chosen.rows)
    pairs = {name: (part, part.tempered(temperature.estimate)) for name, part in parts.items()}
    measured = {name: [one.measures() for one in pair] for name, pair in pairs.items()}
    found = {
        (name, measure, scaled): measured[name][scaled][measure]
        for name in pairs
        for measure in MEASURES
        for scaled in (False, True)
    }
    shown = [name for name in PARTS if name in pairs]
    calibrated = Calibrated(
        temperature.estimate,
        {PARTS[name]: (pairs[name][0].reliability(), pairs[name][1].reliability()) for name in shown},
        {PARTS[name]: (found[name, "ece", False].estimate, found[name, "ece", True].estimate) for name in shown},
    )
    frame = pd.DataFrame(
        {"part": name, "cells": len(parts[name].rows), "measure": MEASURES[measure], "scaled": scaled}
        | {"value": one.estimate}
        | one.columns(1)
        for (name, measure, scaled), one in found.items()
    )
    facts = {"calibrated": calibrated, "temperature": temperature.estimate, "fitted_on": fitted_on}
    facts |= {"temperature_ci": temperature.text(2, 1)}
    facts["aside"] = " This temperature is not module 1's own." if held_out and not own_settings else ""
    return Result(frame, tuple(_values(temperature, found)), facts | {"each": [_about(name, found) for name in parts]})


def _to_fit(
    every: _Cells, known: list[str], cross_fitted: pd.DataFrame | Unavailable, made_by: str
) -> tuple[_Cells, bool, str]:
    """The cells to fit on, whether they are cross-fitted, and both in words."""
    if not isinstance(cross_fitted, Unavailable):
        chosen = _labelled(cross_fitted, known)
        if len(chosen.rows):
            patients = intervals.behind(chosen.rows)["n_patients"]
            by = f", predicted {made_by}" if made_by else ""
            return chosen, True, f"cross-fitted cells of {patients} training patients{by}"
    reason = cross_fitted.reason if isinstance(cross_fitted, Unavailable) else "no labelled cell"
    chosen = every.where(every.rows["validation"].astype(bool))
    return chosen, False, f"validation cells, whose patients module 1 was fitted on (no cross-fitting: {reason})"


def _parts(every: _Cells) -> dict[str, _Cells]:
    split = every.rows["split"]
    external = every.rows[split.eq("external")]
    sites = sorted(external["site"].dropna().astype(str).unique()) if "site" in external else []
    parts = {"test": every.where(split.eq("test"))}
    parts |= {site: every.where(split.eq("external") & every.rows["site"].eq(site)) for site in sites}
    parts["external"] = every.where(split.eq("external"))
    return {name: part for name, part in parts.items() if len(part.rows)}


def _values(temperature: Interval, found: Mapping[tuple[str, str, bool], Interval]) -> list[Value]:
    numbers = {"temperature": temperature}
    if ("test", "ece", True) in found:
        numbers |= {"ece_before": found["test", "ece", False], "ece_after": found["test", "ece", True]}
    numbers |= {f"{name}.{measure}": one for (name, measure, scaled), one in found.items() if scaled}
    return [Value.of(f"calibration.module_1.{key}", one, "") for key, one in numbers.items()]


def _about(name: str, found: Mapping[tuple[str, str, bool], Interval]) -> dict[str, object]:
    ece, slope, intercept = (found[name, measure, True] for measure in ("ece", "slope", "intercept"))
    about = {"where": PARTS.get(name, name), "ece": ece.estimate, "before": found[name, "ece", False].estimate}
    return about | {"ci": ece.text(3, 1), "finding": verdict(slope, intercept)}


def verdict(slope: Interval, intercept: Interval) -> str:
    """Say in words whether probabilities are calibrated.

    Parameters
    ----------
    slope, intercept : Interval
        Of `statistics.calibration.slope_and_intercept_intervals`.

    Returns
    -------
    str
        `too certain` or `too uncertain` where the intercept's interval does not hold 0; `too extreme` or `not extreme
        enough` where only the slope's does not hold 1. Where both hold perfect calibration: `no miscalibration found`
        if both are narrower than JUDGED_WIDTH, else TOO_WIDE: wide intervals hold anything. NO_INTERVAL without one of
        the two.
    """
    if intercept.given and not intercept.low <= 0 <= intercept.high:
        return "too certain" if intercept.high < 0 else "too uncertain"
    if not (intercept.given and slope.given):
        return NO_INTERVAL
    if not slope.low <= 1 <= slope.high:
        return "too extreme" if slope.high < 1 else "not extreme enough"
    narrow = all(one.high - one.low < JUDGED_WIDTH for one in (slope, intercept))
    return "no miscalibration found" if narrow else TOO_WIDE


def each(result: Result | Unavailable) -> list[dict[str, object]]:
    """Give the facts of each part, for one sentence a part.

    Parameters
    ----------
    result : Result or Unavailable
        Of `calibrate`.

    Returns
    -------
    list of dict
        `where`, `ece` (after scaling), `before`, `ci`, `finding` (of `verdict`); empty where it is unavailable.
    """
    return [] if isinstance(result, Unavailable) else list(result.facts["each"])


def as_shown(result: Result | Unavailable) -> pd.DataFrame | Unavailable:
    """Write the table with one row a part, each measure with its interval, to be shown.

    Parameters
    ----------
    result : Result or Unavailable
        Of `calibrate`.

    Returns
    -------
    DataFrame or Unavailable
        Columns `part`, `cells`, `patients` and, as text, `ECE`, `ECE, scaled` ... and `after scaling` (of `verdict`).
    """
    if isinstance(result, Unavailable):
        return result
    frame = result.frame
    text = frame["value"].map("{:.3f}".format) + np.where(
        frame["low"].isna(),
        " (no interval)",
        " (" + frame["low"].map("{:.3f}".format) + " to " + frame["high"].map("{:.3f}".format) + ")",
    )
    measure = frame["measure"] + np.where(frame["scaled"], ", scaled", "")
    wide = frame.assign(text=text.where(frame["value"].notna(), "not defined"), measure=measure)
    shown = wide.pivot_table(index="part", columns="measure", values="text", aggfunc="first")[measure.unique()]
    first = frame.groupby("part")[["cells", "patients"]].first()
    shown = first.join(shown).loc[frame["part"].unique()].rename(index=PARTS)
    shown["after scaling"] = [one["finding"] for one in result.facts["each"]]
    return shown.rename_axis("part").reset_index()
