"""The learned vote: on planted signals, and beside the rule on a tiny cohort."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments import attention_vote
from alnet_lib.experiments.datasets import labelled
from alnet_lib.experiments.preparation import begin


def _bags(rng, n, signal):
    """Smears of 5 to 12 cells of noise; in those of the second class one cell in three carries the signal."""
    bags, labels = [], []
    for i in range(n):
        cells = rng.normal(size=(rng.integers(5, 13), 20)).astype(np.float32)
        if i % 2:
            cells[: max(len(cells) // 3, 1), 0] += signal
        bags.append(cells)
        labels.append(i % 2)
    return bags, np.array(labels)


def test_the_learned_vote_finds_the_cells_that_count():
    rng = np.random.default_rng(1)
    model = attention_vote.fit(*_bags(rng, 80, 6.0), 2, seed=3)
    bags, labels = _bags(rng, 60, 6.0)
    with torch.inference_mode():
        found = [model(torch.from_numpy(bag)) for bag in bags]
    assert np.mean([int(logits.argmax()) == label for (logits, _), label in zip(found, labels, strict=True)]) > 0.9
    attention = found[1][1].numpy()
    assert attention.sum() == pytest.approx(1, abs=1e-5) and bags[1][attention.argmax(), 0] > 3


def test_the_learned_vote_repeats_and_does_not_mind_the_order_of_cells():
    bags, labels = _bags(np.random.default_rng(2), 20, 4.0)
    first, second = (attention_vote.fit(bags, labels, 2, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with torch.inference_mode():
        logits = [first(torch.from_numpy(np.ascontiguousarray(bag)))[0] for bag in (bags[0], bags[0][::-1])]
    torch.testing.assert_close(*logits)


def test_apl_probability_is_against_aml_only_and_a_mean_over_smears():
    learned = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b"],
            "p_APL": [0.3, 0.6, 0.0],
            "p_AML": [0.1, 0.2, 0.5],
            "p_control": [0.6, 0.2, 0.5],
        }
    )
    assert attention_vote.apl_probability(learned).to_dict() == pytest.approx({"a": 0.75, "b": 0.0})
    assert not attention_vote.apl_probability(learned.drop(columns="p_AML"))


@pytest.fixture
def network(setup):
    return begin(setup.profile, "squeezenet1_1", labelled(setup.data, MODULE_1), name="test")


def test_the_learned_vote_judges_smears_that_it_was_not_fitted_on(setup, network):
    cells = setup.data.manifest.sample(frac=1, random_state=1)
    learned = attention_vote.learned_votes(setup, network, cells)
    smears = cells[cells["split"].ne("train")].drop_duplicates("smear_id")
    assert sorted(learned["smear_id"]) == sorted(smears["smear_id"])
    assert learned.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    # Colours tell these diagnoses, and a random network keeps colours: far above the one in five of chance.
    assert learned["verdict"].eq(learned["diagnosis"]).mean() > 0.6
    fewer = attention_vote.learned_votes(setup, network, cells.assign(immature=cells["diagnosis"].ne("APL")))
    assert "p_APL" not in fewer and not fewer["diagnosis"].eq("APL").any(), "only eligible cells vote"


def test_the_learned_vote_needs_two_diagnoses_and_smears_to_judge(setup, network):
    cells = setup.data.manifest
    assert isinstance(attention_vote.learned_votes(setup, network, cells[cells["diagnosis"].eq("APL")]), Unavailable)
    assert isinstance(attention_vote.learned_votes(setup, network, cells[cells["split"].eq("train")]), Unavailable)
    missing = Unavailable("no module 1")
    assert attention_vote.learned_votes(setup, missing, cells) is missing


def test_both_votes_are_compared_smear_by_smear(setup):
    manifest = setup.data.manifest
    cells = manifest[manifest["split"].eq("test")].copy()
    cells[MODULE_1.columns] = 0.0
    cells["p1_lymphocyte"] = 1.0  # The rule: every smear is a control; one diagnosis in five is.
    smears = cells.drop_duplicates("smear_id")
    learned = smears[["smear_id", "patient_id", "diagnosis", "split"]].assign(verdict=smears["diagnosis"])
    found = attention_vote.beside_the_rule(cells, learned[::-1], setup.profile).frame
    assert found[["where", "smears", "rule, %", "learned, %"]].to_numpy().tolist() == [["testing", 10, 20.0, 100.0]]
    assert found["difference"].item() == pytest.approx(80) and found["low"].item() > 0
    few = replace(setup, profile=setup.profile.model_copy(update={"threshold": 0.9})).profile
    assert isinstance(attention_vote.beside_the_rule(cells.iloc[:0], learned, few), Unavailable)
