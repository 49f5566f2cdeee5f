"""Single cells of acute lymphoblastic leukaemia (ALL-IDB2, University of Milan)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    import numpy as np

    from alnet_lib.cohorts.manifest import Cohort

_NAME = re.compile(r"Im\d{3}_([01])\.tif", re.IGNORECASE)


@register(
    Source(
        name="all_idb2",
        kind="public",
        images="260",
        citation="Labati, Piuri and Scotti, IEEE International Conference on Image Processing (2011)",
        licence="on request, research only",
        home="ALL-IDB, University of Milan (homes.di.unimi.it/scotti/all), on request",
        about=__doc__,
        download="ALL_IDB2, the single cells",
        layout="Im<NNN>_{0,1}.tif, in one folder (img)",
        scale="unknown; the crop makes the median segmented blast as large as one in a CellaVision picture",
        identifiers="none",
        oddities=(
            "257x257, some not square; the label is the last digit of the name; cells are cut out of "
            "ALL-IDB1's pictures, some "
            "of them twice"
        ),
        mapping={"1": "b_lymphoblast"},
        why={
            "1": "a blast of ALL; B and T are not separated; B is the usual lineage",
            "0": "any cell that is not a blast, its type is not given",
        },
        counts={"Im<NNN>_1.tif": 130},
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read the blasts of a folder in the original layout; some images are opened to measure the scale.

    Parameters
    ----------
    source : Source
        This source.
    data : Path, optional
        Folder of the original download.
    seed : int
        Of a split that the source does not bring.

    Returns
    -------
    Cohort
        With the source's labels translated to ours.

    Raises
    ------
    CohortError
        The folder is not this data set, or blasts are missing.
    """
    root = layout.find(source, data, ["|".join(f"Im{number:03d}_1.tif" for number in range(1, 131))])
    rows, others = [], 0
    for path in layout.pictures(root, {".tif"}):
        if name := _NAME.fullmatch(path.name):
            others += name[1] not in source.mapping
            rows += [{"path": path.name, "cell_type": source.mapping[name[1]]}] if name[1] in source.mapping else []
    more = layout.complete(source, {"Im<NNN>_1.tif": len(rows)}, source.counts)
    rows, scale = layout.measured(root, rows, _diameter)
    notes = ["blasts are not split into B and T: all are taken as B, the usual lineage", scale, *more]
    return layout.cohort(source, root, rows, seed, excluded={"0: not a blast, type not given": others}, notes=notes)


def _diameter(pixels: np.ndarray) -> float:
    from alnet_lib.imaging import segmentation  # heavy, and this source alone needs it

    found = segmentation.segment(pixels)
    return 0.0 if found is None or found.touches_border else segmentation.across(found.cell)
