"""Baselines with one interface, and the classical classifiers on handcrafted features.

The classical classifiers are the other half of Table 12 and the earlier column of Table 11. The paper compares its
networks with linear discriminant analysis, support vector machine, random forest, k nearest neighbours and naive Bayes
(its reference 35) without giving their settings; here each is a scikit-learn pipeline of imputation, scaling, selection
of features by mutual information and the classifier, with the number of features and the classifier's own settings
chosen by cross-validation grouped by smear, on training smears only.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from alnet_lib import paper
from alnet_lib.core.files import atomic_path
from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.profile import Classical
from alnet_lib.core.vocabulary import CELL_GROUPS
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import SIX_CLASSES, ModuleSpec
from alnet_lib.experiments.datasets import described
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging import handcrafted
from alnet_lib.imaging.decoding import Crop
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification

ROWS = "comparison/classical/rows.parquet"
"""Where `compare` leaves its rows, below the setup's folder."""

LISTS = ["reference", "predicted", "patient_id"]
"""Columns of a row that hold an entry for each testing image."""

METHODS: dict[str, tuple[Any, dict[str, list]]] = {
    "LDA": (LinearDiscriminantAnalysis(solver="lsqr"), {"shrinkage": [None, "auto"]}),
    "SVM": (SVC(class_weight="balanced"), {"C": [1, 10]}),
    "RF": (RandomForestClassifier(300, class_weight="balanced_subsample", n_jobs=2), {"max_features": ["sqrt"]}),
    "KNN": (KNeighborsClassifier(), {"n_neighbors": [5, 15]}),
    "Bayes": (GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}),
}
"""Name as in Table 12 -> classifier and the settings among which cross-validation chooses."""


class Method(Protocol):
    """What every baseline offers, so that one function judges them all and one table lists them."""

    @property
    def settings(self) -> str:
        """The settings chosen in fitting, in words."""

    def fit(self, cells: pd.DataFrame, classes: np.ndarray) -> None:
        """Fit to training cells, rows of `described`, and their reference classes (n,)."""

    def predict(self, cells: pd.DataFrame) -> np.ndarray:
        """The class (n,) of each cell, rows of `described`."""


class Handcrafted:
    """A classical classifier on handcrafted features, see `search`.

    Parameters
    ----------
    method : str
        Name in `METHODS`.
    chosen : Classical
        The profile's settings.
    seed : int
        As `pipeline`.
    """

    def __init__(self, method: str, chosen: Classical, seed: int) -> None:
        self.method, self.chosen, self.seed = method, chosen, seed
        self.fitted: GridSearchCV | None = None

    @property
    def settings(self) -> str:
        """The settings that cross-validation chose, e.g. `C 10, k 30`."""
        best = self.fitted.best_params_ if self.fitted else {}
        return ", ".join(f"{name.split('__')[1]} {value}" for name, value in sorted(best.items()))

    def fit(self, cells: pd.DataFrame, classes: np.ndarray) -> None:
        """Fit to training cells, with their smears as groups of the cross-validation."""
        self.fitted = search(
            self.method, _values(cells), classes, cells["smear_id"].to_numpy(),
            selected=self.chosen.selected, folds=self.chosen.folds, seed=self.seed,
        )  # fmt: skip

    def predict(self, cells: pd.DataFrame) -> np.ndarray:
        """The class of each cell."""
        assert self.fitted is not None, "fit comes before predict"
        return self.fitted.predict(_values(cells))


def _values(cells: pd.DataFrame) -> np.ndarray:
    # In rows: sums over another memory layout differ in their last digits.
    return np.ascontiguousarray(cells[handcrafted.names()].to_numpy())


def features(setup: Setup, files: Sequence[Path], crops: Sequence[Crop]) -> pd.DataFrame:
    """The handcrafted features of a cohort, extracted once and kept in `<folder>/features`.

    Parameters
    ----------
    setup : Setup
        Profile, folder and the cohort's content hash.
    files : sequence of Path
        Image files, in the manifest's order.
    crops : sequence of Crop
        The part of each file that is the image.

    Returns
    -------
    DataFrame
        One row an image in the manifest's order; see `handcrafted.extract`.
    """
    return handcrafted.extract(
        files, crops, cache=setup.folder / "features", content_hash=setup.data.content_hash,
        allow_truncated=setup.profile.allow_truncated, progress=setup.progress("features, images"),
    )  # fmt: skip


