"""Contact sheets of synthetic cells for docs/ and the README: `python benchmarks/sheets.py [SCREENSHOT]`.

docs/twin.jpg: every cell type. docs/segmentation.jpg: outlines that the segmentation finds. With a screenshot of a
report, figures/overview.jpg puts both side by side. No picture of a patient is used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from alnet_lib.cohorts.synthetic import twin
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.imaging import segmentation

ROOT = Path(__file__).parent.parent
SEED, SIDE, ACROSS = 2021, 180, 8
GREEN, YELLOW = (0, 170, 60), (255, 210, 0)


def rows() -> dict[str, list[dict]]:
    """Eight cells of each type, drawn at random from the whole cohort."""
    manifest = twin.manifest_of(1.0, SEED).query("split != 'external'")
    return {
        name: own.sample(ACROSS, random_state=SEED).to_dict("records")
        for name, own in manifest.groupby("cell_type", sort=False)
    }


def outlined(picture: np.ndarray) -> np.ndarray:
    """The picture with the outlines of cell and nucleus."""
    found, shown = segmentation.segment(picture), picture.copy()
    if found is not None:
        for mask, colour in ((found.cell, GREEN), (found.nucleus, YELLOW)):
            contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(shown, contours, -1, colour, 3)
    return shown


def sheet(pictures: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Rows of pictures with the type's name above each row."""
    lines = []
    for name, own in pictures.items():
        strip = np.hstack([cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in own])
        head = np.full((26, strip.shape[1], 3), 255, np.uint8)
        cv2.putText(head, LABELS[name], (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 37, 48), 1, cv2.LINE_AA)
        lines += [head, strip]
    return np.vstack(lines)


def write(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture as JPEG: as PNG the sheets are megabytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def main(screenshot: str = "") -> None:
    """Draw the sheets."""
    chosen = rows()
    with Parallel(n_jobs=-1) as pool:
        flat = pool(delayed(twin.draw)(row) for own in chosen.values() for row in own)
    pictures = {name: flat[i * ACROSS : (i + 1) * ACROSS] for i, name in enumerate(chosen)}
    cells = sheet(pictures)
    write(ROOT / "docs" / "twin.jpg", cells)
    few = {name: [outlined(p) for p in own[:6]] for name, own in pictures.items()}
    write(ROOT / "docs" / "segmentation.jpg", sheet(few))
    if screenshot:
        page = cv2.imread(screenshot)[:, :, ::-1]
        height = 900
        parts = [cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA)
                 for p in (cells, page[: round(page.shape[1] * 1.25)])]  # fmt: skip
        gap = np.full((height, 24, 3), 255, np.uint8)
        write(ROOT / "figures" / "overview.jpg", np.hstack([parts[0], gap, parts[1]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
