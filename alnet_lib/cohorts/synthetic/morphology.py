"""How each cell type looks, as numbers, and how patients, smears and cells vary about them.

Criteria and their usual values follow the descriptions of haematology texts: B. J. Bain, Leukaemia Diagnosis, 4th ed.,
2010 (the paper's reference 33), and Blood Cells, 5th ed., 2015; L. Palmer et al. (ICSH nomenclature of peripheral-blood
cells), Int. J. Lab. Hematol. 37:287, 2015; for APL and its hypogranular variant, J. M. Bennett et al. (FAB), Br. J.
Haematol. 44:169, 1980. The numbers are our reading of those descriptions, tuned on the appearance of real cells; they
are not measurements of the hospital's patients.
"""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from alnet_lib.cohorts.synthetic.composition import EAST, HOME, WEST
from alnet_lib.core.vocabulary import CELL_DIAMETERS

CRITERIA: dict[str, tuple[str, float, float]] = {
    "cell_diameter": ("diameter of the cell, micrometres", 6.0, 26.0),
    "nc_ratio": ("nucleus area over cell area", 0.25, 0.94),
    "elongation": ("longest over shortest axis of the cell", 1.0, 1.9),
    "outline_irregularity": ("waviness of the outline, share of the radius", 0.0, 0.2),
    "blebs": ("cytoplasmic blebs", 0.0, 6.0),
    "skirting": ("how far the outline gives way to red cells, 0 to 1", 0.0, 1.0),
    "nucleus_elongation": ("longest over shortest axis of the nucleus", 1.0, 1.8),
    "nucleus_irregularity": ("waviness of the nuclear outline, share of the radius", 0.0, 0.2),
    "indentation": ("depth of one notch (kidney shape), share of the radius", 0.0, 0.75),
    "bilobation": ("depth of two opposed notches, share of the radius", 0.0, 0.8),
    "folds": ("folds across the nucleus", 0.0, 3.0),
    "eccentricity": ("offset of the nucleus, share of the free room", 0.0, 1.0),
    "chromatin_density": ("optical density of the chromatin, 1 = blast", 0.6, 1.8),
    "chromatin_coarseness": ("0 fine and open, 1 condensed in clumps", 0.0, 1.0),
    "nucleoli": ("nucleoli", 0.0, 5.0),
    "nucleolus_prominence": ("0 hidden, 1 pale with a dark rim", 0.0, 1.0),
    "basophilia": ("blueness of the cytoplasm, optical density", 0.1, 1.3),
    "rim_basophilia": ("darker blue towards the rim", 0.0, 1.0),
    "granules": ("azurophil granules", 0.0, 420.0),
    "granule_size": ("diameter of a granule, micrometres", 0.2, 0.9),
    "auer_rods": ("Auer rods", 0.0, 12.0),
    "vacuoles": ("cytoplasmic vacuoles", 0.0, 14.0),
}
"""Name -> (definition and unit, lowest, highest value)."""


_COLUMNS = tuple(CRITERIA)


_TABLE = """
lymphocyte            .70  1.08 .055 .2  .05  1.16 .05  .10 .0   .0  .45 1.16 .52 .0  .0  .88 .15  3   .35 .0  .1
monocyte              .52  1.12 .09  .7  .10  1.25 .08  .45 .05  1.4 .35 .86  .42 .0  .0  .76 .08 30   .22 .0 2.5
reactive_lymphocyte   .49  1.20 .10  .6  .75  1.22 .10  .12 .0   .3  .55 .96  .46 .3  .35 .56 .70  4   .35 .0  .5
abnormal_promyelocyte .69  1.14 .085 .6  .10  1.18 .08  .18 .30  .7  .50 .83  .28 .9  .45 1.0 .15 250  .42 1.5 .3
myeloblast            .77  1.12 .075 .4  .15  1.14 .11  .20 .0   .4  .42 .88  .36 2.2 .62 1.12 .25 10   .35 .12 .3
monoblast             .70  1.14 .09  .5  .15  1.16 .11  .22 .0   .8  .42 .83  .28 1.6 .66 1.12 .35 14  .28 .03 1.4
b_lymphoblast         .86  1.10 .065 .2  .10  1.12 .09  .18 .0   .4  .40 .94  .44 1.0 .30 1.0 .25  1   .35 .0  .4
neutrophil            .42  1.05 .03  .0  .05  1.30 .05  .30 .62  .0  .10 1.40 .80 .0  .0  .16 .0  260  .22 .0  .0
eosinophil            .36  1.05 .03  .0  .05  1.35 .04  .10 .70  .0  .35 1.35 .80 .0  .0  .16 .0  400  .62 .0  .0
basophil              .45  1.05 .03  .0  .05  1.20 .05  .25 .40  .0  .20 1.10 .60 .0  .0  .22 .0   90  .80 .0  .0
"""


