"""Class probabilities of the cells of a cohort, by both modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from alnet_lib.core.vocabulary import TO_MODULE_1
from alnet_lib.diagnosis import cell_map
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, ModuleSpec
from alnet_lib.training.inference import class_probabilities

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options


def add_probabilities(
    cells: pd.DataFrame,
    spec: ModuleSpec,
    network: Network,
    pixels: np.ndarray,
    rows: np.ndarray,
    options: Options,
    *,
    batch: int = 256,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Add a module's class probabilities to a table of cells.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, n of them.
    spec : ModuleSpec
        The module; names the columns.
    network : Network
        Trained for the module; classes that it was not trained on get 0.
    pixels : ndarray
        uint8 (m, S, S, 3), RGB.
    rows : ndarray
        int (n,), rows of `pixels`, in the order of the cells.
    options : Options
        Device and precision.
    batch : int
        Images a forward pass.
    progress : callable, optional
        Called with the images done and their number.

    Returns
    -------
    DataFrame
        A copy of `cells` with `spec.columns`, float32 in [0, 1].
    """
    found = class_probabilities(network, pixels, rows, options, spec.classes, batch=batch, progress=progress)
    return cells.assign(**dict(zip(spec.columns, found.to_numpy(np.float32).T, strict=True)))


def predict_cells(
    manifest: pd.DataFrame,
    pixels: np.ndarray,
    modules: Mapping[str, tuple[Network, Options]],
    *,
    validation: Sequence[int] | np.ndarray = (),
    split: str | None = None,
    batch: int = 256,
    progress: Callable[[str], Progress] | None = None,
) -> pd.DataFrame:
    """Class probabilities of every cell of a cohort, labelled or not.

    Parameters
    ----------
    manifest : DataFrame
        One row an image.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    modules : mapping of str to (Network, Options)
        `module_1` and `module_2`; one that is absent adds no column.
    validation : sequence of int
        Positions in the manifest of the training split's cells that module 1 was not fitted on.
    split : str, optional
        Only the cells of this split.
    batch : int
        Images a forward pass.
    progress : callable, optional
        Gives the progress callback of a label.

    Returns
    -------
    DataFrame
        The manifest's rows with `validation` and `eligible` (bool), `p1_<class>` and `p2_<class>` (float32 in [0, 1]),
        and, where there is a module 1, `map_x` and `map_y` (float32, of `cell_map.coordinates` over all these cells).
    """
    chosen = manifest["cell_type"].isin([*TO_MODULE_1, ""])
    if split:
        chosen &= manifest["split"].eq(split)
    rows = np.flatnonzero(chosen.to_numpy())
    cells = manifest.iloc[rows].reset_index(drop=True)
    cells["validation"] = np.isin(rows, np.asarray(validation, np.int64))
    cells["eligible"] = eligible(cells)
    for spec in MODULES:
        if spec.name in modules:
            network, options = modules[spec.name]
            shown = progress(f"{spec.name}, cells predicted") if progress else None
            with cell_map.embeddings(network) as kept:
                cells = add_probabilities(cells, spec, network, pixels, rows, options, batch=batch, progress=shown)
            if spec is MODULE_1 and kept:
                where = cell_map.coordinates(np.concatenate(kept))
                cells = cells.assign(**dict(zip(cell_map.COLUMNS, where.T, strict=True)))
    return cells
