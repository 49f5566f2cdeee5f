"""What can tell the classes apart without looking at a cell: the source, the background, the mean colour.

Where classes come from different sources a network may learn the source. Classifiers that see no cell say how far that
alone would go; their accuracy belongs beside the network's.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, TO_MODULE_1
from alnet_lib.results import Value, read_items

WARN_ABOVE = 0.25
"""The share of the way from chance to certainty beyond which a classifier without cells calls for a warning.

It is scikit-learn's adjusted balanced accuracy, so that two classes are judged as five are: 62.5% of two, 40% of five.
"""

SEEN = {
    "source": "the name of the picture's source",
    "background": "colours of the outer ring, 1/12 of the width, its brighter half",
    "mean_colour": "mean red, green and blue of the whole picture",
}


COLUMNS = ["seen", "balanced_accuracy", "chance", "warn", "images"]


def background(pixels: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and 10th, 50th, 90th percentile of Lab over the brighter half of the outer ring: (15,).

    pixels: uint8 (S, S, 3), RGB. The ring is 1/12 of the width, at least one pixel.
    """
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    width = max(pixels.shape[0] // 12, 1)
    ring = np.ones(pixels.shape[:2], bool)
    ring[width:-width, width:-width] = False
    colours = lab[ring]
    colours = colours[colours[:, 0] >= np.median(colours[:, 0])]
    return np.concatenate([colours.mean(0), colours.std(0), *np.percentile(colours, [10, 50, 90], axis=0)])


def measure(
    manifest: pd.DataFrame, pixels: np.ndarray, rng: np.random.Generator, *, limit: int = 3000, folds: int = 5
) -> pd.DataFrame:
    """Balanced accuracy of telling module 1's classes apart without a cell, cross-validated by patient.

    manifest: with cell_type, patient_id and, for combined cohorts, source. pixels: uint8 (n, S, S, 3) in its order. At
    most `limit` images, drawn at random. One row for each of SEEN: seen, balanced_accuracy, chance, warn (chance taken
    off, above WARN_ABOVE), images. Empty with fewer than two classes or fewer patients of a class than `folds`.
    """
    classes = manifest["cell_type"].map(TO_MODULE_1)
    rows = np.flatnonzero(classes.notna())
    rows = np.sort(rng.permutation(rows)[:limit])
    truth, patients = classes.iloc[rows].to_numpy(str), manifest["patient_id"].iloc[rows].to_numpy(str)
    names = np.unique(truth)
    folds = min([folds, *(len(set(patients[truth == name])) for name in names)])
    if len(names) < 2 or folds < 2:
        return pd.DataFrame(columns=COLUMNS)
    given: dict[str, np.ndarray] = {
        "background": np.array([background(pixels[i]) for i in rows]),
        "mean_colour": np.array([pixels[i].mean((0, 1)) for i in rows]),
    }
    if "source" in manifest:
        given = {"source": manifest["source"].iloc[rows].to_numpy(str)[:, None], **given}
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=int(rng.integers(1 << 31)))
    found = []
    for seen, features in given.items():
        forest = RandomForestClassifier(200, class_weight="balanced", min_samples_leaf=3, random_state=0)
        model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), forest) if seen == "source" else forest
        told = cross_val_predict(model, features, truth, groups=patients, cv=splitter)
        warn = bool(balanced_accuracy_score(truth, told, adjusted=True) > WARN_ABOVE)
        found.append((seen, float(balanced_accuracy_score(truth, told)), 1 / len(names), warn, len(rows)))
    return pd.DataFrame(found, columns=COLUMNS)


def values(frame: pd.DataFrame) -> list[Value]:
    """The accuracies of `measure` in percent, keys `confound.<seen>.balanced_accuracy`."""
    return [
        Value(f"confound.{row.seen}.balanced_accuracy", "%", reproduced=100 * row.balanced_accuracy)
        for row in frame.itertuples()
    ]


def sentences(frame: pd.DataFrame) -> list[str]:
    """What was found, one sentence a row, with a warning where WARN_ABOVE says so."""
    return [
        f"From {SEEN[row.seen]} alone, {row.balanced_accuracy:.0%} of cells are told rightly (mean over the classes; "
        f"chance {row.chance:.0%})" + (": **a warning**, the network may do the same." if row.warn else ".")
        for row in frame.itertuples()
    ]


def beside(frame: pd.DataFrame, network: float) -> pd.DataFrame:
    """`measure`'s table with the network's mean sensitivity over the classes, `network` in [0, 1], as its last row.

    Columns: seen, mean sensitivity and chance in %, warning (`yes` where `measure` warns).
    """
    shown = pd.DataFrame(
        {
            "seen": [*(SEEN[name] for name in frame["seen"]), "the whole picture, by module 1"],
            "mean sensitivity, %": [*(100 * frame["balanced_accuracy"]), 100 * network],
        }
    )
    warning = [*np.where(frame["warn"].astype(bool), "yes", ""), ""]
    return shown.assign(**{"chance, %": 100 * frame["chance"].iloc[0], "warning": warning})


def caution(run_dir: Path) -> str:
    """What every page says of a run on combined sources where a classifier without cells calls for a warning.

    Empty where there is nothing to warn of, and for a single source: there colour belongs to the cells as well.
    """
    frame = load(run_dir)
    warned = frame[frame["warn"].astype(bool)]
    if "source" not in set(frame["seen"]) or not len(warned):
        return ""
    values = {value["key"]: value["reproduced"] for item in read_items(run_dir) for value in item["values"]}
    network = [v for n in MODULE_1_CLASSES if (v := values.get(f"table_08.sensitivity.{n}")) is not None]
    told = "; ".join(f"{SEEN[row.seen]}, {row.balanced_accuracy:.0%}" for row in warned.itertuples())
    beside = f"; module 1, {np.mean(network):.0f}%" if network else ""
    return (
        f"Sources are combined here. Right without a cell's shape (mean over the classes, chance "
        f"{frame['chance'].iloc[0]:.0%}): {told}{beside}. Part of what the networks tell may be stain, camera or "
        "hospital."
    )


def load(run_dir: Path) -> pd.DataFrame:
    """What notebook 01 measured on this run; empty where it could not."""
    file = run_dir / "tables" / "extra_table_confounds.csv"
    recorded = [item["status"] for item in read_items(run_dir) if item["id"] == "extra_table_confounds"]
    return pd.read_csv(file) if recorded == ["reproduced"] else pd.DataFrame(columns=COLUMNS)
