"""The synthetic cohort: the paper's composition, every cell computed from named parameters. Not patients."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import joblib
import pandas as pd

from alnet_lib.cohorts.adapters.source import SOURCES, Source, register
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.synthetic import drawing, morphology
from alnet_lib.cohorts.synthetic.composition import HOME, composition
from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, sha256, write_text
from alnet_lib.core.resources import cores

if TYPE_CHECKING:
    import numpy as np

    from alnet_lib.core.progress import Progress

NAME = "synthetic"


JPEG_QUALITY = 92


NOTES = (
    "every image is drawn by a program: nothing here is evidence about patients or about the paper",
    "composition follows the rows of the paper's Tables 1, 2 and 6; printed totals of smears differ from the rows",
)


@register(
    Source(
        name=NAME,
        kind="synthetic",
        images="16,450 and 381 external at cohort fraction 1, drawn on the spot",
        citation="drawn by alnet_lib; composition of Boldú et al. 2021, Tables 1, 2 and 6",
        licence="MIT, as the kit",
        home="embedded: needs no download",
        about=__doc__,
        identifiers="patient and smear",
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Give the manifest of the whole cohort; nothing is drawn.

    Parameters
    ----------
    source : Source
        The synthetic cohort.
    data : Path, optional
        Folder that paths start from; default the working directory.
    seed : int
        Of everything drawn.

    Returns
    -------
    Cohort
        Without image files; `build` draws them.
    """
    return _cohort(source, data or Path(), manifest_of(1.0, seed))


def _cohort(source: Source, out: Path, manifest: pd.DataFrame) -> Cohort:
    return Cohort(source.name, source.kind, out, manifest, source.citation, source.licence, NOTES)


def build(
    out: Path,
    *,
    fraction: float = 1.0,
    seed: int = 2021,
    manifest_only: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Draw the cohort into out/images, 360 x 363 RGB JPEG; images already there are kept.

    Parameters
    ----------
    out : Path
        Folder to write.
    fraction : float
        In (0, 1], share of the images.
    seed : int
        Of everything drawn; the same seed gives the same bytes, whatever the number of workers.
    manifest_only : bool
        Draw nothing.
    workers : int, optional
        Processes; default one a processor.
    progress : callable, optional
        Called with images drawn and in all.

    Returns
    -------
    Cohort
        Not yet validated.

    Raises
    ------
    ValueError
        A fraction outside (0, 1].
    OSError
        The folder cannot be written.
    """
    manifest = manifest_of(fraction, seed)
    if not manifest_only:
        _forget_other_drawings(out, fraction, seed)
        _draw_all(manifest, out, seed, workers, progress)
    return _cohort(SOURCES[NAME], out, manifest)


def manifest_of(fraction: float, seed: int) -> pd.DataFrame:
    """Make the manifest with the drawing parameters of each image.

    Parameters
    ----------
    fraction : float
        In (0, 1], share of the images.
    seed : int
        Of the cohort.

    Returns
    -------
    DataFrame
        The manifest's columns, and `draw_...`.
    """
    manifest = composition(fraction, seed)
    return pd.concat([manifest, morphology.parameters(manifest, seed)], axis=1)


def draw(row: Mapping[str, Any], seed: int = 2021) -> np.ndarray:
    """Draw the image of a manifest row, before JPEG compression.

    Parameters
    ----------
    row : mapping
        A row of `manifest_of`.
    seed : int
        Of the cohort.

    Returns
    -------
    ndarray
        uint8 (363, 360, 3), RGB.
    """
    return drawing.draw(_criteria(row), row["cell_type"], _optics(row, seed), _generator(row, seed))


def masks(row: Mapping[str, Any], seed: int = 2021) -> tuple[np.ndarray, np.ndarray]:
    """Give the reference masks of a manifest row.

    Parameters
    ----------
    row : mapping
        A row of `manifest_of`.
    seed : int
        Of the cohort.

    Returns
    -------
    cell, nucleus : ndarray
        bool (363, 360).
    """
    return drawing.masks(_criteria(row), _optics(row, seed), _generator(row, seed))


def extras(n_per_type: int = 1, seed: int = 2021) -> dict[str, list[np.ndarray]]:
    """Draw neutrophils, eosinophils and basophils (Fig. 6A), which are no part of the cohort.

    Parameters
    ----------
    n_per_type : int
        Images of each type.
    seed : int
        Of the cohort.

    Returns
    -------
    dict of str to list of ndarray
        Cell type to images, uint8 (363, 360, 3), RGB.
    """
    pictures: dict[str, list[np.ndarray]] = {}
    for cell_type in ("neutrophil", "eosinophil", "basophil"):
        rows = pd.DataFrame({"image_id": [f"{cell_type}-{i}" for i in range(n_per_type)]})
        rows = rows.assign(cell_type=cell_type, patient_id="extra", smear_id="extra", site=HOME)
        rows = pd.concat([rows, morphology.parameters(rows, seed)], axis=1)
        pictures[cell_type] = [draw(row, seed) for row in rows.to_dict("records")]
    return pictures


def _criteria(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[f"draw_{name}"]) for name in morphology.CRITERIA}


def _optics(row: Mapping[str, Any], seed: int) -> dict[str, float]:
    return morphology.optics(row["site"], row["smear_id"], seed)


def _generator(row: Mapping[str, Any], seed: int) -> np.random.Generator:
    return morphology.generator(seed, "picture", row["image_id"])


def _write(rows: list[dict[str, Any]], out: str, seed: int) -> int:
    # Two processes with a pool of threads each would only wait for each other.
    cv2.setNumThreads(1)
    for row in rows:
        path = Path(out) / row["path"]
        if path.is_file():
            continue
        bgr = cv2.cvtColor(draw(row, seed), cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with atomic_path(path) as temporary:
            temporary.write_bytes(data.tobytes())
    return len(rows)


def _forget_other_drawings(out: Path, fraction: float, seed: int) -> None:
    """Remove images of another seed, fraction or version of the drawing code."""
    code = code_hash(*(f"alnet_lib.cohorts.synthetic.{name}" for name in ("composition", "drawing", "morphology")))
    key, mark = sha256(f"{seed} {fraction} {JPEG_QUALITY}", code), out / "drawn.txt"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(out / "images", ignore_errors=True)
        write_text(mark, key)


def _draw_all(manifest: pd.DataFrame, out: Path, seed: int, workers: int | None, progress: Progress | None) -> None:
    done, total = 0, len(manifest)
    rows = manifest.to_dict("records")
    parts = [rows[first : first + 40] for first in range(0, total, 40)]
    # Workers are started afresh, not forked: a forked copy of OpenCV's threads never ends.
    drawn = joblib.Parallel(n_jobs=workers or cores(), return_as="generator")(
        joblib.delayed(_write)(part, str(out), seed) for part in parts
    )
    for count in drawn:
        done += count
        if progress:
            progress(done, total)
