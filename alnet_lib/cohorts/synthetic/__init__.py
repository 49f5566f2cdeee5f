"""The synthetic twin: the paper's cohort, drawn. Not patients; every cell is computed from named parameters."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.synthetic import drawing, morphology
from alnet_lib.cohorts.synthetic.composition import composition
from alnet_lib.files import atomic_path, cores, sha256, write_text

NAME = "synthetic"
KIND = "synthetic"
IMAGES = "16,450 and 381 external at scale 1, drawn on the spot"
CITATION = "drawn by alnet_lib; composition of Boldú et al. 2021, Tables 1, 2 and 6"
LICENCE = "MIT, as the kit"
SOURCE = "embedded: needs no download"
IDENTIFIERS = "patient and smear"
JPEG_QUALITY = 92

NOTES = (
    "every picture is drawn by a program: nothing here is evidence about patients, or about the paper",
    "composition follows the rows of the paper's Tables 1, 2 and 6; printed totals of smears differ from the rows",
)


def build(
    out: Path,
    *,
    scale: float = 1.0,
    seed: int = 2021,
    manifest_only: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Draw the cohort into out/images, 360 x 363 RGB JPEG, and return it; pictures already there are kept.

    Parameters
    ----------
    scale: in (0, 1], share of the images. seed: of everything drawn; the same seed gives the same bytes, whatever the
    number of workers. manifest_only: draw nothing.

    Raises
    ------
    ValueError
        a scale outside (0, 1]. OSError: the folder cannot be written.
    """
    manifest = manifest_of(scale, seed)
    if not manifest_only:
        _forget_other_drawings(out, scale, seed)
        _draw_all(manifest, out, seed, workers, progress)
    return Cohort(NAME, KIND, out, manifest, CITATION, LICENCE, NOTES)


def manifest_of(scale: float, seed: int) -> pd.DataFrame:
    """The manifest with the drawing parameters of each image (`draw_...`)."""
    manifest = composition(scale, seed)
    return pd.concat([manifest, morphology.parameters(manifest, seed)], axis=1)


def draw(row: Mapping, seed: int = 2021) -> np.ndarray:
    """The picture of a manifest row, uint8 (363, 360, 3), before JPEG."""
    return drawing.draw(_criteria(row), row["cell_type"], _optics(row, seed), _generator(row, seed))


def masks(row: Mapping, seed: int = 2021) -> tuple[np.ndarray, np.ndarray]:
    """The true cell and nucleus masks of a manifest row, bool (363, 360)."""
    return drawing.masks(_criteria(row), _optics(row, seed), _generator(row, seed))


def extras(n_per_type: int = 1, seed: int = 2021) -> dict[str, list[np.ndarray]]:
    """Neutrophils, eosinophils and basophils (Fig. 6A), which are no part of the cohort: type -> pictures."""
    pictures: dict[str, list[np.ndarray]] = {}
    for cell_type in ("neutrophil", "eosinophil", "basophil"):
        rows = pd.DataFrame({"image_id": [f"{cell_type}-{i}" for i in range(n_per_type)]})
        rows = rows.assign(cell_type=cell_type, patient_id="extra", smear_id="extra", site="Hospital Clínic")
        rows = pd.concat([rows, morphology.parameters(rows, seed)], axis=1)
        pictures[cell_type] = [draw(row, seed) for row in rows.to_dict("records")]
    return pictures


def _criteria(row: Mapping) -> dict[str, float]:
    return {name: float(row[f"draw_{name}"]) for name in morphology.CRITERIA}


def _optics(row: Mapping, seed: int) -> dict[str, float]:
    return morphology.optics(row["site"], row["smear_id"], seed)


def _generator(row: Mapping, seed: int) -> np.random.Generator:
    return morphology.generator(seed, "picture", row["image_id"])


def _write(rows: list[dict], out: str, seed: int) -> int:
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


def _forget_other_drawings(out: Path, scale: float, seed: int) -> None:
    """Remove pictures of another seed, scale or version of the drawing code, so that only rightful ones are kept."""
    folder = Path(__file__).parent
    code = [folder / name for name in ("composition.csv", "composition.py", "drawing.py", "morphology.py")]
    key, mark = sha256(f"{seed} {scale} {JPEG_QUALITY}", *code), out / "drawn.txt"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(out / "images", ignore_errors=True)
        write_text(mark, key)


def _draw_all(manifest, out: Path, seed: int, workers: int | None, progress) -> None:
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
