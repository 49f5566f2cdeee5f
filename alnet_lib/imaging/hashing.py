"""Perceptual hashes of images, and pairs of hashes that are nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from PIL import Image

MOST_BANDED = 8
"""Differing bits up to which bands help; for more, every pair is compared."""

AT_A_TIME = 1_000_000
"""Pairs compared at a time, so that memory stays below 100 MB."""


def perceptual_hashes(array: np.ndarray) -> np.ndarray:
    """Hash each image so that near copies get near hashes (DCT hash, imagehash.phash).

    Parameters
    ----------
    array : ndarray
        uint8 (n, S, S, 3), RGB; may be memory-mapped.

    Returns
    -------
    ndarray
        bool (n, 64).
    """
    import imagehash

    found = np.empty((len(array), 64), bool)
    for row, image in enumerate(array):
        found[row] = imagehash.phash(Image.fromarray(image)).hash.ravel()
    return found


def near(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Find the pairs of distinct hashes that differ in few bits; none is missed.

    The 64 bits are cut into `bits` + 2 bands: hashes that differ in `bits` bits at most agree in two bands at least, so
    only those that do are compared, for each two bands in turn.

    Parameters
    ----------
    hashes : ndarray
        uint64 (n,), all different.
    bits : int
        Bits, 0 to 64, in which the hashes of a pair differ at most.

    Returns
    -------
    ndarray
        int64 (pairs, 2), positions, the smaller first; in their order.
    """
    found = [np.empty(0, np.int64)]
    for key in _keys(hashes, bits):
        order = np.argsort(key, kind="stable")
        for one, other in _within(key[order]):
            first, second = order[one], order[other]
            close = np.bitwise_count(hashes[first] ^ hashes[second]) <= bits
            first, second = first[close], second[close]
            found.append(np.minimum(first, second) * len(hashes) + np.maximum(first, second))
    pairs = np.unique(np.concatenate(found))
    return np.stack(np.divmod(pairs, max(len(hashes), 1)), axis=1)


def _keys(hashes: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    if bits > MOST_BANDED:
        yield np.zeros_like(hashes)
        return
    edges = np.linspace(0, 64, bits + 3).astype(int)
    bands = [((1 << int(b)) - 1) ^ ((1 << int(a)) - 1) for a, b in pairwise(edges)]
    for one, other in combinations(bands, 2):
        yield hashes & np.uint64(one | other)


def _within(key: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of positions with the same key, keys in order."""
    n = len(key)
    last = np.append(np.flatnonzero(key[1:] != key[:-1]), n - 1) if n else np.empty(0, int)
    followers = np.repeat(last, np.diff(last, prepend=-1)) - np.arange(n)
    some = np.flatnonzero(followers)
    # Parts of about AT_A_TIME pairs: the first position of each part.
    part_of = np.cumsum(followers[some]) // AT_A_TIME
    for rows in np.split(some, np.flatnonzero(np.diff(part_of)) + 1):
        count = followers[rows]
        one = np.repeat(rows, count)
        yield one, one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
