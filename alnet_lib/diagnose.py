"""The verdict on a folder of cell images of one smear. Research use only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from alnet_lib import images, training, vote
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.training import Images, Options

RESEARCH_USE = "Research use only. Not a medical device; not for the diagnosis or treatment of a patient."


@dataclass(frozen=True)
class Diagnosis:
    """A verdict with what stands behind it.

    verdict: APL, AML, ALL, infection, control, unknown, or `AL non-APL` where the run has no module 2.
    proportions: module, cell class, cells, share. cells: image, class by each module, probability.
    unreadable: file, reason.
    """

    verdict: str
    n_cells: int
    threshold: float
    explanation: str
    proportions: pd.DataFrame
    cells: pd.DataFrame
    unreadable: pd.DataFrame
    model: dict

    def as_dict(self) -> dict:
        """Everything as plain values, for JSON."""
        return {
            "research_use_only": RESEARCH_USE,
            "verdict": self.verdict,
            "n_cells": self.n_cells,
            "threshold": self.threshold,
            "explanation": self.explanation,
            "proportions": self.proportions.to_dict("records"),
            "cells": self.cells.to_dict("records"),
            "unreadable": self.unreadable.to_dict("records"),
            "model": self.model,
        }


def diagnose(folder: Path, run_dir: Path) -> Diagnosis:
    """Classify every cell image below `folder` with the run's modules and vote.

    Raises
    ------
    FileNotFoundError
        the folder does not exist, or the run holds no trained module 1.
    ValueError
        no readable image below the folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    first = run_dir / "models" / "module_1.safetensors"
    if not first.is_file():
        raise FileNotFoundError(f"{first} is missing: `alnet reproduce --until 03` trains it")
    network, settings = training.load_network(first)
    paths, pixels, unreadable = _read(folder, network.input_size, settings["crop"])
    if not paths:
        reasons = "; ".join(f"{row.file}: {row.reason}" for row in unreadable.itertuples()) or "it is empty"
        raise ValueError(f"{folder} holds no readable image ({reasons})")
    cells = pd.DataFrame({"image_id": [p.relative_to(folder).as_posix() for p in paths]})
    for column in ("smear_id", "patient_id", "site", "diagnosis", "cell_type", "split"):
        cells[column] = folder.name if column == "smear_id" else ""
    _add_probabilities(cells, network, pixels, "p1", MODULE_1_CLASSES)
    second = run_dir / "models" / "module_2.safetensors"
    has_module_2 = second.is_file()
    if has_module_2:
        _add_probabilities(cells, training.load_network(second)[0], pixels, "p2", MODULE_2_CLASSES)
    row = vote.vote(cells, settings["threshold"]).iloc[0]
    return Diagnosis(
        verdict=row["verdict"],
        n_cells=len(cells),
        threshold=settings["threshold"],
        explanation=_explain(row, settings["threshold"], has_module_2),
        proportions=_proportions(row, has_module_2),
        cells=_cell_table(cells, has_module_2),
        unreadable=unreadable,
        model={
            "run": run_dir.name,
            "backbone": settings["backbone"],
            "weights": settings["weights"],
            "classes": settings["classes"],
        },
    )


def _read(folder: Path, size: int, crop: float) -> tuple[list[Path], np.ndarray, pd.DataFrame]:
    paths, arrays, problems = [], [], []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in {"Thumbs.db", ".DS_Store"}):
        try:
            arrays.append(images.resize(images.decode(path), size, crop=crop))
            paths.append(path)
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            problems.append({"file": path.relative_to(folder).as_posix(), "reason": str(error)})
    stacked = np.stack(arrays) if arrays else np.empty((0, size, size, 3), np.uint8)
    return paths, stacked, pd.DataFrame(problems, columns=["file", "reason"])


def _add_probabilities(cells, network, pixels, prefix: str, classes: tuple[str, ...]) -> None:
    rows = np.arange(len(pixels))
    unlabelled = Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())
    options = Options(iterations=1, batch_size=1, lr_min=1, lr_max=1, device=training.resolve_device("auto"))
    probability = training.predict(network, unlabelled, options)
    columns = dict(zip(network.classes, probability.T, strict=True))
    for name in classes:
        cells[f"{prefix}_{name}"] = columns.get(name, np.zeros(len(rows), np.float32))


def _proportions(row: pd.Series, has_module_2: bool) -> pd.DataFrame:
    rows = [
        {
            "module": 1,
            "class": LABELS[c],
            "cells": round(row[f"share_{c}"] * row["n_cells"]),
            "share": round(float(row[f"share_{c}"]), 3),
        }
        for c in MODULE_1_CLASSES
    ]
    if has_module_2 and row["n_blasts"]:
        rows += [
            {
                "module": 2,
                "class": LABELS[c],
                "cells": round(row[f"share2_{c}"] * row["n_blasts"]),
                "share": round(float(row[f"share2_{c}"]), 3),
            }
            for c in MODULE_2_CLASSES
        ]
    return pd.DataFrame(rows)


def _cell_table(cells: pd.DataFrame, has_module_2: bool) -> pd.DataFrame:
    table = pd.DataFrame({"image": cells["image_id"]})
    for module, prefix, classes in ((1, "p1", MODULE_1_CLASSES), (2, "p2", MODULE_2_CLASSES)):
        if module == 2 and not has_module_2:
            continue
        probability = cells[[f"{prefix}_{c}" for c in classes]].to_numpy()
        best = probability.argmax(1)
        table[f"module {module}"] = [LABELS[classes[i]] for i in best]
        table[f"probability {module}"] = probability.max(1).round(3).astype(float)
    if has_module_2:
        # Module 2 speaks only of cells that module 1 called blasts.
        others = table["module 1"] != LABELS["blast"]
        table.loc[others, "module 2"] = "-"
    return table


def _explain(row: pd.Series, threshold: float, has_module_2: bool) -> str:
    if row["module_1"] == "unknown":
        return f"No class of module 1 exceeds {threshold:.0%} of the cells."
    text = f"Module 1: {LABELS[row['module_1']].lower()} are {row['share_' + row['module_1']]:.0%} of the cells."
    if row["module_1"] != "blast":
        return text
    if not has_module_2:
        return text + " This run has no module 2, so the lineage is not told."
    shares = ", ".join(f"{LABELS[c].lower()} {row[f'share2_{c}']:.0%}" for c in MODULE_2_CLASSES)
    return f"{text} Module 2 on these blasts: {shares}."
