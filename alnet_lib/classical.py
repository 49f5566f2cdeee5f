"""Classical classifiers on handcrafted features: the other half of Table 12, and the earlier column of Table 11.

The paper compares its networks with linear discriminant analysis, support vector machine, random forest, k nearest
neighbours and naive Bayes (its reference 35) without giving their settings; here each is a scikit-learn pipeline of
imputation, scaling, selection of features by mutual information and the classifier, with the number of features and the
classifier's own settings chosen by cross-validation grouped by smear, on training smears only.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from alnet_lib import evaluation, handcrafted, paper
from alnet_lib.cohorts.vocabulary import CELL_GROUPS, TO_GROUP, TO_MODULE_1
from alnet_lib.files import atomic_path
from alnet_lib.results import Value
from alnet_lib.run import Run

METHODS: dict[str, tuple[Any, dict[str, list]]] = {
    "LDA": (LinearDiscriminantAnalysis(solver="lsqr"), {"shrinkage": [None, "auto"]}),
    "SVM": (SVC(class_weight="balanced"), {"C": [1, 10]}),
    "RF": (RandomForestClassifier(300, class_weight="balanced_subsample", n_jobs=2), {"max_features": ["sqrt"]}),
    "KNN": (KNeighborsClassifier(), {"n_neighbors": [5, 15]}),
    "Bayes": (GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}),
}
"""Name as in Table 12 -> classifier and the settings among which cross-validation chooses."""


def features(run: Run) -> pd.DataFrame:
    """The handcrafted features of the run's cohort, extracted once; see `handcrafted.extract`."""
    return handcrafted.extract(
        run.cohort(),
        run.dir / "features",
        allow_truncated=run.profile.allow_truncated,
        progress=run.progress("features, images"),
    )


def pipeline(method: str, seed: int) -> Pipeline:
    """Imputation (median, and what was missing), scaling, selection by mutual information, the classifier."""
    classifier = METHODS[method][0]
    if "random_state" in classifier.get_params():
        classifier = classifier.set_params(random_state=seed)
    return Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("select", SelectKBest(partial(mutual_info_classif, random_state=seed))),
            ("classify", classifier),
        ]
    )


def search(
    method: str,
    values: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    selected: tuple[int, ...],
    folds: int,
    seed: int,
) -> GridSearchCV:
    """The pipeline fitted with the settings that grouped cross-validation finds best.

    Parameters
    ----------
    values: float (n, features), NaN where a cell could not be segmented. labels: (n,). groups: (n,), smear of each
    cell. selected: numbers of features to choose among. folds: of the cross-validation, fewer where there are fewer
    smears.
    """
    grid = {f"classify__{name}": choices for name, choices in METHODS[method][1].items()}
    grid["select__k"] = sorted({min(k, values.shape[1]) for k in selected})
    folds = min(folds, len(np.unique(groups)))
    rare = np.unique(labels, return_counts=True)[1].min() < folds
    splitter = GroupKFold(folds) if rare else StratifiedGroupKFold(folds)
    with tempfile.TemporaryDirectory(prefix="alnet-") as memory, warnings.catch_warnings():
        # A fold may lack a rare class; balanced accuracy then leaves it out, which is what is wanted.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        # Selection is the slow part and the same for all settings of a classifier.
        model = pipeline(method, seed).set_params(memory=memory)
        return GridSearchCV(model, grid, cv=splitter, scoring="balanced_accuracy").fit(values, labels, groups=groups)


def compare(run: Run) -> pd.DataFrame:
    """Every method on the six cell groups: fitted on the training split, judged on the testing split.

    Returns
    -------
    One row a method: method, accuracy, low, high (%, 95% Wilson), settings, seconds, not_segmented (testing images
    without a segmented cell; they are judged all the same), true, predicted, patient_id (lists); kept as
    <run>/comparison/classical/rows.parquet. Empty when the training split has fewer than two of the classes, or
    there is no testing image.
    """
    manifest = run.cohort().manifest
    groups = manifest["cell_type"].map(TO_GROUP)
    train, test = (manifest["split"].eq(split) & groups.notna() for split in ("train", "test"))
    if groups[train].nunique() < 2 or not test.any():
        return pd.DataFrame()
    frame = features(run)
    values, chosen, seed = frame[handcrafted.names()].to_numpy(), run.profile.classical, run.profile.seed
    rows = []
    show = run.progress("classical classifiers")
    for done, method in enumerate(METHODS):
        began = time.perf_counter()
        fitted = search(
            method, values[train], groups[train].to_numpy(), manifest.loc[train, "smear_id"].to_numpy(),
            selected=chosen.selected, folds=chosen.folds, seed=seed,
        )  # fmt: skip
        predicted = fitted.predict(values[test])
        right = int((predicted == groups[test].to_numpy()).sum())
        low, high = evaluation.interval(right, len(predicted))
        settings = ", ".join(f"{k.split('__')[1]} {v}" for k, v in sorted(fitted.best_params_.items()))
        rows.append(
            {
                "method": method, "accuracy": 100 * right / len(predicted), "low": 100 * low, "high": 100 * high,
                "settings": settings, "seconds": time.perf_counter() - began,
                "not_segmented": int((frame.loc[test, "segmented"] == 0).sum()),
                "true": groups[test].tolist(), "predicted": predicted.tolist(),
                "patient_id": manifest.loc[test, "patient_id"].tolist(),
            }
        )  # fmt: skip
        show(done + 1, len(METHODS))
    table = pd.DataFrame(rows)
    with atomic_path(rows_file(run)) as temporary:
        table.to_parquet(temporary, index=False)
    return table


