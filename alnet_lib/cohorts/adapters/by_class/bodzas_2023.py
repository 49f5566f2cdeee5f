"""Pathological and normal white cells at high resolution, University Hospital Ostrava."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


@register(
    Source(
        name="bodzas_2023",
        kind="public",
        images="16,027 of 78 people",
        citation="Bodzas et al., Scientific Data 10:466 (2023)",
        licence="CC0 (its figshare page), CC BY 4.0 (its paper): check before use",
        home="figshare, doi 10.6084/m9.figshare.22680517",
        about=__doc__,
        download="the labelled cells, one archive of about 45 GB",
        layout="<class>/<n>.bmp",
        scale=(
            "42 pixels a micrometre (as its paper states), 1200x1200 pixels: 29 micrometres, where CellaVision shows 36"
        ),
        identifiers="none published",
        oddities=(
            "1200x1200 BMP of 4 MB each; the colour of the slide alone is said to separate its "
            "lymphoblasts from its lymphocytes"
        ),
        mapping={
            "Lymphoblast": "b_lymphoblast",
            "Myeloblast": "myeloblast",
            "Lymphocyte": "lymphocyte",
            "Monocyte": "monocyte",
        },
        why={
            "Lymphoblast": "blasts of lymphoid leukaemia; B and T are not separated; B is the usual lineage",
            "Myeloblast": "the same cell",
            "Lymphocyte": "the same cell",
            "Monocyte": "the same cell",
            "Neutrophile Segment, Neutrophile Band, Eosinophile, Basophile, Normoblast": "no class of ALNet",
        },
        counts={"Lymphoblast": 2557, "Myeloblast": 2534, "Lymphocyte": 3046, "Monocyte": 2040},
        micrometres_per_pixel=1 / 42,
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read a folder in the original layout.

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
        The folder is not this data set, or classes that are used are incomplete.
    """
    root = layout.find(source, data, list(source.mapping))
    notes = ["lymphoblasts are not split into B and T: all are taken as B, the usual lineage"]
    return layout.read_folders(source, root, seed, {".bmp"}, notes=notes)
