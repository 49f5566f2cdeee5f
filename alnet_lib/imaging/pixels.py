"""One uint8 pixel array per cohort and size, decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, reserve, sha256
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.resources import in_threads
from alnet_lib.imaging.decoding import Crop, picture, resize

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress


def pixel_file(cache: Path, content_hash: str, size: int, crop: float = 1.0) -> Path:
    """Path of the array that `pixel_array` makes with these arguments; it need not be there."""
    key = sha256(content_hash, f"{size} {crop}", code_hash("alnet_lib.imaging.decoding"))[:16]
    return cache / f"pixels_{key}.npy"


def pixel_array(
    files: Sequence[Path],
    crops: Sequence[Crop],
    size: int,
    *,
    crop: float = 1.0,
    cache: Path,
    content_hash: str,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """All pictures as one array, decoded once and memory-mapped; a damaged one is put aside and made again.

    Parameters
    ----------
    files : sequence of Path
        The image files, n of them.
    crops : sequence of Crop
        Where each cell lies in its file.
    size : int
        Pixels a side of the result.
    crop : float
        Central square kept, as a fraction of the shorter side, in (0, 1].
    cache : Path
        Folder of the array; its name changes with content, size, crop and the code that decodes.
    content_hash : str
        Changes with the files' contents and crops.
    allow_truncated : bool
        Use JPEG files that end early.
    workers : int, optional
        Threads; default one a processor.
    progress : callable, optional
        Called with images done and in all.

    Returns
    -------
    ndarray
        uint8 (n, size, size, 3), RGB, read-only.

    Raises
    ------
    ImageError
        An image that cannot be used.
    """
    path = pixel_file(cache, content_hash, size, crop)
    shape = (len(files), size, size, 3)

    def mapped(path: Path) -> np.ndarray:
        array = np.load(path, mmap_mode="r")
        if array.shape != shape or array.dtype != np.uint8:
            raise ValueError(f"it holds {array.dtype} {array.shape}, not uint8 {shape}")
        return array

    cache.mkdir(parents=True, exist_ok=True)
    # Notebooks that run side by side need the same pixels: one of them decodes, the other waits.
    with FileLock(cache / ".lock"):
        # Gigabytes are not read for a digest; `alnet verify` does that.
        if (array := kept(path, mapped, full=False)) is None:
            with atomic_path(path) as temporary:
                made = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
                with open(temporary, "r+b") as file:
                    reserve(file.fileno(), temporary.stat().st_size)

                def fill(row: int) -> None:
                    made[row] = resize(
                        picture(files[row], crops[row], allow_truncated=allow_truncated), size, crop=crop
                    )

                for done, _ in enumerate(in_threads(fill, len(files), workers), start=1):
                    if progress:
                        progress(done, len(files))
                made.flush()
            array = mapped(path)
    return array