_SPREAD = """
lymphocyte            1.0  .07  .05  .015 .3  .08  .06  .015 .09 .0   .1  .25 .12  .10 .2  .1  .15 .12  4   .08 .0  .4
monocyte              2.0  .08  .10  .02  .9  .12  .15  .03  .20 .08  .8  .25 .11  .14 .3  .1  .10 .08 25   .05 .0 2.6
reactive_lymphocyte   2.4  .10  .16  .03  .9  .25  .13  .04  .12 .0   .5  .25 .14  .16 .6  .3  .18 .22  6   .08 .0  .9
abnormal_promyelocyte 2.4  .10  .10  .025 .8  .12  .10  .03  .16 .28  .7  .25 .12  .13 .9  .25 .15 .13 110  .10 2.4 .8
myeloblast            2.2  .08  .08  .02  .5  .15  .08  .025 .12 .0   .5  .25 .13  .13 1.2 .22 .17 .15 14   .08 .4  .8
monoblast             2.2  .08  .09  .02  .7  .15  .09  .03  .13 .0   .7  .25 .12  .12 1.1 .20 .16 .16 16   .07 .2 1.8
b_lymphoblast         1.8  .06  .08  .02  .4  .12  .08  .025 .12 .0   .5  .25 .14  .15 1.0 .24 .17 .16  2   .08 .0  .9
neutrophil            1.0  .05  .04  .01  .1  .05  .12  .02  .20 .15  .0  .10 .10  .10 .0  .0  .05 .0  60   .04 .0  .0
eosinophil            1.0  .05  .04  .01  .1  .05  .12  .02  .08 .08  .0  .15 .10  .10 .0  .0  .05 .0  40   .08 .0  .0
basophil              1.0  .06  .04  .01  .1  .05  .10  .02  .15 .20  .0  .15 .10  .10 .0  .0  .06 .0  25   .12 .0  .0
"""


SHARES = {"patient": 0.45, "smear": 0.20, "cell": 0.87}
"""Weights of the standard normal draws of patient, smear and cell; their squares add up to 1."""


ATYPICAL = {"b_lymphoblast": ("myeloblast", 0.18), "myeloblast": ("b_lymphoblast", 0.10)}
"""Cell type -> (the type some patients' cells lean to, share of such patients)."""


LEANING = 0.6
"""How far an atypical patient's means move towards the other type."""


HYPOGRANULAR = 0.2
"""Share of APL patients with the hypogranular variant: few granules, a deeply bilobed nucleus."""


def _parse(text: str, columns: tuple[str, ...]) -> pd.DataFrame:
    lines = [line.split() for line in text.strip().splitlines()]
    return pd.DataFrame([map(float, line[1:]) for line in lines], index=[line[0] for line in lines], columns=columns)


MEAN: pd.DataFrame = _parse(_TABLE, _COLUMNS[1:])
MEAN.insert(0, _COLUMNS[0], pd.Series(CELL_DIAMETERS))
"""Cell type x criterion: the usual value; diameters are those that real sources are scaled by."""


SPREAD: pd.DataFrame = _parse(_SPREAD, _COLUMNS)
"""Cell type x criterion: one standard deviation over all cells of the type."""


_DRAWN_AS = {"external-west-": "external-josep-", "external-east-": "external-germans-"}
"""Names of smears -> the names that their generators are seeded with. Smears were once named so; with a seed of
another name every cell would be another."""


def generator(seed: int, purpose: str, name: str) -> np.random.Generator:
    """Make a generator for one thing of one name, independent of whatever else is drawn.

    Parameters
    ----------
    seed : int
        Of the cohort.
    purpose, name : str
        What is drawn, and of whom.

    Returns
    -------
    numpy.random.Generator
        The same for the same arguments.
    """
    for shown, drawn in _DRAWN_AS.items():
        name = name.replace(shown, drawn)
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), zlib.crc32(name.encode())])


