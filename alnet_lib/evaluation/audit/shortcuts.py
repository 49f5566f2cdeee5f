"""Shortcut baselines: how well the source, the background or the mean colour alone predict the classes.

Where classes come from different sources a network may learn the source (Geirhos et al., Nat. Mach. Intell. 2020).
Classifiers that do not see the cell measure how far that alone goes; their accuracy belongs beside the network's.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.paper.values import Result, Value

WARN_ABOVE = 0.25
"""Adjusted balanced accuracy beyond which a shortcut baseline calls for a warning.

0 is chance and 1 is perfect, so that two classes are judged as five are: 62.5% of two, 40% of five.
"""

SEEN = {
    "source": "the name of the image's source",
    "background": "colours of the outer ring, 1/12 of the width, its brighter half",
    "mean_colour": "mean red, green and blue of the whole image",
}

COLUMNS = ["seen", "balanced_accuracy", "chance", "warn", "images"]


def background(pixels: np.ndarray) -> np.ndarray:
    """Colour features of an image's border, where no cell is.

    Parameters
    ----------
    pixels : ndarray
        uint8 (S, S, 3), RGB.

    Returns
    -------
    ndarray
        float (15,): mean, standard deviation and 10th, 50th, 90th percentile of CIELAB over the brighter half of the
        outer ring, which is 1/12 of the width and at least one pixel.
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
) -> Result | Unavailable:
    """Balanced accuracy of shortcut baselines on module 1's classes, cross-validated by patient.

    Parameters
    ----------
    manifest : DataFrame
        With `cell_type`, `patient_id` and, for combined cohorts, `source`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    rng : Generator
        Chooses the images and the folds.
    limit : int
        Images used at most.
    folds : int
        Of the cross-validation; fewer where a class has fewer patients.

    Returns
    -------
    Result or Unavailable
        A row for each of SEEN; columns `seen`, `balanced_accuracy` and `chance` in [0, 1], `warn` (bool), `images`.
        Unavailable with fewer than two classes, or a class with fewer than two patients. Facts: `warn_above` in %.
    """
    classes = MODULE_1.reference(manifest)
    rows = np.flatnonzero(classes.notna())
    rows = np.sort(rng.permutation(rows)[:limit])
    reference, patients = classes.iloc[rows].to_numpy(str), manifest["patient_id"].iloc[rows].to_numpy(str)
    names = np.unique(reference)
    folds = min([folds, *(len(set(patients[reference == name])) for name in names)])
    if len(names) < 2 or folds < 2:
        return Unavailable("a class has too few patients for a cross-validation")
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
        predicted = cross_val_predict(model, features, reference, groups=patients, cv=splitter)
        warn = bool(balanced_accuracy_score(reference, predicted, adjusted=True) > WARN_ABOVE)
        found.append((seen, float(balanced_accuracy_score(reference, predicted)), 1 / len(names), warn, len(rows)))
    values = tuple(Value(f"confound.{seen}.balanced_accuracy", "%", reproduced=100 * a) for seen, a, *_ in found)
    return Result(pd.DataFrame(found, columns=COLUMNS), values, {"warn_above": 100 * WARN_ABOVE})


@if_available
def beside(frame: pd.DataFrame, network: float) -> pd.DataFrame:
    """The shortcut baselines with module 1 as the last row.

    Parameters
    ----------
    frame : DataFrame
        Of `measure`, with COLUMNS.
    network : float
        Mean sensitivity of module 1 over its classes, in [0, 1].

    Returns
    -------
    DataFrame
        Columns `seen`, `mean sensitivity, %`, `chance, %`, `warning` (`yes` where `measure` warns).
    """
    shown = pd.DataFrame(
        {
            "seen": [*(SEEN[name] for name in frame["seen"]), "the whole image, by module 1"],
            "mean sensitivity, %": [*(100 * frame["balanced_accuracy"]), 100 * network],
        }
    )
    warning = [*np.where(frame["warn"].astype(bool), "yes", ""), ""]
    return shown.assign(**{"chance, %": 100 * frame["chance"].iloc[0], "warning": warning})
