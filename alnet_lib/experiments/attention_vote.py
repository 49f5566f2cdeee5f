"""A learned vote beside the rule of 50%: gated attention over the cells of a smear (Ilse et al., ICML 2018)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import DIAGNOSES
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging import augmentation
from alnet_lib.networks.network import Network
from alnet_lib.paper.values import Result
from alnet_lib.statistics.bootstrap import paired_difference

HIDDEN, EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 64, 40, 1e-3, 1e-2


class GatedAttention(nn.Module):
    """Weights the cells of one smear and classifies their weighted mean.

    Parameters
    ----------
    features : int
        Of each cell.
    classes : int
        How many there are.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.value = nn.Linear(features, HIDDEN)
        self.gate = nn.Linear(features, HIDDEN)
        self.weight = nn.Linear(HIDDEN, 1)
        self.classify = nn.Sequential(nn.Dropout(0.25), nn.Linear(features, classes))

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (classes,) of a smear's cells (n, features), and each cell's attention (n,), which sums to 1."""
        attention = self.weight(torch.tanh(self.value(cells)) * torch.sigmoid(self.gate(cells))).squeeze(1).softmax(0)
        return self.classify(attention @ cells), attention


def embeddings(network: Network, pixels: np.ndarray, rows: np.ndarray, *, batch: int = 256) -> np.ndarray:
    """The last hidden layer of a network, after its ReLU.

    Parameters
    ----------
    network : Network
        On the CPU.
    pixels : ndarray
        uint8 (m, S, S, 3), RGB.
    rows : ndarray
        int (n,), positions in `pixels`.
    batch : int
        Images at a time.

    Returns
    -------
    ndarray
        float32 (n, 512).
    """
    network.eval()
    body = nn.Sequential(*network.blocks, network.head[: list(dict(network.head.named_children())).index("relu2") + 1])
    out = []
    with torch.inference_mode():
        for first in range(0, len(rows), batch):
            images = augmentation.to_float(pixels[rows[first : first + batch]])
            out.append(body(network.preprocessing(images)).numpy())
    return np.concatenate(out)


def fit(bags: list[np.ndarray], labels: np.ndarray, classes: int, *, seed: int) -> GatedAttention:
    """Train on smears, one a step, classes weighted by their rarity.

    Parameters
    ----------
    bags : list of ndarray
        float32 (cells, features) of each smear.
    labels : ndarray
        int (smears,), class of each.
    classes : int
        How many there are.
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
        model = GatedAttention(bags[0].shape[1], classes)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        loss_of = nn.CrossEntropyLoss(weight=weight / weight.mean())
        for _ in range(EPOCHS):
            for i in rng.permutation(len(bags)):
                optimizer.zero_grad(set_to_none=True)
                logits, _ = model(torch.from_numpy(bags[i]))
                loss = loss_of(logits[None], torch.tensor([labels[i]])) * weight[labels[i]] / weight.mean()
                loss.backward()
                optimizer.step()
    return model.eval()


@if_available
def learned_votes(setup: Setup, network: Network, cells: pd.DataFrame) -> pd.DataFrame | Unavailable:
    """The learned vote on every smear of the testing and external splits, fitted on training smears.

    Parameters
    ----------
    setup : Setup
        Images and profile.
    network : Network
        Module 1, whose last hidden layer describes each cell.
    cells : DataFrame
        One row a cell: image_id, smear_id, patient_id, diagnosis, split, and what `eligible` reads.

    Returns
    -------
    DataFrame or Unavailable
        A row a smear: smear_id, patient_id, diagnosis, split, `p_<diagnosis>` in [0, 1] for the diagnoses of the
        training smears, verdict. Unavailable with fewer than two diagnoses of training smears, or no smear to judge.
    """
    chosen = cells[eligible(cells)].reset_index(drop=True)
    about = chosen.groupby("smear_id", sort=True)[["patient_id", "diagnosis", "split"]].first().reset_index()
    train = about[about["split"].eq("train")]
    judged = about[about["split"].ne("train")].reset_index(drop=True)
    names = [name for name in DIAGNOSES if name in set(train["diagnosis"])]
    if len(names) < 2:
        return Unavailable("training smears of two diagnoses are needed")
    if not len(judged):
        return Unavailable("there is no testing or external smear")
    features = embeddings(network, setup.data.pixels, setup.data.rows_of(chosen["image_id"]))
    members = chosen.groupby("smear_id").indices
    fitted_on = np.concatenate([members[smear] for smear in train["smear_id"]])
    centre, spread = features[fitted_on].mean(0), features[fitted_on].std(0) + 1e-3
    features = ((features - centre) / spread).astype(np.float32)
    labels = train["diagnosis"].map({name: i for i, name in enumerate(names)}).to_numpy(np.int64)
    bags = [features[members[smear]] for smear in train["smear_id"]]
    model = fit(bags, labels, len(names), seed=setup.profile.torch_seed("learned vote") % (1 << 31))
    with torch.inference_mode():
        logits = [model(torch.from_numpy(features[members[smear]]))[0] for smear in judged["smear_id"]]
    probability = torch.stack(logits).softmax(1).numpy()
    for i, name in enumerate(names):
        judged[f"p_{name}"] = probability[:, i]
    return judged.join(aggregation.HighestProbability()(judged))


@if_available
def beside_the_rule(cells: pd.DataFrame, learned: pd.DataFrame, profile: Profile) -> Result | Unavailable:
    """Share of smears with the correct diagnosis by the rule and by the learned vote.

    Without module 2 the rule cannot tell AML from ALL and `AL non-APL` counts as correct, as everywhere.

    Parameters
    ----------
    cells : DataFrame
        One row a cell with the modules' probabilities.
    learned : DataFrame
        Of `learned_votes`.
    profile : Profile
        Threshold, bootstrap replicates and seed.

    Returns
    -------
    Result or Unavailable
        A row a split: where, smears, `rule, %`, `learned, %`, difference, low, high (95% interval in %, from draws of
        patients shared by both votes).
    """
    rows = []
    rule = aggregation.MajorityAboveThreshold(profile.threshold)
    for split, title in (("test", "testing"), ("external", "external")):
        own = cells[eligible(cells) & cells["split"].eq(split)]
        if not len(own):
            continue
        votes = aggregation.vote(own, rule).set_index("smear_id")
        predicted = learned[learned["split"].eq(split)].set_index("smear_id").reindex(votes.index)
        plain = votes[["patient_id"]].assign(correct=votes["verdict"].eq(votes["expected"]))
        other = votes[["patient_id"]].assign(correct=predicted["verdict"].eq(votes["diagnosis"]))
        found = paired_difference(
            plain, other, paired=True, replicates=profile.bootstrap, rng=profile.generator(f"learned vote/{split}")
        )
        rows.append({"where": title, "smears": len(votes)} | {name: 100 * value for name, value in found.items()})
    if not rows:
        return Unavailable("there is no testing or external smear")
    return Result(pd.DataFrame(rows).rename(columns={"plain": "rule, %", "other": "learned, %"}))


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
