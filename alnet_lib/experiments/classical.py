"""Baselines with one interface, and the classical classifiers on handcrafted features.

The classical classifiers are the other half of Table 12 and the earlier column of Table 11. The paper names its five
(its reference 35) without their settings; here each is a scikit-learn pipeline, with the number of features and the
classifier's own settings chosen by cross-validation grouped by smear, on training smears only.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from alnet_lib.core.files import atomic_path
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import CELL_GROUPS
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import SIX_CLASSES, ModuleSpec
from alnet_lib.imaging import handcrafted
from alnet_lib.paper.values import Result
from alnet_lib.statistics import classification

if TYPE_CHECKING:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    from alnet_lib.core.profile import Classical
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.imaging.decoding import Crop
    from alnet_lib.statistics.intervals import Interval

ROWS = "comparison/classical/rows.parquet"
"""Where `compare` leaves its rows, below the setup's folder."""

KEPT = ["patient_id", "smear_id", "smear_known", "site"]
"""Columns of a cohort that intervals over patients read."""

METHODS = ("LDA", "SVM", "RF", "KNN", "Bayes")
"""Names of the classifiers, as in Table 12."""


@cache
def classifiers() -> dict[str, tuple[Any, dict[str, list]]]:
    """Give each of METHODS its classifier and the settings among which cross-validation chooses."""
    # scikit-learn is imported where it is used: most of those who import this module only read rows.
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    return {
        "LDA": (LinearDiscriminantAnalysis(solver="lsqr"), {"shrinkage": [None, "auto"]}),
        "SVM": (SVC(class_weight="balanced"), {"C": [1, 10]}),
        "RF": (RandomForestClassifier(300, class_weight="balanced_subsample", n_jobs=2), {"max_features": ["sqrt"]}),
        "KNN": (KNeighborsClassifier(), {"n_neighbors": [5, 15]}),
        "Bayes": (GaussianNB(), {"var_smoothing": [1e-9, 1e-2]}),
    }


MOST_KERNEL = 20_000
"""Training cells up to which the support vector machine has its usual kernel, whose time grows with their square."""


class Method(Protocol):
    """What every baseline offers: one function judges them all."""

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
    memory : str
        As `search`.
    """

    def __init__(self, method: str, chosen: Classical, seed: int, memory: str = "") -> None:
        self.method, self.chosen, self.seed, self.memory = method, chosen, seed, memory
        self.fitted: GridSearchCV | None = None

    @property
    def settings(self) -> str:
        """The settings that cross-validation chose, e.g. `C 10, k 30`."""
        if self.fitted is None:
            return ""
        chosen = ", ".join(f"{name.split('__')[1]} {value}" for name, value in sorted(self.fitted.best_params_.items()))
        linear = type(self.fitted.best_estimator_["classify"]).__name__ == "LinearSVC"
        return f"{chosen}, linear kernel (more than {MOST_KERNEL:,} training cells)" if linear else chosen

    def fit(self, cells: pd.DataFrame, classes: np.ndarray) -> None:
        """Fit to training cells, with their smears as groups of the cross-validation."""
        self.fitted = search(
            self.method, _values(cells), classes, cells["smear_id"].to_numpy(),
            selected=self.chosen.selected, folds=self.chosen.folds, seed=self.seed, memory=self.memory,
        )  # fmt: skip

    def predict(self, cells: pd.DataFrame) -> np.ndarray:
        """The class of each cell."""
        assert self.fitted is not None, "fit comes before predict"
        return self.fitted.predict(_values(cells))


def _values(cells: pd.DataFrame) -> np.ndarray:
    return np.ascontiguousarray(cells[handcrafted.names()].to_numpy())  # By rows: else the last digits of sums differ.


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


def records(cells: pd.DataFrame, reference: np.ndarray, predicted: np.ndarray) -> list[dict[str, Any]]:
    """Predictions of single cells in a form that fits into one row of a file; `pd.DataFrame` makes a frame of them.

    Parameters
    ----------
    cells : DataFrame
        (n,) rows of a manifest.
    reference, predicted : ndarray
        (n,), classes.

    Returns
    -------
    list of dict
        One a cell: `reference`, `predicted` and, of `KEPT`, what the manifest has.
    """
    people = cells[[column for column in KEPT if column in cells]]
    return people.assign(reference=reference, predicted=predicted).to_dict("records")


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
        accuracy (%) with the columns of `Interval.columns`, images, settings, seconds, testing (`records`). Unavailable
        with fewer than two classes in training, or without a testing image.
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
    seconds, testing = time.perf_counter() - began, records(cells[test], reference, predicted)
    accuracy = classification.accuracy(pd.DataFrame(testing))
    return {"accuracy": 100 * accuracy.estimate} | accuracy.columns() | {
        "images": len(testing), "settings": method.settings, "seconds": seconds, "testing": testing,
    }  # fmt: skip


def pipeline(method: str, seed: int, cells: int = 0) -> Pipeline:
    """Imputation (median, and what was missing), scaling, selection by mutual information, the classifier.

    Parameters
    ----------
    method : str
        Name in `METHODS`.
    seed : int
        Of the selection and of the classifiers that draw.
    cells : int
        Training cells: beyond MOST_KERNEL the support vector machine is a linear one.
    """
    from sklearn.feature_selection import SelectKBest, mutual_info_classif
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    classifier = classifiers()[method][0]
    if method == "SVM" and cells > MOST_KERNEL:
        classifier = LinearSVC(class_weight="balanced")
    if "random_state" in classifier.get_params():
        classifier = classifier.set_params(random_state=seed)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    selection = SelectKBest(partial(mutual_info_classif, random_state=seed))
    steps = [("impute", imputer), ("scale", StandardScaler()), ("select", selection), ("classify", classifier)]
    return Pipeline(steps)


def search(
    method: str,
    values: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    selected: tuple[int, ...],
    folds: int,
    seed: int,
    memory: str = "",
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
    memory : str
        Folder that keeps the selections of features, which are the same for every classifier and the slow part; a
        temporary one where it is empty.

    Returns
    -------
    GridSearchCV
        Fitted.
    """
    from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold

    grid = {f"classify__{name}": choices for name, choices in classifiers()[method][1].items()}
    grid["select__k"] = sorted({min(k, values.shape[1]) for k in selected})
    folds = min(folds, len(np.unique(groups)))
    rare = np.unique(labels, return_counts=True)[1].min() < folds
    splitter = GroupKFold(folds) if rare else StratifiedGroupKFold(folds)
    with tempfile.TemporaryDirectory(prefix="alnet-") as own, warnings.catch_warnings():
        # A fold may lack a rare class; balanced accuracy leaves it out, as wanted.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        model = pipeline(method, seed, len(values)).set_params(memory=memory or own)
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
        Index `method`; the columns of `judge`, and not_segmented, the testing images without a segmented cell, which
        are judged all the same. The seconds of the first method include the selection of features that all share.
        Unavailable as `judge`.
    """
    from alnet_lib.experiments.datasets import described

    cells, rows = described(setup.data, features), []
    show = setup.progress("classical classifiers")
    with tempfile.TemporaryDirectory(prefix="alnet-") as memory:
        for done, name in enumerate(METHODS):
            method = Handcrafted(name, setup.profile.classical, setup.profile.seed, memory)
            row = judge(method, cells, SIX_CLASSES)
            if isinstance(row, Unavailable):
                return row
            rows.append({"method": name} | row)
            show(done + 1, len(METHODS))
    judged = cells["split"].eq("test") & SIX_CLASSES.reference(cells).notna()
    table = pd.DataFrame(rows).assign(not_segmented=int(cells.loc[judged, "segmented"].eq(0).sum()))
    with atomic_path(setup.folder / ROWS) as temporary:
        table.to_parquet(temporary, index=False)
    return table.set_index("method")


def saved(folder: Path) -> pd.DataFrame | Unavailable:
    """What `compare` left in a setup's folder; `Damaged` where it is not what was written."""
    if not (file := folder / ROWS).is_file():
        return Unavailable("there was no comparison")
    with reading(file):
        return pd.read_parquet(file).set_index("method")