def judge(method: Method, cells: pd.DataFrame, spec: ModuleSpec) -> dict[str, Any] | Unavailable:
    """Fit a baseline on the training split and judge it on the testing split.

    Parameters
    ----------
    method : Method
        Fitted in place.
    cells : DataFrame
        Of `described`.
    spec : ModuleSpec
        The task.

    Returns
    -------
    dict or Unavailable
        accuracy, low, high (%, 95% Wilson), sensitivity (%, mean over the classes), images, settings, seconds,
        not_segmented (testing images without a segmented cell; they are judged all the same), and lists of reference,
        predicted, patient_id. Unavailable with fewer than two classes in training, or without a testing image.
    """
    classes = spec.reference(cells)
    train, test = (cells["split"].eq(split) & classes.notna() for split in ("train", "test"))
    if classes[train].nunique() < 2:
        return Unavailable(spec.lacking(cells))
    if not test.any():
        return Unavailable(f"no testing image has a class of {spec.title.lower()}")
    began = time.perf_counter()
    method.fit(cells[train], classes[train].to_numpy())
    predicted, reference = method.predict(cells[test]), classes[test].to_numpy()
    correct = predicted == reference
    low, high = classification.interval(int(correct.sum()), len(correct))
    sensitivity = pd.Series(correct).groupby(reference).mean().mean()
    percent = {"accuracy": correct.mean(), "low": low, "high": high, "sensitivity": sensitivity}
    return {name: 100 * float(value) for name, value in percent.items()} | {
        "images": len(correct),
        "settings": method.settings,
        "seconds": time.perf_counter() - began,
        "not_segmented": int((cells.loc[test, "segmented"] == 0).sum()),
        "reference": reference.tolist(),
        "predicted": predicted.tolist(),
        "patient_id": cells.loc[test, "patient_id"].tolist(),
    }


def pipeline(method: str, seed: int) -> Pipeline:
    """Imputation (median, and what was missing), scaling, selection by mutual information, the classifier.

    Parameters
    ----------
    method : str
        Name in `METHODS`.
    seed : int
        Of the selection and of the classifiers that draw.
    """
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
    method : str
        Name in `METHODS`.
    values : ndarray
        float (n, features), NaN where a cell could not be segmented.
    labels : ndarray
        (n,), class of each cell.
    groups : ndarray
        (n,), smear of each cell; none is on both sides of a fold.
    selected : tuple of int
        Numbers of features to choose among.
    folds : int
        Of the cross-validation; fewer where there are fewer smears.
    seed : int
        As `pipeline`.

    Returns
    -------
    GridSearchCV
        Fitted.
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


def compare(setup: Setup, features: pd.DataFrame) -> pd.DataFrame | Unavailable:
    """Judge every classical classifier on the six cell groups, and keep the rows for `saved`.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder.
    features : DataFrame
        Of `features`.

    Returns
    -------
    DataFrame or Unavailable
        Index `method`; accuracy, low, high (%, 95% Wilson), settings, seconds, not_segmented, and the lists of `judge`.
        Unavailable as `judge`.
    """
    cells, rows = described(setup.data, features), []
    show = setup.progress("classical classifiers")
    for done, name in enumerate(METHODS):
        row = judge(Handcrafted(name, setup.profile.classical, setup.profile.seed), cells, SIX_CLASSES)
        if isinstance(row, Unavailable):
            return row
        rows.append({"method": name} | row)
        show(done + 1, len(METHODS))
    kept = ["method", "accuracy", "low", "high", "settings", "seconds", "not_segmented", *LISTS]
    table = pd.DataFrame(rows)[kept]
    with atomic_path(setup.folder / ROWS) as temporary:
        table.to_parquet(temporary, index=False)
    return table.set_index("method")


def saved(folder: Path) -> pd.DataFrame | Unavailable:
    """What `compare` left in a setup's folder."""
    if not (folder / ROWS).is_file():
        return Unavailable("the classical classifiers were not compared")
    return pd.read_parquet(folder / ROWS).set_index("method")


@if_available
def listed(rows: pd.DataFrame) -> Result:
    """Rows of `compare` as a table, a method a row, without the lists of single images."""
    return Result(rows.drop(columns=LISTS))


