"""APL against AML per patient by several methods on the same folds of patients.

Each method gives every cell a number, fitted on the cells of a fold's other patients; a patient's score is the mean
over the cells. All linear methods have the same weights: patients count alike within a diagnosis, and the diagnoses
alike. Scaling and principal components are fitted with them, on the same cells. Regularisation is chosen there too, by
cross-validation over the patients that are fitted on, so no judged patient has a part in the choice (Varma and Simon,
BMC Bioinformatics 7:91, 2006). Log-odds are then in standard deviations of the fitted cells, so that folds can be
pooled whose regularisation differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from alnet_lib.experiments import attention_vote
from alnet_lib.experiments.datasets import COLOUR_BINS, CellImages, described
from alnet_lib.experiments.transfer import embeddings, patients
from alnet_lib.imaging import handcrafted

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.core.profile import FrozenStart, LearnedVote, Profile, Transfer
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.experiments.transfer.embeddings import Embedded
    from alnet_lib.experiments.transfer.patients import Fold

INNER = 5
"""Folds of the patients that are fitted on, by which regularisation is chosen; fewer where a diagnosis has fewer."""

INSIDE = 0.9
"""Diameter of the circle that holds the cell, as a fraction of the picture's side."""


class Method(Protocol):
    """One or more scores of cells, from one fit."""

    @property
    def key(self) -> str:
        """Of its mean log-odds; names the method."""

    @property
    def titles(self) -> dict[str, str]:
        """Key of each score to its name in tables."""

    def __call__(self, fold: Fold) -> Mapping[str, np.ndarray]:
        """Key to the scores (cells,) of all cells, fitted on the fold's; empty where the method leaves a fold out."""


@dataclass(frozen=True)
class Given:
    """A score that needs no fit.

    Attributes
    ----------
    key, title : str
        In values and in tables.
    values : ndarray
        float (cells,); NaN where it is not known.
    """

    key: str
    title: str
    values: np.ndarray

    @property
    def titles(self) -> dict[str, str]:
        """Key to name in tables."""
        return {self.key: self.title}

    def __call__(self, fold: Fold) -> dict[str, np.ndarray]:
        """The same in every fold."""
        return {self.key: self.values}


@dataclass(frozen=True)
class Linear:
    """Logistic regression on what is known of each cell.

    Attributes
    ----------
    key, title : str
        In values and in tables.
    cells : DataFrame
        Of `patients.voting`.
    values : ndarray
        float (cells, features).
    scaling : Pipeline
        Not fitted; what comes before the regression. It gives fewer components where its `pca` has fewer cells.
    profile : Profile
        Its `transfer` says what to choose from; each fold's choice has a generator of its own.
    more : callable, optional
        (fold, what the regression sees, log-odds) to further scores; their names are in `more_titles`.
    """

    key: str
    title: str
    cells: pd.DataFrame
    values: np.ndarray
    scaling: Pipeline
    profile: Profile
    more: Callable[[Fold, np.ndarray, np.ndarray], dict[str, np.ndarray]] | None = None
    more_titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def titles(self) -> dict[str, str]:
        """Key of each score to its name in tables."""
        return {self.key: self.title, **self.more_titles}

    def __call__(self, fold: Fold) -> dict[str, np.ndarray]:
        """Log-odds of APL of all cells; where C is chosen, in standard deviations of those fitted on."""
        own, values = self.cells[fold.fit], self.values[fold.fit]
        scaling = clone(self.scaling)
        if "pca" in scaling.named_steps:
            scaling.set_params(pca__n_components=min(scaling["pca"].n_components, *np.subtract(values.shape, (1, 0))))
        regressed = scaling.fit(values).transform(self.values)
        seed = int(self.profile.generator(f"transfer/choice {fold.name}").integers(1 << 31))
        options = settings_of(self.profile).inverse_regularisation
        model = _regression(chosen(regressed[fold.fit], own, options, seed=seed))
        model.fit(regressed[fold.fit], own["apl"], sample_weight=patients.weights(own))
        log_odds = model.decision_function(regressed)
        if len(options) > 1:
            # Log-odds spread with C, which differs between folds; patients of all folds are ranked together.
            log_odds /= max(log_odds[fold.fit].std(), 1e-9)
        return {self.key: log_odds} | (self.more(fold, regressed, log_odds) if self.more else {})


def chosen(scaled: np.ndarray, cells: pd.DataFrame, options: Sequence[float], *, seed: int) -> float:
    """The C whose log loss on left-out patients is least, in `INNER` folds stratified by diagnosis.

    Parameters
    ----------
    scaled : ndarray
        float (n, features), of the cells that are fitted on; scaling and components may be of all these patients, since
        they need no diagnosis.
    cells : DataFrame
        `patient_id` and `apl` of these cells. The loss weights them as the fits do.
    options : sequence of float
        C of logistic regressions, the inverse of regularisation.
    seed : int
        Of the dealing.

    Returns
    -------
    float
        The strongest regularisation where a diagnosis has one patient.
    """
    apl = cells.groupby("patient_id", sort=True)["apl"].first()
    folds = min(INNER, int(apl.sum()), int((~apl).sum()))
    if len(options) == 1 or folds < 2:
        return min(options)
    deal = StratifiedKFold(folds, shuffle=True, random_state=seed).split(apl, apl)
    left_out = [cells["patient_id"].isin(apl.index[out]).to_numpy() for _, out in deal]
    splits = [(np.flatnonzero(~held), np.flatnonzero(held)) for held in left_out]
    labels, weights = cells["apl"].to_numpy(), patients.weights(cells)

    def loss(inverse: float) -> float:
        model, weighted = _regression(inverse), {"sample_weight": weights}
        probabilities = cross_val_predict(model, scaled, labels, cv=splits, method="predict_proba", params=weighted)
        return float(log_loss(labels, probabilities, sample_weight=weights))

    return min(options, key=loss)


