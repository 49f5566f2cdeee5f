"""What acting on a probability is worth: recalibration, prevalence, net benefit and its curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from alnet_lib.statistics import intervals
from alnet_lib.statistics.calibration import logistic
from alnet_lib.statistics.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Recalibration:
    """A logistic recalibration of the share of cells of a class to the probability of a disease.

    Attributes
    ----------
    intercept, slope : float
        Of logit(probability) on the logit of (cells of the class + 0.5) / (cells + 1).
    prevalence : float
        Share of diseased smears that it was fitted on, in (0, 1).
    """

    intercept: float
    slope: float
    prevalence: float

    def probability(self, share: ArrayLike, n_cells: ArrayLike, prevalence: float | None = None) -> np.ndarray:
        """Probability of the disease.

        Parameters
        ----------
        share : array of float (n,)
            Cells of the class among the cells of each smear, in [0, 1].
        n_cells : array of int (n,)
            Cells of each smear, at least 1.
        prevalence : float, optional
            Of those whom it is asked for, in (0, 1); default that of the fitting. By Bayes's rule the log odds shift
            by logit(prevalence) - logit(prevalence in fitting).

        Returns
        -------
        ndarray
            (n,), in [0, 1].
        """
        shift = 0.0 if prevalence is None else float(logit(prevalence) - logit(self.prevalence))
        return expit(self.intercept + self.slope * _logit_of_share(share, n_cells) + shift)


def _logit_of_share(share: ArrayLike, n_cells: ArrayLike) -> np.ndarray:
    n = np.asarray(n_cells, float)
    return logit((np.asarray(share, float) * n + 0.5) / (n + 1))


def fit_recalibration(reference: ArrayLike, share: ArrayLike, n_cells: ArrayLike) -> Recalibration:
    """Fit a recalibration with Firth's penalty, so that it is finite where the share separates the two groups.

    The penalty draws probabilities towards one half; the intercept is therefore fitted anew without it, so that the
    mean probability is the prevalence. Firth, Biometrika 80:27 (1993); Puhr et al., Stat Med 36:2302 (2017).

    Parameters
    ----------
    reference : array of bool (n,)
        Whether the smear is of the disease.
    share : array of float (n,)
        Cells of the class among the cells of each smear, in [0, 1].
    n_cells : array of int (n,)
        Cells of each smear, at least 1.

    Returns
    -------
    Recalibration
        With slope 0 where all smears have the same share of as many cells; NaN where the regression does not settle.

    Raises
    ------
    ValueError
        All smears are of the disease, or none is.
    """
    y = np.asarray(reference, float)
    if not len(y) or y.min() == y.max():
        raise ValueError("a recalibration needs smears with the disease and smears without")
    x, one = _logit_of_share(share, n_cells), np.ones(len(y))
    slope = 0.0 if np.ptp(x) == 0 else float(logistic(np.column_stack([one, x]), y, firth=True)[1])
    intercept = float(logistic(one[:, None], y, offset=slope * x)[0])
    return Recalibration(intercept, slope, float(y.mean()))


def decision_curve(
    reference: np.ndarray, score: np.ndarray, thresholds: Sequence[float], prevalence: float | None = None
) -> pd.DataFrame:
    """Net benefit of acting on a probability, against acting on everyone or on no one.

    At threshold t and prevalence q, net benefit = sensitivity * q - (1 - specificity) * (1 - q) * t/(1 - t),
    so that a false alarm costs t/(1 - t) of a case found. Vickers and Elkin, Med Decis Making 26:565 (2006).

    Parameters
    ----------
    reference : ndarray
        (n,) bool, whether it is a case, e.g. APL.
    score : ndarray
        (n,), predicted probability in [0, 1] at that prevalence; acted on when at least t.
    thresholds : sequence of float
        Threshold probabilities in [0, 1).
    prevalence : float, optional
        In (0, 1); default the share of cases among `reference`.

    Returns
    -------
    DataFrame
        One row a threshold: threshold, score, everyone, no_one (always 0).

    Raises
    ------
    ValueError
        There is no score, a score is outside [0, 1], a threshold is outside [0, 1), or a prevalence is given and all
        are cases or none is.
    """
    t = np.asarray(thresholds, float)
    reference, score, q = _judged(reference, score, t, prevalence)
    acted, cost = score[None, :] >= t[:, None], t / (1 - t)
    found, alarmed = (acted[:, which].mean(axis=1) if which.any() else 0 * t for which in (reference, ~reference))
    benefit, everyone = found * q - alarmed * (1 - q) * cost, q - (1 - q) * cost
    return pd.DataFrame({"threshold": t, "score": benefit, "everyone": everyone, "no_one": 0.0})


def _judged(
    reference: np.ndarray, score: np.ndarray, t: np.ndarray, prevalence: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    reference, score = np.asarray(reference, bool), np.asarray(score, float)
    if not len(reference) or len(reference) != len(score) or not ((score >= 0) & (score <= 1)).all():
        raise ValueError("a decision curve needs one probability in [0, 1] for each reference label")
    if not ((t >= 0) & (t < 1)).all():
        raise ValueError("threshold probabilities must be in [0, 1)")
    if prevalence is not None and (reference.all() or not reference.any()):
        raise ValueError("net benefit at another prevalence needs cases and others")
    return reference, score, float(reference.mean()) if prevalence is None else prevalence


def net_benefit(
    reference: np.ndarray, score: np.ndarray, threshold: float, rows: pd.DataFrame, prevalence: float | None = None
) -> Interval:
    """Net benefit at one threshold, with an interval over patients.

    Net benefit is a weighted difference of sensitivity and false-alarm rate, of different patients: their intervals are
    joined by the method of variance estimates recovery (Zou and Donner, Stat Med 27:1693 (2008)), so that a rate of 0
    or 1 has its uncertainty as well. The prevalence, also that of the smears themselves, and the recalibration behind
    the scores are taken as fixed: the interval does not hold their uncertainty.

    Parameters
    ----------
    reference, score, prevalence
        As `decision_curve`.
    threshold : float
        In [0, 1).
    rows : DataFrame
        (n,) rows, the smears: see `statistics.intervals`.

    Returns
    -------
    Interval
        With prevalence q and threshold t in [-(1 - q) t/(1 - t), q]; without low and high where fewer than
        `intervals.MINIMUM_PATIENTS` patients are cases, or others.

    Raises
    ------
    ValueError
        As `decision_curve`.
    """
    reference, score, q = _judged(reference, score, np.asarray([threshold]), prevalence)
    acted, cost = score >= threshold, threshold / (1 - threshold)
    found, alarmed = (intervals.proportion(acted[which], rows[which]) for which in (reference, ~reference))
    gain, loss = q, (1 - q) * cost
    # Without cases nothing is gained, and without others nothing is lost: their rate, NaN then, has no weight.
    estimate = (gain * found.estimate if reference.any() else 0.0) - (loss * alarmed.estimate if q < 1 else 0.0)
    if not (found.given and alarmed.given):
        few, name = min((found.n_patients, "cases"), (alarmed.n_patients, "not cases"))
        return intervals.none(estimate, rows, f"patients who are {name}: {few}")
    down = np.hypot(gain * (found.estimate - found.low), loss * (alarmed.high - alarmed.estimate))
    up = np.hypot(gain * (found.high - found.estimate), loss * (alarmed.estimate - alarmed.low))
    ends = float(estimate - down), float(estimate + up)
    return Interval(estimate, *ends, "variance recovery over patients", **intervals.behind(rows))