@if_available
def apl_probability(setup: Setup, features: pd.DataFrame, cells: pd.DataFrame) -> pd.Series | Unavailable:
    """Probability of APL against AML of each eligible cell, by a linear discriminant on its handcrafted features.

    Trained on the eligible cells of the training patients, each labelled with its patient's diagnosis.

    Parameters
    ----------
    setup : Setup
        Manifest and profile.
    features : DataFrame
        Of `features`.
    cells : DataFrame
        One row a cell: image_id, patient_id, diagnosis, split, and what `eligible` reads.

    Returns
    -------
    Series or Unavailable
        In [0, 1], with the index of the eligible cells of APL and AML smears. Unavailable where the training split has
        fewer than two patients of either.
    """
    wanted = cells[eligible(cells) & cells["diagnosis"].isin(["APL", "AML"])]
    train = wanted[wanted["split"].eq("train")]
    if train.groupby("diagnosis")["patient_id"].nunique().reindex(["APL", "AML"], fill_value=0).min() < 2:
        return Unavailable("the training split needs two patients with APL and two with AML")
    frame = features[handcrafted.names()].set_index(setup.data.manifest["image_id"])
    chosen = setup.profile.classical
    fitted = search(
        "LDA", frame.loc[train["image_id"]].to_numpy(), train["diagnosis"].to_numpy(), train["patient_id"].to_numpy(),
        selected=chosen.selected, folds=chosen.folds, seed=setup.profile.seed,
    )  # fmt: skip
    probability = fitted.predict_proba(frame.loc[wanted["image_id"]].to_numpy())
    return pd.Series(probability[:, list(fitted.classes_).index("APL")], wanted.index)


def importance(setup: Setup, features: pd.DataFrame, count: int = 15) -> pd.Series | Unavailable:
    """Mutual information of the most informative features with the six cell groups, on training images.

    Parameters
    ----------
    setup : Setup
        Manifest and profile.
    features : DataFrame
        Of `features`.
    count : int
        How many features.

    Returns
    -------
    Series or Unavailable
        In nats, index the feature, largest first. Unavailable with fewer than two groups in training.
    """
    manifest = setup.data.manifest
    groups = SIX_CLASSES.reference(manifest)
    train = manifest["split"].eq("train") & groups.notna()
    if groups[train].nunique() < 2:
        return Unavailable(SIX_CLASSES.lacking(manifest))
    own = features.loc[train.to_numpy(), handcrafted.names()]
    values = SimpleImputer(strategy="median", keep_empty_features=True).fit_transform(own)
    shared = mutual_info_classif(values, groups[train], random_state=setup.profile.seed)
    return pd.Series(shared, handcrafted.names()).sort_values(ascending=False).head(count)


@if_available
def sensitivities(rows: pd.DataFrame, method: str = "LDA") -> pd.DataFrame:
    """Sensitivity of each cell group by one method.

    Parameters
    ----------
    rows : DataFrame
        Of `compare`.
    method : str
        Name in `METHODS`.

    Returns
    -------
    DataFrame
        Index the group; value, low, high in %, with the 95% Wilson interval.
    """
    return _sensitivities(rows.loc[method])


def _sensitivities(row: pd.Series) -> pd.DataFrame:
    reference, predicted = list(row["reference"]), list(row["predicted"])
    there = [group for group in CELL_GROUPS if group in reference]
    others = [group for group in CELL_GROUPS if group not in reference]
    rates = classification.rates(classification.confusion(reference, predicted, there, others))
    own = rates[rates["rate"].eq("sensitivity")].set_index("class")
    return 100 * own[["value", "low", "high"]]


def values(rows: pd.DataFrame | Unavailable) -> tuple[Value, ...]:
    """Table 12's classical accuracies, and the linear discriminant's sensitivities of Table 11, beside the printed."""
    if isinstance(rows, Unavailable):
        return ()
    found = [Value.of(f"table_12.{r.Index}.accuracy", r.accuracy, r.low, r.high) for r in rows.itertuples()]
    own = _sensitivities(rows.loc["LDA"])
    ids = {group: f"table_11.{'myeloblast' if group == 'myeloid_blast' else group}.earlier" for group in own.index}
    known = paper.record().index
    return (*found, *(Value.of(ids[group], *own.loc[group]) for group in own.index if ids[group] in known))
