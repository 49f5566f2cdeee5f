"""Perceptual hashes of images."""

from __future__ import annotations

import numpy as np
from PIL import Image


def perceptual_hashes(array: np.ndarray) -> np.ndarray:
    """Hash each image so that near copies get near hashes (DCT hash, imagehash.phash).

    Parameters
    ----------
    array : ndarray
        uint8 (n, S, S, 3), RGB.

    Returns
    -------
    ndarray
        bool (n, 64).
    """
    import imagehash

    return np.array([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in array]).reshape(-1, 64)
