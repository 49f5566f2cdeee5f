"""Comparisons over patients, stain normalisation, and the learned vote on planted signals."""

import numpy as np
import pandas as pd
import pytest
import torch

from alnet_lib import learned_vote, studies


def _judged(patients, right):
    return pd.DataFrame({"patient_id": patients, "right": np.array(right, bool)})


def test_the_same_answers_differ_by_nothing():
    frame = _judged(list("aabbccdd"), [1, 0, 1, 1, 0, 0, 1, 0])
    found = studies.compare(frame, frame, paired=True, replicates=200, rng=np.random.default_rng(0))
    assert found == {"plain": 0.5, "other": 0.5, "difference": 0.0, "low": 0.0, "high": 0.0}


def test_a_difference_and_its_interval_by_hand():
    patients = [str(i) for i in range(40)]
    plain, other = _judged(patients, [0] * 20 + [1] * 20), _judged(patients, [1] * 40)
    found = studies.compare(plain, other, paired=True, replicates=4000, rng=np.random.default_rng(0))
    assert found["difference"] == 0.5
    # A bootstrap of 40 patients, half of them gained: binomial, 0.5 +- 1.96 sqrt(0.25 / 40).
    assert found["low"] == pytest.approx(0.345, abs=0.03) and found["high"] == pytest.approx(0.655, abs=0.03)


def test_cells_of_one_patient_count_as_one():
    one = _judged(["a"] * 1000 + ["b"], [1] * 1000 + [0])
    found = studies.compare(one, one.assign(right=False), paired=True, replicates=500, rng=np.random.default_rng(0))
    assert found["low"] == pytest.approx(-1.0) and found["high"] == 0.0


def test_sides_with_different_patients_are_drawn_apart():
    plain, other = _judged(list("abcd"), [1, 1, 0, 0]), _judged(list("wxyz"), [1, 1, 1, 0])
    found = studies.compare(plain, other, paired=False, replicates=500, rng=np.random.default_rng(0))
    assert found["difference"] == 0.25 and found["low"] < 0 < found["high"]


def test_normalising_brings_a_smear_to_the_training_colours_and_keeps_differences_within_it():
    rng = np.random.default_rng(0)
    pixels = rng.integers(120, 200, (30, 16, 16, 3)).astype(np.uint8)
    pixels[20:] = (pixels[20:] * [0.6, 0.8, 0.9]).astype(np.uint8)
    pixels[20, :, :8] //= 2
    manifest = pd.DataFrame(
        {"split": ["train"] * 20 + ["external"] * 10, "smear_id": ["a"] * 10 + ["b"] * 10 + ["c"] * 10}
    )
    out = studies.normalised(pixels, manifest, np.random.default_rng(0))
    assert out.shape == pixels.shape and out.dtype == np.uint8
    before, after = (np.abs(p[20:].mean((0, 1, 2)) - pixels[:20].mean((0, 1, 2))).max() for p in (pixels, out))
    assert before > 30 and after < 6
    assert out[20, :, :8].mean() < out[20, :, 8:].mean() - 20


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
    model = learned_vote.fit(*_bags(rng, 80, 6.0), 2, seed=3)
    bags, labels = _bags(rng, 60, 6.0)
    with torch.inference_mode():
        told = [model(torch.from_numpy(bag)) for bag in bags]
    assert np.mean([int(logits.argmax()) == label for (logits, _), label in zip(told, labels, strict=True)]) > 0.9
    attention = told[1][1].numpy()
    assert attention.sum() == pytest.approx(1, abs=1e-5) and bags[1][attention.argmax(), 0] > 3


def test_the_learned_vote_repeats_and_does_not_mind_the_order_of_cells():
    bags, labels = _bags(np.random.default_rng(2), 20, 4.0)
    first, second = (learned_vote.fit(bags, labels, 2, seed=5) for _ in range(2))
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
    assert learned_vote.apl_probability(learned).to_dict() == pytest.approx({"a": 0.75, "b": 0.0})
    assert learned_vote.apl_probability(learned.drop(columns="p_AML")).empty
