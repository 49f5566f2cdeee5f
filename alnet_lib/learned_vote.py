"""A learned vote beside the rule of 50%: gated attention over the cells of a smear (Ilse et al., ICML 2018)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from alnet_lib import augment, studies, training, vote
from alnet_lib.backbones import Network
from alnet_lib.cohorts.vocabulary import DIAGNOSES
from alnet_lib.run import Run

HIDDEN, EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 64, 40, 1e-3, 1e-2


class GatedAttention(nn.Module):
    """Weights the cells of one smear and classifies their weighted mean."""

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
    """The last hidden layer (after its ReLU) of `network` for the pictures at `rows`: float32 (n, 512)."""
    network.eval()
    body = nn.Sequential(*network.blocks, network.head[: list(dict(network.head.named_children())).index("relu2") + 1])
    out = []
    with torch.inference_mode():
        for first in range(0, len(rows), batch):
            images = augment.to_float(pixels[rows[first : first + batch]])
            out.append(body(network.preprocessing(images)).numpy())
    return np.concatenate(out)


def fit(bags: list[np.ndarray], labels: np.ndarray, classes: int, *, seed: int) -> GatedAttention:
    """Train on smears, one a step, classes weighted by their rarity. bags: (n_i, features) each; labels: int (smears,).

    The same bags, labels and seed give the same model.
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


def learned_votes(run: Run, cells: pd.DataFrame) -> pd.DataFrame:
    """The learned vote on every smear of the testing and external splits, fitted on training smears.

    cells: of `alnet.load_cells`. Returns smear_id, patient_id, diagnosis, split, `p_<diagnosis>` in [0, 1] for the
    diagnoses of the training smears, verdict. Empty with fewer than two diagnoses of training smears.
    """
    chosen = cells[cells["selected"]].reset_index(drop=True)
    about = chosen.groupby("smear_id", sort=True)[["patient_id", "diagnosis", "split"]].first().reset_index()
    train = about[about["split"].eq("train")]
    names = [name for name in DIAGNOSES if name in set(train["diagnosis"])]
    if len(names) < 2:
        return pd.DataFrame()
    manifest = run.cohort().manifest
    rows = pd.Series(np.arange(len(manifest)), index=manifest["image_id"])[chosen["image_id"]].to_numpy()
    network, _ = training.load_network(run.need("models/module_1.safetensors", "03_alnet_training"))
    features = embeddings(network, run.pixels(), rows)
    members = chosen.groupby("smear_id").indices
    fitted_on = np.concatenate([members[smear] for smear in train["smear_id"]])
    centre, spread = features[fitted_on].mean(0), features[fitted_on].std(0) + 1e-3
    features = ((features - centre) / spread).astype(np.float32)
    labels = train["diagnosis"].map({name: i for i, name in enumerate(names)}).to_numpy(np.int64)
    bags = [features[members[smear]] for smear in train["smear_id"]]
    model = fit(bags, labels, len(names), seed=run.profile.torch_seed("learned vote") % (1 << 31))
    judged = about[about["split"].ne("train")].reset_index(drop=True)
    with torch.inference_mode():
        logits = [model(torch.from_numpy(features[members[smear]]))[0] for smear in judged["smear_id"]]
    if not logits:
        return pd.DataFrame()
    probability = torch.stack(logits).softmax(1).numpy()
    for i, name in enumerate(names):
        judged[f"p_{name}"] = probability[:, i]
    return judged.assign(verdict=np.array(names, dtype=object)[probability.argmax(1)])


def beside_the_rule(run: Run, cells: pd.DataFrame, learned: pd.DataFrame) -> pd.DataFrame:
    """Share of smears with the right diagnosis by either vote: where, smears, plain (the rule), other, difference, low,
    high, in %; intervals from paired draws of patients.

    Without module 2 the rule cannot tell AML from ALL and `AL non-APL` counts as right, as everywhere.
    """
    rows = []
    for split, title in (("test", "testing"), ("external", "external")):
        own = cells[cells["selected"] & cells["split"].eq(split)]
        if not len(own) or not len(learned):
            continue
        votes = vote.vote(own, run.profile.threshold).set_index("smear_id")
        told = learned[learned["split"].eq(split)].set_index("smear_id").reindex(votes.index)
        rule = votes[["patient_id"]].assign(right=votes["verdict"].eq(votes["expected"]))
        new = votes[["patient_id"]].assign(right=told["verdict"].eq(votes["diagnosis"]))
        found = studies.compare(
            rule, new, paired=True, replicates=run.profile.bootstrap, rng=run.generator(f"learned vote/{split}")
        )
        rows.append({"where": title, "smears": len(votes), **{k: 100 * v for k, v in found.items()}})
    return pd.DataFrame(rows)


def apl_probability(learned: pd.DataFrame) -> pd.Series:
    """P(APL) against AML of each patient, the mean over their smears; empty where APL or AML was not learned."""
    if "p_APL" not in learned or "p_AML" not in learned:
        return pd.Series(dtype=float)
    both = learned["p_APL"] + learned["p_AML"]
    return (learned["p_APL"] / both.where(both > 0)).fillna(0.5).groupby(learned["patient_id"]).mean()
