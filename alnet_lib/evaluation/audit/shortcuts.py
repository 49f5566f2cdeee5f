"""Shortcut baselines: how well the source, the background or the mean colour alone predict the classes.

Where classes come from different sources a network may learn the source (Geirhos et al., Nat. Mach. Intell. 2020).
Classifiers that do not see the cell measure how far that alone goes. They are fitted on the training split and judged
on the testing cells, as module 1 is, so that the numbers belong side by side: same cells, same patients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments import classical
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification

if TYPE_CHECKING:
    from alnet_lib.statistics.intervals import Interval

WARN_ABOVE = 0.25
"""Share of the way from chance to certainty beyond which a shortcut baseline calls for a warning.

Two classes are judged as five are: 62.5% of two, 40% of five. The lower end of the interval over patients must lie
beyond; where there is no interval the mean sensitivity itself.
"""

SEEN = {
    "source": "the name of the image's source",
    "background": "colours of the outer ring, 1/12 of the width, its brighter half",
    "mean_colour": "mean red, green and blue of the whole image",
}

COLUMNS = [
    "seen", "balanced_accuracy", "low", "high", "patients", "design_effect", "interval", "chance", "warn", "images",
]  # fmt: skip

_FEATURES = {
    "source": ["source"],
    "background": [f"background_{number:02d}" for number in range(15)],
    "mean_colour": ["mean_red", "mean_green", "mean_blue"],
}


class Shortcut:
    """A random forest on what can be seen without the cell; a `classical.Method`.

    Parameters
    ----------
    seen : str
        Name in SEEN.
    """

    settings = ""

    def __init__(self, seen: str) -> None:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        forest = RandomForestClassifier(200, class_weight="balanced", min_samples_leaf=3, random_state=0)
        self.seen = _FEATURES[seen]
        self.model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), forest) if seen == "source" else forest

    def fit(self, cells: pd.DataFrame, classes: np.ndarray) -> None:
        """Fit to training cells, rows of a manifest with the features of `measure`, and their classes."""
        self.model.fit(cells[self.seen].to_numpy(), classes)

    def predict(self, cells: pd.DataFrame) -> np.ndarray:
        """The class of each cell."""
        return self.model.predict(cells[self.seen].to_numpy())


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
    manifest: pd.DataFrame, pixels: np.ndarray, rng: np.random.Generator, *, limit: int = 3000
) -> Result | Unavailable:
    """Mean sensitivity of shortcut baselines over module 1's classes, on the testing cells that judge module 1.

    Parameters
    ----------
    manifest : DataFrame
        With `cell_type`, `patient_id`, `split` and, for combined cohorts, `source`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    rng : Generator
        Chooses the training images.
    limit : int
        Training images fitted on at most; all testing cells are judged.

    Returns
    -------
    Result or Unavailable
        A row for each of SEEN, with COLUMNS: `balanced_accuracy` (the mean sensitivity), its `low` and `high`, and
        `chance` (what predicting one class always would reach) in [0, 1], `warn` (bool), `images` (testing). Facts:
        `warn_above` (%), `n` and `patients` (testing), `absent` (a sentence where the testing split lacks a class that
        the training split has, else empty). Unavailable as `classical.judge`, and where the testing split has fewer
        than two classes.
    """
    classes = MODULE_1.reference(manifest)
    train, test = (np.flatnonzero(manifest["split"].eq(split) & classes.notna()) for split in ("train", "test"))
    rows = np.concatenate([np.sort(rng.permutation(train)[:limit]), test])
    there, known = (set(classes.iloc[part]) for part in (test, train))
    if len(there) == 1:
        return Unavailable("the testing split has one of module 1's classes only")
    columns = _FEATURES["background"] + _FEATURES["mean_colour"]
    features = [[*background(pixels[i]), *pixels[i].mean((0, 1))] for i in rows]
    cells = manifest.iloc[rows]
    cells = cells.join(pd.DataFrame(features, index=cells.index, columns=columns, dtype=float))
    found, values = [], []
    for seen in SEEN if "source" in manifest else list(SEEN)[1:]:
        row = classical.judge(Shortcut(seen), cells, MODULE_1)
        if isinstance(row, Unavailable):
            return row
        mean, chance = classification.mean_sensitivity(pd.DataFrame(row["testing"])), 1 / len(there)
        reached = mean.low if mean.given else mean.estimate
        line = {"seen": seen, "balanced_accuracy": mean.estimate, "chance": chance, "images": row["images"]}
        found.append(line | mean.columns(1) | {"warn": bool(reached > chance + WARN_ABOVE * (1 - chance))})
        values.append(Value.of(f"confound.{seen}.balanced_accuracy", mean, "%"))
    absent = ", ".join(LABELS[name] for name in MODULE_1.classes if name in known - there)
    facts = {
        "warn_above": 100 * WARN_ABOVE, "n": len(test), "patients": mean.n_patients,
        "absent": f" The testing split has no {absent}, so only the other classes count." if absent else "",
    }  # fmt: skip
    return Result(pd.DataFrame(found)[COLUMNS], tuple(values), facts)


@if_available
def in_words(measured: Result) -> pd.DataFrame:
    """Give the table of `measure` with what each baseline saw in the words of SEEN."""
    return measured.frame.assign(seen=measured.frame["seen"].map(SEEN))


@if_available
def beside(frame: pd.DataFrame, network: Interval) -> pd.DataFrame:
    """The shortcut baselines with module 1 as the last row, all on the same testing cells.

    Parameters
    ----------
    frame : DataFrame
        Of `measure`, with COLUMNS.
    network : Interval
        Mean sensitivity of module 1 over its classes, in [0, 1].

    Returns
    -------
    DataFrame
        Columns `seen`, `mean sensitivity, %`, those of `Interval.columns` (%), `chance, %`, `warning` (`yes` where
        `measure` warns).
    """
    shown = frame.assign(seen=frame["seen"].map(SEEN), warning=np.where(frame["warn"].astype(bool), "yes", ""))
    module_1 = {"seen": "the whole image, by module 1", "balanced_accuracy": network.estimate} | network.columns(1)
    shown = pd.concat([shown, pd.DataFrame([module_1 | {"warning": ""}])], ignore_index=True)
    shown["chance"] = frame["chance"].iloc[0]
    shown[["balanced_accuracy", "low", "high", "chance"]] *= 100
    named = {"balanced_accuracy": "mean sensitivity, %", "chance": "chance, %"}
    kept = ["seen", "balanced_accuracy", *network.columns(), "chance", "warning"]
    return shown[kept].rename(columns=named)
