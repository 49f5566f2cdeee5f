"""A learned vote beside the rule of 50%: gated attention over the cells of a smear (Ilse et al., ICML 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import DIAGNOSES
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_2, MODULES, ModuleSpec
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import intervals

if TYPE_CHECKING:
    from alnet_lib.core.profile import LearnedVote, Profile
    from alnet_lib.experiments.preparation import Setup

FLOOR = 1e-6
"""Probabilities below it count as it: a logarithm needs one, and float32 knows them no better."""


class GatedAttention(nn.Module):
    """Weights the cells of one smear and classifies their weighted mean.

    Parameters
    ----------
    features : int
        Of each cell.
    classes : int
        How many there are.
    settings : LearnedVote
        Size of the hidden layer, dropout.
    """

    def __init__(self, features: int, classes: int, settings: LearnedVote) -> None:
        super().__init__()
        self.value = nn.Linear(features, settings.hidden)
        self.gate = nn.Linear(features, settings.hidden)
        self.weight = nn.Linear(settings.hidden, 1)
        self.classify = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(features, classes))

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (classes,) of a smear's cells (n, features), and each cell's attention (n,), which sums to 1."""
        attention = self.weight(torch.tanh(self.value(cells)) * torch.sigmoid(self.gate(cells))).squeeze(1).softmax(0)
        return self.classify(attention @ cells), attention


