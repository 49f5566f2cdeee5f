"""Single cells of peripheral blood from the Munich Leukemia Laboratory (MLL23), 18 classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


@register(
    Source(
        name="mll23",
        kind="public",
        images="41,621 (its page says 41,906)",
        citation="Shetab Boushehri et al., Scientific Data 12:1773 (2025)",
        licence="CC BY 4.0",
        home="Zenodo, doi 10.5281/zenodo.14277609",
        about=__doc__,
        download="the archives of the five classes used suffice",
        layout="<class>/<class>_<dddd>.TIF, or <class>/<class>/ where each archive has a folder of its own",
        scale="11.52 pixels a micrometre, 288x288 pixels: 25 micrometres, where CellaVision shows 36",
        identifiers="none",
        oddities="fewer files than its page says; upper-case .TIF; one archive a class",
        mapping={
            "lymphocyte": "lymphocyte",
            "monocyte": "monocyte",
            "lymphocyte_reactive": "reactive_lymphocyte",
            "promyelocyte_atypical": "abnormal_promyelocyte",
            "myeloblast": "myeloblast",
        },
        why={
            "lymphocyte": "typical lymphocyte",
            "monocyte": "the same cell",
            "lymphocyte_reactive": "the same cell",
            "promyelocyte_atypical": "the abnormal promyelocytes of APL",
            "myeloblast": "the same cell",
            "promyelocyte": "ordinary promyelocytes are not the abnormal ones of APL",
            "lymphocyte_neoplastic, hairy_cell, plasma_cell, lymphocyte_large_granular": "of lymphomas, no ALNet class",
            "neutrophil_segmented and the like": "no class of ALNet",
        },
        counts={
            "lymphocyte": 5532,
            "monocyte": 2510,
            "lymphocyte_reactive": 33,
            "promyelocyte_atypical": 2033,
            "myeloblast": 8606,
        },
        micrometres_per_pixel=1 / 11.52,
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
    root = layout.find(source, data, ["promyelocyte_atypical", "lymphocyte_reactive"])
    return layout.read_folders(source, root, seed, [".tif", ".tiff"])