@if_available
def listed(rows: pd.DataFrame) -> Result:
    """Rows of `compare` without the records of single images."""
    return Result(rows.drop(columns="testing"))


@if_available
def apl_probability(setup: Setup, features: pd.DataFrame, cells: pd.DataFrame) -> pd.Series | Unavailable:
    """Probability of APL against AML of each eligible cell, by a linear discriminant on its handcrafted features.

    Trained on the training patients' eligible cells that have a label, as the modules are, each for its patient's
    diagnosis. Cells that vote without a label are scored only.

    Parameters
    ----------
    setup : Setup
        Manifest and profile.
    features : DataFrame
        Of `features`.
    cells : DataFrame
        One row a cell: image_id, patient_id, diagnosis, split, cell_type, and what `eligible` reads.

    Returns
    -------
    Series or Unavailable
        In [0, 1], with the index of the eligible cells of APL and AML smears. Unavailable where fewer than two training
        patients of either have labelled cells.
    """
    wanted = cells[eligible(cells) & cells["diagnosis"].isin(["APL", "AML"])]
    train = wanted[wanted["split"].eq("train") & wanted["cell_type"].ne("")]
    if train.groupby("diagnosis")["patient_id"].nunique().reindex(["APL", "AML"], fill_value=0).min() < 2:
        return Unavailable("the training split needs two patients with APL and two with AML")
    frame, chosen = features[handcrafted.names()].set_index(setup.data.manifest["image_id"]), setup.profile.classical
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
    from sklearn.feature_selection import mutual_info_classif
    from sklearn.impute import SimpleImputer

    manifest, groups = setup.data.manifest, SIX_CLASSES.reference(setup.data.manifest)
    train = manifest["split"].eq("train") & groups.notna()
    if groups[train].nunique() < 2:
        return Unavailable(SIX_CLASSES.lacking(manifest))
    own = features.loc[train.to_numpy(), handcrafted.names()]
    values = SimpleImputer(strategy="median", keep_empty_features=True).fit_transform(own)
    shared = mutual_info_classif(values, groups[train], random_state=setup.profile.seed)
    return pd.Series(shared, handcrafted.names()).sort_values(ascending=False).head(count)


@if_available
def sensitivities(rows: pd.DataFrame, method: str = "LDA") -> dict[str, Interval]:
    """Sensitivity of each cell group by one method.

    Parameters
    ----------
    rows : DataFrame
        Of `compare`.
    method : str
        Name in `METHODS`.

    Returns
    -------
    dict of str to Interval
        Group to its share in [0, 1], with its interval over patients; groups without a testing image are left out.
    """
    judged = pd.DataFrame(list(rows.loc[method, "testing"]))
    there = [group for group in CELL_GROUPS if judged["reference"].eq(group).any()]
    found = classification.rate_intervals(judged, there)
    return {group: found[group, "sensitivity"] for group in there}


@if_available
def accuracies(rows: pd.DataFrame) -> dict[str, Interval]:
    """Testing accuracy of each method, in [0, 1], with its interval over patients."""
    return {name: classification.accuracy(pd.DataFrame(list(row))) for name, row in rows["testing"].items()}