def fit(
    bags: list[np.ndarray], labels: np.ndarray, classes: int, *, settings: LearnedVote, seed: int
) -> GatedAttention:
    """Train on smears, one a step, classes weighted by their rarity.

    Parameters
    ----------
    bags : list of ndarray
        float32 (cells, features) of each smear.
    labels : ndarray
        int (smears,), class of each.
    classes : int
        How many there are.
    settings : LearnedVote
        The profile's.
    seed : int
        The same bags, labels and seed give the same model.

    Returns
    -------
    GatedAttention
        In evaluation mode.
    """
    rng = np.random.default_rng(seed)
    weight = torch.tensor(len(labels) / np.maximum(np.bincount(labels, minlength=classes), 1), dtype=torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GatedAttention(bags[0].shape[1], classes, settings)
        rate, decay = settings.learning_rate, settings.weight_decay
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
        loss_of = nn.CrossEntropyLoss(weight=weight / weight.mean())
        for _ in range(settings.epochs):
            for i in rng.permutation(len(bags)):
                optimizer.zero_grad(set_to_none=True)
                logits, _ = model(torch.from_numpy(bags[i]))
                loss = loss_of(logits[None], torch.tensor([labels[i]])) * weight[labels[i]] / weight.mean()
                loss.backward()
                optimizer.step()
    return model.eval()


def log_probabilities(cells: pd.DataFrame, modules: list[ModuleSpec]) -> np.ndarray:
    """What the learned vote sees of each cell.

    Parameters
    ----------
    cells : DataFrame
        One row a cell with the modules' probabilities.
    modules : list of ModuleSpec
        Whose.

    Returns
    -------
    ndarray
        float32 (n, classes of the modules), natural logarithms, at least that of `FLOOR`.

    Raises
    ------
    ValueError
        A probability is NaN; the message names images.
    """
    found = np.concatenate([spec.probabilities(cells) for spec in modules], axis=1)
    return np.log(np.maximum(found, FLOOR)).astype(np.float32)


@if_available
def learned_votes(setup: Setup, cells: pd.DataFrame, cross_fitted: pd.DataFrame) -> pd.DataFrame | Unavailable:
    """The learned vote on every smear of the testing and external splits, fitted on cross-fitted training smears.

    It is fitted on probabilities of modules that had not seen the smears' patients, as none has seen a testing smear's.
    Each cell is described by the modules' log-probabilities: hidden layers of different trainings do not compare. A
    smear's bag holds all its voting cells, those without a label too: what is learnt is the patient's diagnosis, which
    every cell of the smear shares, and a smear to be judged comes with all its voting cells as well. The networks of
    the folds may be smaller than the modules that judge (`cross_fitting.made_by`); the vote then learns from another
    network's mistakes than those it meets.

    Parameters
    ----------
    setup : Setup
        Profile.
    cells : DataFrame
        One row a cell with the modules' probabilities, of notebook 03: smear_id, patient_id, diagnosis, split, and what
        `eligible` reads. Cells of the training split are not used.
    cross_fitted : DataFrame
        Of `cross_fitting.cross_fitted`.

    Returns
    -------
    DataFrame or Unavailable
        A row a smear: smear_id, patient_id, diagnosis, split, `p_<diagnosis>` in [0, 1] for the diagnoses of the
        training smears, verdict. Unavailable with fewer than two diagnoses of training smears, or no smear to judge.
    """
    fitted_on = cross_fitted[eligible(cross_fitted) & cross_fitted["diagnosis"].isin(DIAGNOSES)].reset_index(drop=True)
    chosen = cells[eligible(cells) & cells["split"].ne("train")].reset_index(drop=True)
    names = [name for name in DIAGNOSES if name in set(fitted_on["diagnosis"])]
    if len(names) < 2:
        return Unavailable("training smears of two diagnoses are needed")
    if not len(chosen):
        return Unavailable("there is no testing or external smear")
    modules = [spec for spec in MODULES if spec.predicts(fitted_on) and spec.predicts(chosen)]
    train, features = fitted_on.groupby("smear_id", sort=True), log_probabilities(fitted_on, modules)
    centre, spread = features.mean(0), features.std(0) + 1e-3
    bags = [(features[members] - centre) / spread for members in train.indices.values()]
    number = {name: i for i, name in enumerate(names)}
    labels = train["diagnosis"].first().map(number).to_numpy(np.int64)
    settings, seed = setup.profile.learned_vote, setup.profile.torch_seed("learned vote") % (1 << 31)
    model = fit(bags, labels, len(names), settings=settings, seed=seed)
    smears, judged = chosen.groupby("smear_id", sort=True), (log_probabilities(chosen, modules) - centre) / spread
    with torch.inference_mode():
        logits = [model(torch.from_numpy(judged[members]))[0] for members in smears.indices.values()]
    found = smears[["patient_id", "diagnosis", "split"]].first().reset_index()
    found[[f"p_{name}" for name in names]] = torch.stack(logits).softmax(1).numpy()
    return found.join(aggregation.HighestProbability()(found))


@if_available
def beside_the_rule(cells: pd.DataFrame, learned: pd.DataFrame, profile: Profile) -> Result | Unavailable:
    """Share of smears with the correct diagnosis by the rule and by the learned vote, and their difference.

    Without module 2 the rule cannot tell AML from ALL: then both votes are asked for `AL non-APL` only.

    Parameters
    ----------
    cells : DataFrame
        One row a cell with the modules' probabilities.
    learned : DataFrame
        Of `learned_votes`.
    profile : Profile
        Threshold.

    Returns
    -------
    Result or Unavailable
        Three rows a split (`rule`, `learned`, `learned less rule`): where, smears, vote, correct (in %; the difference
        in percentage points), low, high, patients, design_effect, interval. Values
        `learned_vote.<where>.<rule, learned or difference>`; facts `<where>_rule`, `<where>_learned`,
        `<where>_difference` and `<where>_ci` (of the difference), `merged` (says where AML and ALL are one). Smears
        without a reference diagnosis do not count.
    """
    rows: list[dict[str, Any]] = []
    values: list[Value] = []
    facts: dict[str, Any] = {"merged": ""}
    rule = aggregation.MajorityAboveThreshold(profile.threshold)
    for split, where in (("test", "testing"), ("external", "external")):
        own = cells[eligible(cells) & cells["split"].eq(split) & cells["diagnosis"].isin(DIAGNOSES)]
        if not len(own):
            continue
        votes = aggregation.vote(own, rule)
        verdict = learned.set_index("smear_id")["verdict"].reindex(votes["smear_id"]).to_numpy()
        merged = {} if MODULE_2.predicts(own) else dict.fromkeys(("AML", "ALL"), aggregation.NON_APL)
        if merged:
            facts["merged"] = " Without module 2, AL non-APL counts as correct for AML and ALL."
        plain = votes["verdict"].eq(votes["expected"]).to_numpy()
        other = pd.Series(verdict, dtype=object).replace(merged).eq(votes["expected"]).to_numpy()
        found = {
            "rule": intervals.proportion(plain, votes),
            "learned": intervals.proportion(other, votes),
            "difference": intervals.difference(plain, votes, other),
        }
        for name, interval in found.items():
            vote = "learned less rule" if name == "difference" else name
            row = {"where": where, "smears": len(votes), "vote": vote, "correct": 100 * interval.estimate}
            rows.append(row | interval.columns())
            unit = "percentage points" if name == "difference" else "%"
            values.append(Value.of(f"learned_vote.{where}.{name}", interval, unit))
            facts[f"{where}_{name}"] = 100 * interval.estimate
        facts[f"{where}_ci"] = found["difference"].text()
    if not rows:
        return Unavailable("no testing or external smear has a reference diagnosis")
    return Result(pd.DataFrame(rows), tuple(values), facts)


@if_available
def apl_probability(learned: pd.DataFrame) -> pd.Series | Unavailable:
    """Probability of APL against AML of each patient, the mean over their smears.

    Parameters
    ----------
    learned : DataFrame
        Of `learned_votes`.

    Returns
    -------
    Series or Unavailable
        In [0, 1], index patient_id. Unavailable where no training smear has APL, or none AML.
    """
    if "p_APL" not in learned or "p_AML" not in learned:
        return Unavailable("the training split needs smears of APL and of AML")
    both = learned["p_APL"] + learned["p_AML"]
    return (learned["p_APL"] / both.where(both > 0)).fillna(0.5).groupby(learned["patient_id"]).mean()
