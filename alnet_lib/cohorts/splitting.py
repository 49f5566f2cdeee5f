"""Splits that an adapter or the user asks for: by patient, or by image where a source knows no patient."""

from __future__ import annotations

import numpy as np
import pandas as pd


def by_patient(manifest: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Split again, every patient on one side; external rows stay what they are.

    Within each diagnosis and most frequent cell type, patients in random order go to testing until it has about as
    many images as the given split puts there; a group of two patients or more keeps one on each side.

    Parameters
    ----------
    manifest : DataFrame
        patient_id, diagnosis, cell_type and split.
    rng : numpy.random.Generator
        Orders the patients.

    Returns
    -------
    DataFrame
        With another `split`.
    """
    split = manifest["split"].copy()
    home = manifest[manifest["split"].isin(["train", "test"])]
    mostly = home.groupby("patient_id")["cell_type"].agg(lambda names: names.value_counts().sort_index().idxmax())
    for _, own in home.groupby(["diagnosis", home["patient_id"].map(mostly)], sort=True):
        sizes = own.groupby("patient_id", sort=True).size()
        order = sizes.index[rng.permutation(len(sizes))]
        before = sizes[order].cumsum() - sizes[order]
        tested = order[before + sizes[order] / 2 < own["split"].eq("test").sum()]
        tested = tested[: len(order) - 1] if len(tested) or len(order) < 2 else order[:1]
        split[own.index] = np.where(own["patient_id"].isin(tested), "test", "train")
    return manifest.assign(split=split)


def by_image(cell_types: pd.Series, rng: np.random.Generator, test_fraction: float = 0.15) -> np.ndarray:
    """Split images, stratified by cell type; for sources without patient and smear IDs.

    Parameters
    ----------
    cell_types : Series of str
        Of each image, n of them.
    rng : numpy.random.Generator
        Chooses the test images.
    test_fraction : float
        In (0, 1).

    Returns
    -------
    ndarray of str
        (n,), `train` or `test`.
    """
    split = np.full(len(cell_types), "train", dtype=object)
    for _, rows in cell_types.reset_index(drop=True).groupby(cell_types.to_numpy()).indices.items():
        held = max(round(test_fraction * len(rows)), 1) if len(rows) > 1 else 0
        split[rng.permutation(rows)[:held]] = "test"
    return split


def by_group(groups: pd.Series, strata: pd.Series, rng: np.random.Generator, test_fraction: float = 0.15) -> pd.Series:
    """Split groups (patients), stratified; all images of a group are on one side.

    Parameters
    ----------
    groups, strata : Series
        Group and stratum of each image, n of them.
    rng : numpy.random.Generator
        Chooses the test groups.
    test_fraction : float
        In (0, 1), of the groups.

    Returns
    -------
    Series of str
        (n,), `train` or `test`.
    """
    first = pd.DataFrame({"group": groups.to_numpy(), "stratum": strata.to_numpy()}).drop_duplicates("group")
    side = by_image(first["stratum"], rng, test_fraction)
    return groups.map(dict(zip(first["group"], side, strict=True)))


def thinned(manifest: pd.DataFrame, fraction: float, least: int = 2) -> pd.DataFrame:
    """Keep a few images of each cell type of each smear, so that every class, patient, site and split stays.

    Parameters
    ----------
    manifest : DataFrame
        smear_id, site, cell_type and split.
    fraction : float
        In (0, 1], share of each group's images.
    least : int
        Images of a group that stay in any case.
    """
    groups = manifest.groupby(["smear_id", "site", "cell_type", "split"], dropna=False, sort=False)
    number, size = groups.cumcount(), groups["split"].transform("size")
    return manifest[number < np.maximum(np.ceil(fraction * size), least)].reset_index(drop=True)
