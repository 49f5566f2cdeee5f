"""Cohorts by name: read from their sources or drawn, validated, and written as a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

# Imported to register their sources, by name, so that core.code finds them.
from alnet_lib.cohorts.adapters.by_class import all_idb2, aml_lmu, bodzas_2023, mll23, pbc_normal_dib  # noqa: F401
from alnet_lib.cohorts.adapters.by_patient import (  # noqa: F401
    aml_mll_helmholtz,
    cnmc_2019,
    folder,
    jhu_apl,
    leukemia_attri,
)
from alnet_lib.cohorts.adapters.source import SOURCES, listed
from alnet_lib.cohorts.combining import combine
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.splitting import by_patient, thinned
from alnet_lib.cohorts.synthetic import twin
from alnet_lib.cohorts.validation import validated
from alnet_lib.core.arguments import cohort_folders

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile
    from alnet_lib.core.progress import Progress

__all__ = ["SOURCES", "Cohort", "CohortError", "build", "listed", "read", "resolve", "table"]


def resolve(name: str) -> list[str]:
    """Find the sources that `a+b` names; the beginning of a name is enough where it is unambiguous.

    Parameters
    ----------
    name : str
        One or more names joined by `+`.

    Returns
    -------
    list of str
        Keys of SOURCES.

    Raises
    ------
    CohortError
        Unknown or ambiguous name, one named twice, or the synthetic cohort combined with another.
    """
    names, found = [source.name for source in listed()], []
    for part in name.split("+"):
        known = [part] if part in SOURCES else [key for key in names if part and key.startswith(part)]
        if len(known) != 1:
            meant = f": it may mean {', '.join(known)}" if known else f": known are {', '.join(names)}"
            raise CohortError(f"unknown cohort `{part}`{meant}")
        found += known
    if len(set(found)) < len(found):
        raise CohortError(f"cohort `{name}` names a source twice")
    if len(found) > 1 and twin.NAME in found:
        raise CohortError("synthetic cells are not combined with cells of patients")
    return found


def read(name: str, data: str | Path | None, *, seed: int = 2021) -> Cohort:
    """Read one source, or several joined by `+`, without validating their images.

    Parameters
    ----------
    name : str
        See `resolve`.
    data : str or Path, optional
        Folder of the original download; `a=DIR,b=DIR` for several.
    seed : int
        Of splits that sources do not bring.

    Returns
    -------
    Cohort
        Not yet validated.

    Raises
    ------
    CohortError
        See `resolve`; a source without its folder; a folder that is not the data set.
    """
    names = resolve(name)
    try:
        folders = cohort_folders(name, str(data or ""))
    except ValueError as error:
        raise CohortError(str(error)) from error
    parts = []
    for part, adapter in zip(name.split("+"), names, strict=True):
        where = Path(folders[part]).expanduser() if part in folders else None
        try:
            parts.append(SOURCES[adapter].read(where, seed=seed))
        except CohortError:
            raise
        except Exception as error:
            # Foreign files: a table or annotation file may end early, or lack what it should have, in any way.
            raise CohortError(_unreadable(where, adapter, error)) from error
    return parts[0] if len(parts) == 1 else combine(parts)


def _unreadable(where: Path | None, adapter: str, error: Exception) -> str:
    what = f"{where} could not be read as {adapter} ({type(error).__name__}: {' '.join(str(error).split())})."
    if SOURCES[adapter].kind == "private" or isinstance(error, PermissionError):
        return what
    return f"{what} Unpack the whole archive again ({SOURCES[adapter].home})."


def table() -> pd.DataFrame:
    """List the cohorts this kit knows.

    Returns
    -------
    DataFrame
        name, images, cell types, identifiers, licence.
    """
    facts = [(s.name, s.images, s.cell_types, s.identifiers, s.licence) for s in listed()]
    return pd.DataFrame(facts, columns=["name", "images", "cell types", "identifiers", "licence"])


def build_for(profile: Profile, name: str, out: Path, data: str, progress: Progress | None = None) -> Cohort:
    """Build a cohort as a profile has it; see `build`.

    Parameters
    ----------
    profile : Profile
        Cohort fraction, seed, split, and whether truncated files are used.
    name : str
        Of the cohort.
    out : Path
        Folder to write.
    data : str
        Folder or folders of the original download; empty for the synthetic cohort.
    progress : callable, optional
        Called with images done and in all.
    """
    return build(
        name, out, data=data or None, fraction=profile.cohort_fraction, seed=profile.seed, split=profile.split,
        few=profile.rehearsal, allow_truncated=profile.allow_truncated, progress=progress,
    )  # fmt: skip


def build(
    name: str,
    out: Path,
    *,
    data: str | Path | None = None,
    fraction: float = 1.0,
    few: bool = False,
    seed: int = 2021,
    split: Literal["given", "patient"] = "given",
    manifest_only: bool = False,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Read or draw a cohort, validate it, and write out/manifest.parquet and out/cohort.json.

    Parameters
    ----------
    name : str
        Key of SOURCES, or several joined by `+`.
    out : Path
        Folder to write.
    data : str or Path, optional
        Folder of the original download, for real cohorts; `a=DIR,b=DIR` for several.
    fraction : float
        In (0, 1], share of the images of the synthetic cohort.
    few : bool
        Of real patients too, only this share of each cell type of each smear, for a rehearsal.
    seed : int
        Of everything drawn, and of splits.
    split : str
        `patient` puts all smears of a patient on one side, whatever the source says.
    manifest_only : bool
        Draw and read no image.
    allow_truncated : bool
        Use JPEG files that end early, named among the notes.
    workers : int, optional
        Threads or processes; default one a processor.
    progress : callable, optional
        Called with images done and in all.

    Returns
    -------
    Cohort
        As written.

    Raises
    ------
    CohortError
        Unknown name, a folder that is not the data set, or problems in manifest or images (all of them listed).
    ValueError
        A fraction outside (0, 1].
    """
    drawn = resolve(name) == [twin.NAME]
    _writable(out)
    if drawn:
        cohort = twin.build(
            out, fraction=fraction, seed=seed, manifest_only=manifest_only, workers=workers, progress=progress
        )
    else:
        cohort = read(name, data, seed=seed)
        if few:
            manifest = thinned(cohort.manifest, fraction)
            note = f"a rehearsal: {len(manifest):,} of {len(cohort.manifest):,} images"
            cohort = replace(cohort, manifest=manifest, notes=(*cohort.notes, note))
    if split == "patient":
        notes = (*cohort.notes, "split by patient: no patient is in both training and test split")
        manifest = by_patient(cohort.manifest, np.random.default_rng([seed, 0x53504C]))
        cohort = replace(cohort, manifest=manifest, notes=notes)
    if not manifest_only:
        cohort = validated(
            cohort, allow_truncated=allow_truncated, workers=workers, progress=None if drawn else progress
        )
    cohort = replace(cohort, manifest=cohort.manifest.reset_index(drop=True))
    try:
        cohort.save(out)
    except OSError as error:
        raise CohortError(f"the cohort could not be written to {out}: {error}") from error
    return cohort


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CohortError(f"{out} cannot be written: {error.strerror or error}") from error