def _regression(inverse: float) -> LogisticRegression:
    return LogisticRegression(C=inverse, max_iter=2000)


def fraction(cells: pd.DataFrame) -> list[Method]:
    """What a haematologist has without a network: the promyelocytes among all signed cells, where the cohort knows."""
    if "n_signed" not in cells:
        return []
    share = (cells["n_promyelocyte_signed"] / cells["n_signed"]).to_numpy(float)
    return [Given("promyelocyte_fraction", "promyelocytes among all signed cells", share)]


def plain(setup: Setup, cells: pd.DataFrame, features: pd.DataFrame) -> list[Method]:
    """The methods without a network: background, colour and size, handcrafted features.

    Parameters
    ----------
    setup : Setup
        Of `embeddings.seen`.
    cells : DataFrame
        Of `patients.voting`.
    features : DataFrame
        Of `classical.features`, one row an image in the manifest's order.
    """
    rows = cells["row"].to_numpy()
    pixels, own = setup.data.pixels[rows], features.iloc[rows].reset_index(drop=True)
    known = cells.drop(columns=[name for name in own if name in cells])
    whole = described(CellImages(known, pixels), own)
    ring = described(CellImages(known, pixels[:, outside(pixels.shape[1])]), own)
    scaled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    every = make_pipeline(imputer, StandardScaler())
    return [
        Linear(key, title, cells, seen.to_numpy(float), scaling, setup.profile)
        for key, title, seen, scaling in (
            ("background", "background", ring[COLOUR_BINS], scaled),
            ("colour_and_size", "colour and size", whole[[*COLOUR_BINS, "cell_area"]], scaled),
            ("handcrafted", "handcrafted features", whole[handcrafted.names()], every),
        )
    ]


def outside(side: int) -> np.ndarray:
    """Pixels outside the circle of `INSIDE` of the side, bool (side, side): background, and neighbours of the cell."""
    from_middle = np.arange(side) - (side - 1) / 2
    return np.hypot(from_middle[:, None], from_middle[None, :]) > INSIDE * side / 2


def frozen(setup: Setup, cells: pd.DataFrame, embedded: Embedded, *, votes: bool = True) -> list[Method]:
    """A linear method a start, on whitened principal components of its embeddings.

    The first pretrained start also gives the paper's vote (the share of cells above probability 0.5) and the attention
    over cells, on the same components.

    Parameters
    ----------
    setup : Setup
        Profile.
    cells : DataFrame
        Of `patients.voting`.
    embedded : Embedded
        Of `embeddings.embedded`.
    votes : bool
        Whether the first pretrained start gives these two as well.
    """
    profile, found = setup.profile, list[Method]()
    scaling = make_pipeline(PCA(settings_of(profile).components, whiten=True, random_state=profile.seed))
    rows = cells["row"].to_numpy()
    first = next(filter(embeddings.pretrained, embedded.values), None)
    for start in embedded.values:
        name, values = embeddings.title(start), embedded.of(start, rows)
        method = Linear(frozen_key(start), f"frozen: {name}", cells, values, scaling, profile)
        if votes and start == first:
            titles = {"frozen_vote": f"frozen, paper's vote: {name}", "attention": f"attention over cells: {name}"}
            method = replace(method, more=partial(_votes, cells, profile), more_titles=titles)
        found.append(method)
    return found


def frozen_key(start: FrozenStart) -> str:
    """Name the log-odds by a frozen start, e.g. `frozen_vgg16_cells`."""
    return f"frozen_{start.key}"


def _votes(
    cells: pd.DataFrame, profile: Profile, fold: Fold, components: np.ndarray, log_odds: np.ndarray
) -> dict[str, np.ndarray]:
    seed = profile.torch_seed(f"transfer/attention/{fold.name}") % (1 << 31)
    learned = attention(cells, components, fold.fit, profile.learned_vote, seed)
    return {"frozen_vote": (log_odds > 0).astype(float), "attention": learned}


def attention(
    cells: pd.DataFrame, components: np.ndarray, fit: np.ndarray, settings: LearnedVote, seed: int
) -> np.ndarray:
    """Log-odds of APL of each patient by gated attention over the cells (Ilse et al., ICML 2018).

    Parameters
    ----------
    cells : DataFrame
        Of `patients.voting`.
    components : ndarray
        float (cells, features), whitened.
    fit : ndarray
        bool (cells,), cells of the patients to fit on.
    settings : LearnedVote
        The profile's.
    seed : int
        Of the training.

    Returns
    -------
    ndarray
        float (cells,), the same for all cells of a patient.
    """
    members = cells.groupby("patient_id", sort=True).indices
    values, apl = components.astype(np.float32), cells["apl"].to_numpy()
    own = [index for index in members.values() if fit[index[0]]]
    labels = np.array([int(apl[index[0]]) for index in own])
    model = attention_vote.fit([values[index] for index in own], labels, 2, settings=settings, seed=seed)
    found = np.empty(len(cells))
    with torch.inference_mode():
        for index in members.values():
            logits, _ = model(torch.from_numpy(values[index]))
            found[index] = float(logits[1] - logits[0])
    return found


def settings_of(profile: Profile) -> Transfer:
    """The profile's `transfer`; raises ValueError where it sets none."""
    if profile.transfer is None:
        raise ValueError("the profile sets no `transfer`")
    return profile.transfer
