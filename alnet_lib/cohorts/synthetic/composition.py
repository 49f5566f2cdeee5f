"""Who is in the synthetic cohort: the patients, smears and images of the paper's Tables 1, 2 and 6.

composition.csv holds the rows of the three tables. The paper prints smears per cell type, not per WHO subtype: those of
the myeloblast and B-lymphoblast rows are shared out by images, with at least one on each side, and add up to the
printed 200 and 25, 48 and 27. Where printed totals disagree with their rows (623 and 108 smears), the rows hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EAST, HOME, WEST = "synthetic east site", "synthetic home site", "synthetic west site"
"""Sites that no one takes for a hospital: east and west are the external ones. The draws of notebook 01 go through the
sites by name, so other names in another order would give other samples."""


MIN_CELLS = {"train": 3, "test": 8, "external": 8}
"""A smear of a smaller cohort keeps at least so many cells where its group has them. Smears that vote keep more,
because a vote of a few cells shows nothing (the paper's testing smears have 30 on average); smears to train on may be
many and small, because networks learn from the variety of patients."""


EXTERNAL = (
    (WEST, "myeloblast", "AML", 3, 202),
    (EAST, "myeloblast", "AML", 2, 120),
    (WEST, "b_lymphoblast", "ALL", 1, 33),
    (EAST, "b_lymphoblast", "ALL", 1, 26),
)
"""Site, cell type, diagnosis, smears, images. The paper prints 322 myeloid blasts and 59 B-lymphoblasts in 5 and 2
smears of two hospitals together; how the two sites share them is our choice."""


def groups() -> pd.DataFrame:
    """Read composition.csv.

    Returns
    -------
    DataFrame
        One row a cell type and subtype: patients, smears and images by split.
    """
    return pd.read_csv(Path(__file__).with_name("composition.csv"), keep_default_na=False)


def composition(fraction: float = 1.0, seed: int = 2021) -> pd.DataFrame:
    """Make the manifest of the synthetic cohort, without its images.

    A patient's smears are dealt to train and test one by one, as in the paper, whose patients have several and whose
    split is by smear; so some patients are on both sides.

    Parameters
    ----------
    fraction : float
        In (0, 1], share of the images of every group and split; none vanishes. Smears and patients shrink only when a
        smear would have fewer than MIN_CELLS cells.
    seed : int
        Of patients and sizes of smears.

    Returns
    -------
    DataFrame
        The manifest's columns, one row an image.

    Raises
    ------
    ValueError
        A fraction outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"cohort fraction {fraction}: a share of the images, above 0 and at most 1")
    rng = np.random.default_rng([seed, 1])
    parts = []
    for number, group in enumerate(groups().itertuples()):
        sizes = {
            split: _cells(
                getattr(group, f"images_{split}"), getattr(group, f"smears_{split}"), MIN_CELLS[split], fraction, rng
            )
            for split in ("train", "test")
        }
        smears = [(split, int(size)) for split in ("train", "test") for size in sizes[split]]
        patients = _patients(min(group.patients, len(smears)), len(smears), rng)
        if group.cell_type == "monocyte":
            # Healthy controls give lymphocyte smears, monocyte smears or both; together they are 100 people.
            patients = group.patients - 1 - patients
        prefix = "C" if group.diagnosis == "control" else f"P{number:02d}-"
        for index, ((split, size), patient) in enumerate(zip(smears, patients, strict=True)):
            parts.append(
                _smear(
                    f"{group.cell_type}-{number:02d}-{index:03d}", f"{prefix}{patient:03d}", HOME, group, split, size
                )
            )
    for site, cell_type, diagnosis, count, images in EXTERNAL:
        own = _cells(images, count, MIN_CELLS["external"], fraction, rng)
        for index, size in enumerate(own):
            name = f"external-{site.split()[1]}-{cell_type}-{index}"
            about = pd.Series({"cell_type": cell_type, "diagnosis": diagnosis, "subtype": ""})
            parts.append(_smear(name, f"E-{name}", site, about, "external", size))
    return pd.concat(parts, ignore_index=True)


def _cells(images: int, smears: int, least: int, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Cells of each smear: `images` x fraction in all, at least one each, unevenly as in practice."""
    wanted = max(round(images * fraction), min(images, least))
    kept = max(min(smears, wanted // least), 1)
    extra = rng.multinomial(wanted - kept, rng.dirichlet(np.full(kept, 3.0)))
    return extra + 1 if fraction == 1 else _even(wanted, kept)


def _even(wanted: int, kept: int) -> np.ndarray:
    return np.full(kept, wanted // kept) + (np.arange(kept) < wanted % kept)


def _patients(patients: int, smears: int, rng: np.random.Generator) -> np.ndarray:
    """Which patient each smear is of: everyone has one, the others fall at random, in random order."""
    return rng.permutation(np.concatenate([np.arange(patients), rng.integers(0, patients, smears - patients)]))


def _smear(name: str, patient: str, site: str, group: Any, split: str, size: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"{name}-{i:04d}" for i in range(size)],
            "path": [f"images/{name}/{name}-{i:04d}.jpg" for i in range(size)],
            "cell_type": group.cell_type,
            "smear_id": name,
            "patient_id": patient,
            "site": site,
            "diagnosis": group.diagnosis,
            "subtype": group.subtype,
            "split": split,
        }
    )
