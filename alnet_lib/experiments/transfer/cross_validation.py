"""APL against AML, cross-validated by patient, and fitted on the first patients for the external ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.experiments.transfer import embeddings, methods, patients
from alnet_lib.experiments.transfer.fine_tuning import FineTuned
from alnet_lib.networks.starts.files import StartError
from alnet_lib.networks.starts.imagenet import WeightsError

if TYPE_CHECKING:
    from alnet_lib.core.profile import FrozenStart
    from alnet_lib.core.progress import Progress
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.experiments.transfer.methods import Method
    from alnet_lib.experiments.transfer.patients import Fold

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Judged:
    """Scores of patients that no fit has seen.

    Attributes
    ----------
    rows : DataFrame
        A row a patient and fold: `repeat` (from 1; `patients.DISCOVERY` for external patients), `fold`, `patient_id`,
        `apl` (bool), `n_cells`, and the scores by their keys; higher means APL, NaN where there is none.
    titles : mapping of str to str
        Key of a score to its name, in the order of the tables.
    pairs : tuple of tuple of str
        Keys of scores to compare, the first less the second.
    notes : tuple of str
        What a reader should know, in sentences.
    """

    rows: pd.DataFrame
    titles: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)


def judge(
    cells: pd.DataFrame,
    folds: Sequence[Fold],
    ways: Sequence[Method],
    members: Sequence[str] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score the patients of each fold by methods fitted on the cells of its other patients.

    Parameters
    ----------
    cells : DataFrame
        Of `patients.voting`.
    folds : sequence of Fold
        Of these cells.
    ways : sequence of Method
        A patient's score is the mean of the numbers that they give to the cells.
    members : sequence of str
        Keys of log-odds; two or more give the score `ensemble`: their mean, each divided by its standard deviation over
        the fitted cells of the fold. A fold that lacks one of them has no ensemble.
    progress : callable, optional
        Called with folds done and their number.

    Returns
    -------
    DataFrame
        As `Judged.rows`.
    """
    parts = []
    for done, fold in enumerate(folds, 1):
        found: dict[str, np.ndarray] = {}
        for way in ways:
            found.update(way(fold))
        if len(members) > 1 and set(members) <= set(found):
            found[ENSEMBLE] = np.mean([found[key] / max(found[key][fold.fit].std(), 1e-9) for key in members], axis=0)
        own = pd.DataFrame(found).assign(patient_id=cells["patient_id"], apl=cells["apl"])[fold.judged]
        people = own.groupby("patient_id", sort=True)
        scored = people.mean(numeric_only=False).assign(apl=people["apl"].first(), n_cells=people.size())
        parts.append(scored.reset_index().assign(repeat=fold.repeat, fold=fold.number))
        if progress:
            progress(done, len(folds))
    return pd.concat(parts, ignore_index=True)


@if_available
def cross_validated(setup: Setup, features: pd.DataFrame) -> Judged | Unavailable:
    """Judge all patients of APL and AML by all methods, on the same folds.

    Every voting cell of every such patient takes part, whatever its split: k folds of patients stratified by diagnosis,
    dealt several times; and once the training and testing splits against the external one.

    Parameters
    ----------
    setup : Setup
        Of `embeddings.seen`: pictures, profile, folder, device.
    features : DataFrame
        Of `classical.features`, one row an image in the manifest's order.

    Returns
    -------
    Judged or Unavailable
        Methods whose start cannot be had are left out and named in the notes. Unavailable as `patients.deal`.

    Raises
    ------
    alnet_lib.training.fitting.TrainingDiverged
        The loss of a fine-tuned network became NaN or infinite.
    """
    settings, cells = methods.settings_of(setup.profile), patients.voting(setup.data.manifest)
    deals = patients.deal(cells, setup.profile, folds=settings.folds, repeats=settings.repeats)
    if isinstance(deals, Unavailable):
        return deals
    later = patients.discovery(cells)
    folds, notes = ([later] if later else []) + deals, []
    used = max(fold.number for fold in deals)
    if used < settings.folds:
        notes.append(f"The profile asks for {settings.folds} folds; the rarer diagnosis has only {used} patients.")
    if later is None:
        notes.append("Either side of the split lacks APL or AML, so no external patients are judged.")
    found = embedded(setup, cells, settings.starts)
    missing, ways = dict(found.missing), methods.fraction(cells)
    ways += [*methods.plain(setup, cells, features), *methods.frozen(setup, cells, found)]
    tuned, members = _fine_tuned(setup, cells, folds, missing), _transferred(found)
    if tuned:
        ways.append(tuned)
        members += [tuned.key] if tuned.pretrained else []
        notes.append(tuned.note)
    notes += [f"Left out: {title} ({reason})." for title, reason in missing.items()]
    line = setup.progress("APL against AML, folds")
    scores = judge(cells, folds, ways, members, line)
    # The scores that come beside a method's own stand after all methods.
    titles = {way.key: way.titles[way.key] for way in ways if way is not tuned}
    titles |= {key: title for way in ways for key, title in way.titles.items()}
    titles |= {ENSEMBLE: f"ensemble of {len(members)}"} if len(members) > 1 else {}
    return Judged(scores, titles, _pairs(found, members), tuple(notes))


def embedded(setup: Setup, cells: pd.DataFrame, wanted: Sequence[FrozenStart]) -> embeddings.Embedded:
    """Embed the voting cells, turned as often as the profile's `transfer` asks for.

    Parameters
    ----------
    setup : Setup
        Of `embeddings.seen`.
    cells : DataFrame
        Of `patients.voting`.
    wanted : sequence of FrozenStart
        Networks and their starts.
    """
    turns, rows = methods.settings_of(setup.profile).turns, cells["row"].to_numpy(np.int64)
    return embeddings.embedded(setup, wanted, rows, part="voting", turns=turns)


def _fine_tuned(setup: Setup, cells: pd.DataFrame, folds: Sequence[Fold], missing: dict[str, str]) -> FineTuned | None:
    settings = methods.settings_of(setup.profile).fine_tuned
    if settings is None:
        return None
    tuned = FineTuned(setup, cells, settings)
    try:
        tuned(folds[0])  # Kept in a file, so this is no work done twice.
    except (StartError, WeightsError) as error:
        missing["fine-tuned"] = str(error).split(". ")[0]
        return None
    return tuned


def _transferred(found: embeddings.Embedded) -> list[str]:
    return [methods.frozen_key(start) for start in found.values if embeddings.pretrained(start)]


def _pairs(found: embeddings.Embedded, members: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The ensemble against the plain baseline, and the first pretrained start against the first random one."""
    pairs = [(ENSEMBLE, "colour_and_size")] if len(members) > 1 else []
    untrained = [methods.frozen_key(start) for start in found.values if not embeddings.pretrained(start)]
    pairs += list(zip(_transferred(found)[:1], untrained[:1], strict=False))
    return tuple(pairs)
