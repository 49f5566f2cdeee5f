"""Near-duplicates by bands are those of comparing every pair."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.evaluation.audit import images
from alnet_lib.imaging import hashing


def hashes(n, seed):
    """Random hashes, some of them with a few bits of others changed, in some bands more often than in others."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**64 - 1, n, dtype=np.uint64)
    for _ in range(n // 2):
        i, j = rng.integers(0, n, 2)
        flipped = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, rng.integers(0, 8)).astype(np.uint64))
        found[i] = found[j] ^ np.uint64(flipped)
    return found


def every_pair(of, bits):
    return np.argwhere(np.triu(np.bitwise_count(of[:, None] ^ of[None, :]) <= bits, 1))


@pytest.mark.parametrize("bits", [0, 1, 4, 7, 8, 9, 64])
@pytest.mark.parametrize("n", [0, 1, 2, 40, 300])
def test_the_same_pairs_as_of_all_with_all(bits, n):
    known = np.unique(hashes(n, seed=n + bits))
    assert np.array_equal(hashing.near(known, bits), every_pair(known, bits))


def test_pairs_are_compared_in_parts(monkeypatch):
    known = np.unique(hashes(200, seed=1))
    monkeypatch.setattr(hashing, "AT_A_TIME", 7)
    assert np.array_equal(hashing.near(known, 9), every_pair(known, 9))


@pytest.mark.parametrize("seed", range(5))
def test_near_duplicates_are_listed_and_counted_as_by_comparing_all_images(seed, monkeypatch):
    # Many images have the same hash.
    rng, n = np.random.default_rng(seed), 150
    of = rng.choice(hashes(60, seed), n)
    about = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(n)],
            "split": rng.choice(["train", "test", "external"], n),
            "cell_type": rng.choice(["", "lymphocyte", "monocyte"], n),
        }
    )
    bits = np.unpackbits(of.view(np.uint8).reshape(n, 8), axis=1).astype(bool)
    monkeypatch.setattr(images, "perceptual_hashes", lambda _: bits)
    found = images.near_duplicates(about, np.empty((n, 0)), first=25)
    pairs = every_pair(of, 4)
    split = about["split"].to_numpy()
    across = split[pairs[:, 0]] != split[pairs[:, 1]]
    assert found.facts == {"pairs": len(pairs), "across_splits": int(across.sum())}
    assert found.frame["first"].tolist() == [f"{i}.png" for i in pairs[:25, 0]]
    assert found.frame["second"].tolist() == [f"{i}.png" for i in pairs[:25, 1]]
    assert found.frame["across splits"].tolist() == across[:25].tolist()