def apl_probability(run: Run, cells: pd.DataFrame) -> pd.Series | None:
    """Probability of APL against AML of each selected cell, by a linear discriminant on its handcrafted features.

    Trained on the selected cells of the training patients, each labelled with its patient's diagnosis. cells: of
    `alnet.predict_cells`. Index as `cells`; None where the training split has no APL or no AML patient.
    """
    wanted = cells[cells["selected"] & cells["diagnosis"].isin(["APL", "AML"])]
    train = wanted[wanted["split"].eq("train")]
    if train.groupby("diagnosis")["patient_id"].nunique().reindex(["APL", "AML"], fill_value=0).min() < 2:
        return None
    frame = features(run)[handcrafted.names()].set_index(run.cohort().manifest["image_id"])
    chosen = run.profile.classical
    fitted = search(
        "LDA", frame.loc[train["image_id"]].to_numpy(), train["diagnosis"].to_numpy(), train["patient_id"].to_numpy(),
        selected=chosen.selected, folds=chosen.folds, seed=run.profile.seed,
    )  # fmt: skip
    probability = fitted.predict_proba(frame.loc[wanted["image_id"]].to_numpy())
    return pd.Series(probability[:, list(fitted.classes_).index("APL")], wanted.index)


def floor(run: Run) -> pd.DataFrame:
    """What colour and size alone tell: a linear classifier on the picture's colour histogram and the cell's area.

    Multinomial logistic regression on 16 bins a channel of the picture that the networks see and the segmented cell's
    area, trained on the training split, judged on the testing split. One row for module 1's classes and one for the six
    groups: task, accuracy, low, high (%, Wilson), sensitivity (mean over the classes, %), images. Empty as `compare`.
    """
    manifest, pixels = run.cohort().manifest, run.pixels()
    area = features(run)["cell_area"].to_numpy()
    channels = pixels.reshape(len(pixels), -1, 3)
    bins = (
        np.stack([np.bincount((picture // 16 + [0, 16, 32]).ravel(), minlength=48) for picture in channels])
        / channels.shape[1]
    )
    seen = np.column_stack([bins, area])
    rows = []
    for task, mapping in (("module 1", TO_MODULE_1), ("six groups", TO_GROUP)):
        truth = manifest["cell_type"].map(mapping)
        train, test = (manifest["split"].eq(split) & truth.notna() for split in ("train", "test"))
        if truth[train].nunique() < 2 or not test.any():
            continue
        linear = make_pipeline(
            SimpleImputer(keep_empty_features=True), StandardScaler(),
            LogisticRegression(max_iter=2000, class_weight="balanced"),
        ).fit(seen[train], truth[train])  # fmt: skip
        predicted = linear.predict(seen[test])
        right = predicted == truth[test].to_numpy()
        low, high = evaluation.interval(int(right.sum()), len(right))
        sensitivity = pd.Series(right).groupby(truth[test].to_numpy()).mean().mean()
        rows.append((task, *(100 * v for v in (right.mean(), low, high, sensitivity)), len(right)))
    return pd.DataFrame(rows, columns=["task", "accuracy", "low", "high", "sensitivity", "images"])


def floor_values(rows: pd.DataFrame) -> list[Value]:
    """Accuracies of `floor` in %, keys `floor.<task>.accuracy`."""
    return [
        Value(
            f"floor.{row.task.replace(' ', '_')}.accuracy",
            "%",
            reproduced=row.accuracy,
            ci_low=row.low,
            ci_high=row.high,
        )
        for row in rows.itertuples()
    ]


def rows_file(run: Run) -> Path:
    """Where `compare` leaves its rows."""
    return run.dir / "comparison" / "classical" / "rows.parquet"


def importance(run: Run, count: int = 15) -> pd.Series:
    """Mutual information (nats) of the most telling features with the six cell groups, training images, best first."""
    manifest = run.cohort().manifest
    groups = manifest["cell_type"].map(TO_GROUP)
    train = manifest["split"].eq("train") & groups.notna()
    values = SimpleImputer(strategy="median", keep_empty_features=True).fit_transform(
        features(run).loc[train, handcrafted.names()]
    )
    shared = mutual_info_classif(values, groups[train], random_state=run.profile.seed)
    return pd.Series(shared, handcrafted.names()).sort_values(ascending=False).head(count)


def sensitivities(row: pd.Series) -> pd.DataFrame:
    """Sensitivity of each cell group in % with its 95% Wilson interval; row: one of `compare`. Index: the group."""
    true, predicted = list(row["true"]), list(row["predicted"])
    there = [group for group in CELL_GROUPS if group in true]
    counts = evaluation.confusion(true, predicted, there, [group for group in CELL_GROUPS if group not in true])
    rates = evaluation.rates(counts)
    own = rates[rates["rate"].eq("sensitivity")].set_index("class")
    return 100 * own[["value", "low", "high"]]


def values(rows: pd.DataFrame) -> list[Value]:
    """Table 12's classical accuracies, and the linear discriminant's sensitivities of Table 11, beside the printed."""
    found = [Value.of(f"table_12.{r.method}.accuracy", r.accuracy, r.low, r.high) for r in rows.itertuples()]
    own = sensitivities(rows.set_index("method").loc["LDA"])
    names = {"myeloid_blast": "myeloblast"}
    ids = {group: f"table_11.{names.get(group, group)}.earlier" for group in own.index}
    known = paper.record().index
    return found + [Value.of(ids[g], *own.loc[g]) for g in own.index if ids[g] in known]
