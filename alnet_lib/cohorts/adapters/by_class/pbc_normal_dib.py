"""Peripheral-blood cells of healthy people from the paper's own hospital (Hospital Clínic, Barcelona).

Lymphocytes and monocytes become the two control classes. The other types are no class of ALNet; above all PMY, a normal
promyelocyte, is never an abnormal one of APL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


@register(
    Source(
        name="pbc_normal_dib",
        kind="public",
        images="17,092 of healthy people",
        citation="Acevedo et al., Data in Brief 30:105474 (2020)",
        licence="CC BY 4.0",
        home="Mendeley Data, doi 10.17632/snkd93bnjr.1",
        about=__doc__,
        download="the data set, one archive",
        layout="PBC_dataset_normal_DIB/<8 classes>/<PREFIX>_<number>.jpg",
        scale=(
            "0.1 micrometre a pixel (CellaVision DM96, 100x; red cells measure 7.5 micrometres); the "
            "image is used whole"
        ),
        identifiers="none",
        oddities=(
            "prefixes are finer than folders (PMY, MY, MMY in ig); some pictures are 366x369 with a "
            "bluish tone; 17 pairs of "
            "byte-identical pictures, one of them across two classes"
        ),
        mapping={"lymphocyte": "lymphocyte", "monocyte": "monocyte"},
        why={
            "lymphocyte": "of healthy people",
            "monocyte": "of healthy people",
            "ig": "immature granulocytes; PMY are normal promyelocytes, not the abnormal ones of APL",
            "neutrophil, eosinophil, basophil, erythroblast, platelet": "no class of ALNet",
        },
        counts={"lymphocyte": 1214, "monocyte": 1420},
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
    root = layout.find(source, data, ["lymphocyte", "monocyte", "ig", "platelet"])
    return layout.read_folders(source, root, seed, {".jpg"})
