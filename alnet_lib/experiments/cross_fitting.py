"""Training smears judged by modules that have not seen their patients (cross-fitting).

What is chosen on module 1's output (threshold of the vote, calibration, learned vote) must not be chosen on cells that
module 1 was fitted on: it is surer of them than of any other. The training split's patients are dealt into folds; both
modules are trained on the other folds and predict the fold that was left out. A profile may give the folds a smaller
network than module 1's own, to save time: `made_by` says so and stands in every caption of what rests on such cells.
Source: stacked generalisation, Wolpert, Neural Networks 5:241 (1992); the name is of Chernozhukov et al., Econometrics
Journal 21:C1 (2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.files import atomic_path, sha256
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.eligibility import eligible, known_smear
from alnet_lib.diagnosis.prediction import add_probabilities
from alnet_lib.diagnosis.tasks import MODULE_1, MODULES, ModuleSpec
from alnet_lib.experiments import module_training
from alnet_lib.experiments.datasets import labelled
from alnet_lib.networks import architectures

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile, Training
    from alnet_lib.experiments.preparation import Setup

DEALS = 20
"""Deals of the patients that are tried until no fold holds all patients of a class."""


def cross_fitted(setup: Setup) -> pd.DataFrame | Unavailable:
    """Give every training cell the probabilities of modules that were fitted without its patient.

    Each fold's predictions are saved as `<folder>/cross_fitting/fold-<k>-<module>.parquet`, so that a killed run goes
    on after the last of them. Images whose patients are unknown are fitted on in every fold and never predicted.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder, device.

    Returns
    -------
    DataFrame or Unavailable
        One row a cell of the training split whose patient is known and that votes or has a class of module 1: the
        manifest's columns, `eligible` (bool), `fold` (int, from 1), `p1_<class>` and, where module 2 can be trained in
        every fold, `p2_<class>` (float32 in [0, 1]). Unavailable where the profile sets no `cross_fitting`, with fewer
        than two patients, or where module 1 lacks a class once a fold is left out.

    Raises
    ------
    alnet_lib.training.fitting.TrainingDiverged
        The loss of a training became NaN or infinite.
    """
    settings, manifest = setup.profile.cross_fitting, setup.data.manifest
    if settings is None:
        return Unavailable("the profile sets no `cross_fitting`")
    fold_of = folds(manifest, setup.profile, settings.folds)
    if isinstance(fold_of, Unavailable):
        return fold_of
    if (reason := lacking(manifest, MODULE_1, fold_of)) is not None:
        return Unavailable(reason)
    cells = manifest[_predicted(manifest)].reset_index(drop=True)
    cells = cells.assign(eligible=eligible(cells), fold=cells["patient_id"].map(fold_of).astype(int))
    for spec, training in zip(MODULES, (settings.module_1, settings.module_2), strict=True):
        if lacking(manifest, spec, fold_of) is None:
            parts = [_fold(setup, spec, training, cells, fold_of, k) for k in range(1, int(fold_of.max()) + 1)]
            found = pd.concat(parts).set_index("image_id").loc[cells["image_id"], spec.columns]
            cells[spec.columns] = found.to_numpy(np.float32)
    return cells


def own_settings(profile: Profile) -> bool:
    """Whether the folds' module 1 has all settings of module 1 itself, so that both judge unseen patients alike."""
    return profile.cross_fitting is not None and profile.cross_fitting.module_1 == profile.module_1


def made_by(profile: Profile) -> str:
    """Say which networks give the cross-fitted cells their probabilities of module 1, for notes and captions.

    Parameters
    ----------
    profile : Profile
        Settings of module 1 and of the cross-fitting.

    Returns
    -------
    str
        Goes on after a noun or verb, without a full stop: `by SqueezeNet 1.1 (120 iterations), not module 1's VGG16
        (1,200 iterations)`, or `by networks of module 1's own settings` where `own_settings` holds.
    """
    if profile.cross_fitting is None:
        return "by none: the profile sets no `cross_fitting`"
    if own_settings(profile):
        return "by networks of module 1's own settings"
    theirs, own = profile.cross_fitting.module_1, profile.module_1
    if (theirs.backbone, theirs.iterations) == (own.backbone, own.iterations):
        return f"by {_named(theirs)}, trained with other settings than module 1"
    return f"by {_named(theirs)}, not module 1's {_named(own)}"


def _named(training: Training) -> str:
    return f"{architectures.title(training.backbone)} ({training.iterations:,} iterations)"


@if_available
def note(setup: Setup, cells: pd.DataFrame) -> str:
    """Say what was cross-fitted, by which networks, and what was not.

    Parameters
    ----------
    setup : Setup
        Images and profile.
    cells : DataFrame
        Of `cross_fitted`.
    """
    patients, used = cells["patient_id"].nunique(), cells["fold"].nunique()
    text = f"{len(cells):,} training cells of {patients} patients, each predicted without its patient ({used} folds), "
    text += f"{made_by(setup.profile)}."
    if not own_settings(setup.profile):
        text += " What is chosen on them is chosen for such a network, and may not fit module 1."
    settings, manifest = setup.profile.cross_fitting, setup.data.manifest
    if settings and used < settings.folds:
        text += f" The profile asks for {settings.folds} folds; there are only {patients} patients."
    if unknown := int((manifest["split"].eq("train") & ~known_smear(manifest)).sum()):
        text += f" {unknown:,} training cells of unknown patients are fitted on in every fold and not predicted."
    return text


