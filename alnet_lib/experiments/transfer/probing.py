"""Starts judged frozen on the six cell groups: nearest neighbours and a linear probe on their embeddings.

The protocol of papers on foundation models of blood cells, e.g. DinoBloom (Koch et al., MICCAI 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.profile import start_name
from alnet_lib.diagnosis.tasks import SIX_CLASSES
from alnet_lib.experiments import classical
from alnet_lib.experiments.datasets import labelled
from alnet_lib.experiments.transfer import embeddings
from alnet_lib.experiments.transfer.methods import settings_of
from alnet_lib.networks import architectures
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification, intervals

if TYPE_CHECKING:
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.statistics.intervals import Interval

PROBE = "linear probe"


def classifiers(neighbours: tuple[int, ...], cells: int) -> dict[str, Pipeline]:
    """The classifiers by their names in tables.

    Parameters
    ----------
    neighbours : tuple of int
        Each a classifier by the nearest neighbours, Euclidean between embeddings of length 1.
    cells : int
        To fit on; no more neighbours are asked than these.
    """
    nearest = {f"{k} nearest": make_pipeline(Normalizer(), KNeighborsClassifier(min(k, cells))) for k in neighbours}
    return nearest | {PROBE: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))}


def weighted_f1(predictions: pd.DataFrame) -> Interval:
    """F1 of each class, averaged by its cells, with an interval from leaving out one patient at a time.

    Parameters
    ----------
    predictions : DataFrame
        `reference`, `predicted`, and what `statistics.intervals` reads.

    Returns
    -------
    Interval
        In [0, 1].
    """
    names = pd.Index(predictions["reference"]).union(predictions["predicted"]).unique()
    coded = predictions.assign(**{name: names.get_indexer(predictions[name]) for name in ("reference", "predicted")})
    return intervals.jackknife(
        coded,
        lambda rows: float(f1_score(rows["reference"], rows["predicted"], average="weighted", zero_division=0)),
    )


MEASURES = {"weighted F1": weighted_f1, "balanced accuracy": classification.mean_sensitivity}
"""Name in the table -> what is measured."""


@if_available
def judged(setup: Setup) -> Result | Unavailable:
    """Judge each start of the profile's `transfer` on testing cells, fitted on training cells.

    Parameters
    ----------
    setup : Setup
        Of `embeddings.seen`.

    Returns
    -------
    Result or Unavailable
        A row a start, classifier and measure: `network`, `start`, `classifier`, `measure`, `value` (%), the columns of
        `Interval.columns`, `images`; with values `transfer.starts.<network>_<start>.<classifier>.<measure>` and the
        fact `missing` (a sentence that names the starts that cannot be had, or nothing). Unavailable with fewer than
        two groups in training, without a testing image, or without any start.
    """
    settings, data = settings_of(setup.profile), setup.data
    train = labelled(data, SIX_CLASSES)
    test = labelled(data, SIX_CLASSES, split="test", classes=train.classes)
    if len(train.classes) < 2:
        return Unavailable(SIX_CLASSES.lacking(data.manifest))
    if not len(test):
        return Unavailable("no testing image is of the six cell groups")
    grouped = np.flatnonzero(data.manifest["cell_type"].isin(SIX_CLASSES.mapping))
    found = embeddings.embedded(setup, settings.starts, grouped, part="grouped")
    missing = "; ".join(f"{title} ({reason})" for title, reason in found.missing.items())
    if not found.values:
        return Unavailable(f"no start can be had: {missing}")
    rows, values, names = [], [], np.array(train.classes)
    cells = data.manifest.iloc[test.rows]
    line, ways = setup.progress("starts judged frozen"), classifiers(settings.neighbours, len(train))
    for done, start in enumerate(found.values, 1):
        for classifier, model in ways.items():
            model.fit(found.of(start, train.rows), names[train.labels])
            predicted = model.predict(found.of(start, test.rows))
            frame = pd.DataFrame(classical.records(cells, names[test.labels], predicted))
            for measure, of in MEASURES.items():
                value = of(frame)
                about: dict[str, Any] = {
                    "network": architectures.title(start.network),
                    "start": start_name(start.start),
                }
                about |= {"classifier": classifier, "measure": measure, "value": 100 * value.estimate}
                rows.append(about | value.columns() | {"images": len(test)})
                name = f"{start.key}.{classifier}.{measure}".replace(" ", "_").lower()
                values.append(Value.of(f"transfer.starts.{name}", value, "%"))
        line(done, len(found.values))
    return Result(pd.DataFrame(rows), tuple(values), {"missing": f" Left out: {missing}." if missing else ""})