def patient_means(cell_type: str, patient: str, seed: int) -> tuple[np.ndarray, str]:
    """Choose the usual values of one patient's cells.

    Parameters
    ----------
    cell_type, patient : str
        Of the cells.
    seed : int
        Of the cohort.

    Returns
    -------
    means : ndarray
        float (22,), in the order of CRITERIA.
    variant : str
        `typical`, `leaning` or `hypogranular`.
    """
    mean = MEAN.loc[cell_type].to_numpy().copy()
    rng = generator(seed, f"variant/{cell_type}", patient)
    chance = rng.random()
    other, share = ATYPICAL.get(cell_type, ("", 0.0))
    if chance < share:
        return mean + LEANING * (MEAN.loc[other].to_numpy() - mean), "leaning"
    if cell_type == "abnormal_promyelocyte" and chance < HYPOGRANULAR:
        mean[_COLUMNS.index("granules")] = 25
        mean[_COLUMNS.index("auer_rods")] = 0.2
        mean[_COLUMNS.index("bilobation")] = 0.55
        return mean, "hypogranular"
    return mean, "typical"


def parameters(manifest: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Choose the drawing parameters of every image.

    value = patient's mean + spread x (patient, smear and cell deviations weighted by SHARES), kept in the range of
    CRITERIA; the same for a row whatever other rows there are.

    Parameters
    ----------
    manifest : DataFrame
        cell_type, patient_id, smear_id and image_id.
    seed : int
        Of the cohort.

    Returns
    -------
    DataFrame
        The criteria as `draw_<name>`, and the patient's `draw_variant`.
    """
    low = np.array([c[1] for c in CRITERIA.values()])
    high = np.array([c[2] for c in CRITERIA.values()])
    values, variants = np.empty((len(manifest), len(_COLUMNS))), []
    known: dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray, str]] = {}
    for position, row in enumerate(
        manifest[["cell_type", "patient_id", "smear_id", "image_id"]].itertuples(index=False)
    ):
        key = (row.cell_type, row.patient_id, row.smear_id)
        if key not in known:
            mean, variant = patient_means(row.cell_type, row.patient_id, seed)
            patient = generator(seed, f"patient/{row.cell_type}", row.patient_id).standard_normal(len(_COLUMNS))
            smear = generator(seed, "smear", row.smear_id).standard_normal(len(_COLUMNS))
            known[key] = (mean, SHARES["patient"] * patient + SHARES["smear"] * smear, variant)
        mean, above, variant = known[key]
        cell = generator(seed, "cell", row.image_id).standard_normal(len(_COLUMNS))
        deviation = above + SHARES["cell"] * cell
        values[position] = np.clip(mean + SPREAD.loc[row.cell_type].to_numpy() * deviation, low, high)
        variants.append(variant)
    frame = pd.DataFrame(values.round(4), columns=[f"draw_{name}" for name in _COLUMNS], index=manifest.index)
    return frame.assign(draw_variant=variants)


SITES: dict[str, dict[str, float]] = {
    HOME: {"hue": 0.0, "blur": 0.78, "zoom": 1.0, "warmth": 1.0},
    WEST: {"hue": 0.16, "blur": 1.4, "zoom": 0.93, "warmth": 0.3},
    EAST: {"hue": -0.14, "blur": 0.55, "zoom": 1.08, "warmth": 0.7},
}
"""Stain hue shift, blur in pixels, magnification, warmth of the background: they differ as hospitals do in Fig. 5."""


def optics(site: str, smear: str, seed: int) -> dict[str, float]:
    """Choose stain and optics of one smear: the site's, varied.

    Parameters
    ----------
    site, smear : str
        A key of SITES, and the smear's name.
    seed : int
        Of the cohort.

    Returns
    -------
    dict of str to float
        As in SITES, and stain, pinkness (of eosin), density (red cells in an image), pallor, crenation and noise.
    """
    rng = generator(seed, "optics", smear)
    own = SITES[site]
    return {
        "hue": own["hue"] + rng.normal(0, 0.05),
        "blur": max(own["blur"] + rng.normal(0, 0.18), 0.25),
        "zoom": own["zoom"],
        "warmth": float(np.clip(own["warmth"] + rng.normal(0, 0.03), 0, 1)),
        "stain": rng.normal(1.0, 0.10),
        "pinkness": rng.normal(1.03, 0.10),
        "density": rng.uniform(7, 20),
        "pallor": rng.uniform(0.35, 0.85),
        "crenation": max(rng.normal(-0.012, 0.015), 0.0),
        "noise": rng.uniform(0.8, 1.8),
    }
