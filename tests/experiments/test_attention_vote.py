"""The learned vote: on planted signals, and beside the rule on a tiny cohort."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import LearnedVote
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, MODULES
from alnet_lib.experiments import attention_vote


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
    model = attention_vote.fit(*_bags(rng, 80, 6.0), 2, settings=LearnedVote(), seed=3)
    bags, labels = _bags(rng, 60, 6.0)
    with torch.inference_mode():
        found = [model(torch.from_numpy(bag)) for bag in bags]
    assert np.mean([int(logits.argmax()) == label for (logits, _), label in zip(found, labels, strict=True)]) > 0.9
    attention = found[1][1].numpy()
    assert attention.sum() == pytest.approx(1, abs=1e-5) and bags[1][attention.argmax(), 0] > 3


def test_the_learned_vote_repeats_and_does_not_mind_the_order_of_cells():
    bags, labels = _bags(np.random.default_rng(2), 20, 4.0)
    first, second = (attention_vote.fit(bags, labels, 2, settings=LearnedVote(), seed=5) for _ in range(2))
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


def _predicted(cells, sure, modules=MODULES):
    """Cells with probabilities: so much for the true class, the rest shared by the others."""
    out = cells.copy()
    for spec in modules:
        reference, size = spec.reference(cells), len(spec.classes)
        for name, column in zip(spec.classes, spec.columns, strict=True):
            own = np.where(reference.eq(name), sure, (1 - sure) / (size - 1))
            out[column] = np.where(reference.isna(), 1 / size, own).astype(np.float32)
    return out


@pytest.fixture
def cells(tiny):
    """All cells with probabilities of both modules, surer on the training split that they were fitted on."""
    train = tiny.manifest["split"].eq("train")
    parts = [_predicted(tiny.manifest[train], 0.99), _predicted(tiny.manifest[~train], 0.7)]
    return pd.concat(parts).sample(frac=1, random_state=1)


@pytest.fixture
def cross_fitted(tiny):
    """The training cells as modules predict them that have not seen their patients."""
    train = tiny.manifest[tiny.manifest["split"].eq("train")]
    return _predicted(train, 0.7).assign(fold=1, eligible=True)


def test_the_learned_vote_judges_smears_that_it_was_not_fitted_on(setup, cells, cross_fitted):
    learned = attention_vote.learned_votes(setup, cells, cross_fitted)
    smears = cells[cells["split"].ne("train")].drop_duplicates("smear_id")
    assert sorted(learned["smear_id"]) == sorted(smears["smear_id"])
    assert learned.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert learned["verdict"].eq(learned["diagnosis"]).all()
    assert learned.set_index("smear_id")["patient_id"].to_dict() == smears.set_index("smear_id")["patient_id"].to_dict()
    of_apl = cross_fitted.assign(immature=cross_fitted["diagnosis"].ne("APL"))
    assert "p_APL" not in attention_vote.learned_votes(setup, cells, of_apl), "only eligible cells vote"


def test_the_learned_vote_is_fitted_on_cross_fitted_cells_alone(setup, cells, cross_fitted, monkeypatch):
    given, fit = [], attention_vote.fit
    monkeypatch.setattr(attention_vote, "fit", lambda bags, *a, **k: given.append(bags) or fit(bags, *a, **k))
    before = attention_vote.learned_votes(setup, cells, cross_fitted)
    train = cells["split"].eq("train")
    changed = cells.assign(p1_blast=cells["p1_blast"].where(~train, np.nan))
    pd.testing.assert_frame_equal(attention_vote.learned_votes(setup, changed, cross_fitted), before)
    pd.testing.assert_frame_equal(attention_vote.learned_votes(setup, cells[~train], cross_fitted), before)
    features = attention_vote.log_probabilities(cross_fitted, list(MODULES))
    assert features.shape == (len(cross_fitted), 7) and features.min() >= np.log(1e-6) - 1e-4
    standard = (features - features.mean(0)) / (features.std(0) + 1e-3)
    bags = dict(zip(sorted(set(cross_fitted["smear_id"])), given[0], strict=True))
    for smear, bag in bags.items():
        np.testing.assert_allclose(bag, standard[cross_fitted["smear_id"].eq(smear)], atol=1e-5)
    unlike = attention_vote.learned_votes(setup, cells, _predicted(cross_fitted, 0.4))
    assert not np.allclose(unlike["p_APL"], before["p_APL"])


def test_a_bag_holds_the_cells_that_vote_without_a_label_too(setup, cells, cross_fitted, monkeypatch):
    given, fit = [], attention_vote.fit
    monkeypatch.setattr(attention_vote, "fit", lambda bags, *a, **k: given.append(bags) or fit(bags, *a, **k))
    brief = setup.profile.learned_vote.model_copy(update={"epochs": 1})
    setup = replace(setup, profile=setup.profile.model_copy(update={"learned_vote": brief}))
    unlabelled = cross_fitted.assign(cell_type=cross_fitted["cell_type"].where(cross_fitted["diagnosis"].ne("AML"), ""))
    before, after = (attention_vote.learned_votes(setup, cells, own) for own in (cross_fitted, unlabelled))
    assert sum(map(len, given[1])) == len(cross_fitted), "the label of a smear is its patient's diagnosis"
    pd.testing.assert_frame_equal(before, after)


def test_module_2_counts_only_where_both_tables_have_it(setup, cells, cross_fitted):
    without = cross_fitted.drop(columns=MODULE_2.columns)
    learned = attention_vote.learned_votes(setup, cells, without)
    pd.testing.assert_frame_equal(
        learned, attention_vote.learned_votes(setup, cells.drop(columns=MODULE_2.columns), cross_fitted)
    )


def test_the_learned_vote_needs_cross_fitting_two_diagnoses_and_smears_to_judge(setup, cells, cross_fitted):
    one = cross_fitted[cross_fitted["diagnosis"].eq("APL")]
    assert isinstance(attention_vote.learned_votes(setup, cells, one), Unavailable)
    unlabelled = cross_fitted.assign(diagnosis=cross_fitted["diagnosis"].where(cross_fitted["diagnosis"].eq("APL"), ""))
    assert isinstance(attention_vote.learned_votes(setup, cells, unlabelled), Unavailable)
    train = cells[cells["split"].eq("train")]
    assert isinstance(attention_vote.learned_votes(setup, train, cross_fitted), Unavailable)
    missing = Unavailable("a class has one patient")
    assert attention_vote.learned_votes(setup, cells, missing) is missing
    assert attention_vote.beside_the_rule(cells, missing, setup.profile) is missing


def test_both_votes_are_compared_smear_by_smear(setup):
    manifest = setup.data.manifest
    cells = manifest[manifest["split"].eq("test")].copy()
    cells[MODULE_1.columns] = 0.0
    cells["p1_lymphocyte"] = 1.0  # The rule: every smear is a control; one diagnosis in five is.
    smears = cells.drop_duplicates("smear_id")
    learned = smears[["smear_id", "patient_id", "diagnosis", "split"]].assign(verdict=smears["diagnosis"])
    found = attention_vote.beside_the_rule(cells, learned[::-1], setup.profile)
    frame = found.frame.set_index("vote")
    assert frame["correct"].to_dict() == pytest.approx({"rule": 20, "learned": 100, "learned less rule": 80})
    assert frame["smears"].eq(10).all() and frame["patients"].eq(10).all() and frame["where"].eq("testing").all()
    # By hand: ten patients of one smear, differences 0 twice and 1 eight times; variance 0.16 * 10/9 / 10, t of 9.
    half = 2.262157 * np.sqrt(0.16 / 9) * 100
    assert frame.loc["learned less rule", ["low", "high"]].tolist() == pytest.approx([80 - half, 100], abs=1e-3)
    assert [value.key for value in found.values] == [
        "learned_vote.testing.rule", "learned_vote.testing.learned", "learned_vote.testing.difference"
    ]  # fmt: skip
    assert found.values[2].unit == "percentage points" and found.values[2].ci_low == pytest.approx(80 - half, abs=1e-3)
    assert "AML and ALL" in found.facts["merged"], "these cells have no module 2"
    assert found.facts["testing_difference"] == pytest.approx(80) and "10 patients" in found.facts["testing_ci"]
    assert isinstance(attention_vote.beside_the_rule(cells.iloc[:0], learned, setup.profile), Unavailable)


def test_without_module_2_neither_vote_is_asked_for_the_lineage_and_unlabelled_smears_do_not_count(setup):
    manifest = setup.data.manifest
    cells = manifest[manifest["split"].eq("test")].copy()
    cells[MODULE_1.columns] = 0.0
    cells["p1_blast"] = 1.0
    smears = cells.drop_duplicates("smear_id")
    learned = smears[["smear_id", "patient_id", "diagnosis", "split"]].assign(verdict="ALL")
    frame = attention_vote.beside_the_rule(cells, learned, setup.profile).frame
    assert frame["correct"].tolist() == pytest.approx([40, 40, 0]), "AML and ALL are both `AL non-APL`"
    unlabelled = cells.assign(diagnosis=cells["diagnosis"].where(cells["diagnosis"].ne("AML"), ""))
    frame = attention_vote.beside_the_rule(unlabelled, learned, setup.profile).frame
    assert frame["smears"].eq(8).all() and frame["correct"].tolist() == pytest.approx([25, 25, 0])