def folds(manifest: pd.DataFrame, profile: Profile, asked: int) -> pd.Series | Unavailable:
    """Deal the training split's known patients into folds, the same for both modules.

    Patients with what is rare come first, each into the fold that has least of what that patient has: classes of cells,
    the diagnosis, cells. So the folds have about as many patients of each diagnosis, and a class of two patients or
    more is not in one fold alone, unless no deal of a few tried avoids it.

    Parameters
    ----------
    manifest : DataFrame
        One row an image.
    profile : Profile
        Its seed.
    asked : int
        Folds; as many as there are patients, if these are fewer.

    Returns
    -------
    Series or Unavailable
        Fold (int, from 1) of each patient, index patient_id. Unavailable with fewer than two patients.
    """
    own = manifest[_predicted(manifest)]
    classes = [pd.crosstab(own["patient_id"], spec.reference(own)).clip(upper=1) for spec in MODULES]
    diagnosis = pd.crosstab(own["patient_id"], own["diagnosis"].fillna("")).clip(upper=1)
    cells = own.groupby("patient_id").size().to_frame("cells").assign(patients=1)
    if len(cells) < 2:
        return Unavailable(f"two known patients are needed in the training split; there are {len(cells)}")
    has = pd.concat([cells, diagnosis, *classes], axis=1).fillna(0).sort_index()
    share = has.to_numpy(float) / has.to_numpy(float).sum(0)
    rng = profile.generator("cross-fitting/folds")
    for _ in range(DEALS):
        dealt = pd.Series(_deal(share, min(asked, len(has)), rng), index=has.index)
        if all(_alone(manifest, spec, dealt, of_patients=2) == [] for spec in MODULES):
            break
    return dealt


def _deal(share: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Fold (from 1) of each row of `share` (patients, traits), whose columns sum to 1."""
    order = rng.permutation(len(share))
    order = order[np.argsort(-share[order].max(1), kind="stable")]
    load, fold = np.zeros((number, share.shape[1])), np.zeros(len(share), int)
    for patient in order:
        fold[patient] = np.argmin(load @ (share[patient] > 0))
        load[fold[patient]] += share[patient]
    return fold + 1


def lacking(manifest: pd.DataFrame, spec: ModuleSpec, fold_of: pd.Series) -> str | None:
    """Why a module cannot be trained in every fold, in words; None where it can.

    Parameters
    ----------
    manifest : DataFrame
        One row an image.
    spec : ModuleSpec
        The module.
    fold_of : Series
        Of `folds`.
    """
    if spec.reference(manifest[manifest["split"].eq("train")]).nunique() < 2:
        return spec.lacking(manifest)
    if not (alone := _alone(manifest, spec, fold_of)):
        return None
    names = ", ".join(LABELS[name] for name in alone)
    return f"all training cells of {names} would be left out at once: each class needs patients in two folds"


def _alone(manifest: pd.DataFrame, spec: ModuleSpec, fold_of: pd.Series, *, of_patients: int = 1) -> list[str]:
    """Classes, of so many patients or more, whose training images are all in one fold."""
    own = spec.labelled(manifest[manifest["split"].eq("train")])
    always = "in every training"  # Images of unknown patients are never left out.
    where = own["patient_id"].map(fold_of).astype(object).where(known_smear(own), always)
    alone = where.groupby(spec.reference(own)).agg(lambda folds: len(set(folds) - {always}) == len(set(folds)) == 1)
    patients = own.groupby(spec.reference(own))["patient_id"].nunique()
    return [name for name in spec.classes if alone.get(name, False) and patients[name] >= of_patients]


def _predicted(manifest: pd.DataFrame) -> pd.Series:
    has_class, may_vote = manifest["cell_type"].isin(MODULE_1.mapping), manifest["cell_type"].eq("")
    return manifest["split"].eq("train") & known_smear(manifest) & (has_class | (may_vote & eligible(manifest)))


def _fold(
    setup: Setup, spec: ModuleSpec, settings: Training, cells: pd.DataFrame, fold_of: pd.Series, number: int
) -> pd.DataFrame:
    """Train a module on all folds but one and predict the cells of that one: image_id, probabilities, key."""
    data, everything = setup.data, labelled(setup.data, spec)
    about = data.manifest.iloc[everything.rows]
    left_out = about["patient_id"].map(fold_of).eq(number) & known_smear(about)
    images, own = everything.take(~left_out.to_numpy()), cells[cells["fold"].eq(number)][["image_id"]]
    name, rows = f"cross-fitting/fold {number}", data.rows_of(own["image_id"])
    key = sha256(module_training.fitted_key(setup, spec, images, settings, name=name), rows.tobytes())[:16]
    path = setup.folder / "cross_fitting" / f"fold-{number}-{spec.name}.parquet"
    if (saved := kept(path, pd.read_parquet)) is not None and saved.get("key", pd.Series([""])).eq(key).all():
        return saved
    network, options = module_training.fitted(setup, spec, images, settings, name=name)
    batch = setup.profile.prediction_batch
    found = add_probabilities(own, spec, network, data.pixels, rows, options, batch=batch).assign(key=key)
    with atomic_path(path) as partial:
        found.to_parquet(partial, index=False)
    return found
