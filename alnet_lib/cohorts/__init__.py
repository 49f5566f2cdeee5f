"""Cohorts by name: each adapter turns one source, untouched, into the manifest; everything else only reads that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd

from alnet_lib.cohorts import (
    all_idb2,
    aml_lmu,
    aml_mll_helmholtz,
    bodzas_2023,
    cnmc_2019,
    folder,
    jhu_apl,
    leukemia_attri,
    mll23,
    pbc_normal_dib,
    synthetic,
)
from alnet_lib.cohorts.combining import combine
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.splitting import by_patient
from alnet_lib.cohorts.validation import validated
from alnet_lib.cohorts.vocabulary import CELL_TYPES, LABELS
from alnet_lib.files import cohort_folders

ADAPTERS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        synthetic, jhu_apl, pbc_normal_dib, aml_lmu, aml_mll_helmholtz, mll23, bodzas_2023, leukemia_attri, cnmc_2019,
        all_idb2, folder,
    )
}  # fmt: skip

__all__ = ["ADAPTERS", "Cohort", "CohortError", "build", "read", "resolve", "table"]


def resolve(name: str) -> list[str]:
    """The adapters that `a+b` names; the beginning of a name is enough where it is the only one that begins so.

    Raises
    ------
    CohortError
        unknown or ambiguous name, one named twice, or the drawn cohort combined with another.
    """
    found = []
    for part in name.split("+"):
        known = [part] if part in ADAPTERS else [key for key in ADAPTERS if part and key.startswith(part)]
        if len(known) != 1:
            meant = f": it may mean {', '.join(known)}" if known else f": known are {', '.join(ADAPTERS)}"
            raise CohortError(f"unknown cohort `{part}`{meant}")
        found += known
    if len(set(found)) < len(found):
        raise CohortError(f"cohort `{name}` names a source twice")
    if len(found) > 1 and synthetic.NAME in found:
        raise CohortError("drawn cells are not combined with patients' cells")
    return found


def read(name: str, data: str | Path | None, *, seed: int = 2021) -> Cohort:
    """Read one public or private source, or several joined by `+`, without opening their pictures.

    Raises
    ------
    CohortError
        see `resolve`; a source without its folder; a folder that is not the data set.
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
            parts.append(ADAPTERS[adapter].read(where, seed=seed))
        except CohortError:
            raise
        except Exception as error:
            # Foreign files: a table or annotation file may end early, or lack what it should have, in any way.
            raise CohortError(_unreadable(where, adapter, error)) from error
    return parts[0] if len(parts) == 1 else combine(parts)


def _unreadable(where: Path | None, adapter: str, error: Exception) -> str:
    what = f"{where} could not be read as {adapter} ({type(error).__name__}: {' '.join(str(error).split())})."
    if adapter == folder.NAME or isinstance(error, PermissionError):
        return what
    return f"{what} Unpack the whole archive again ({ADAPTERS[adapter].SOURCE})."


def cell_types(module: ModuleType) -> str:
    """The cell types that an adapter's source has, by name."""
    there = {*getattr(module, "MAPPING", {}).values(), *getattr(module, "IMMATURE", {}).values()}
    if module in (synthetic, folder) or there == {*CELL_TYPES}:
        return "all seven"
    return ", ".join(LABELS[name] for name in CELL_TYPES if name in there) or "unlabelled"


def table() -> pd.DataFrame:
    """The cohorts this kit knows: name, images, cell types, identifiers, licence."""
    facts = [(m.NAME, m.IMAGES, cell_types(m), m.IDENTIFIERS, m.LICENCE) for m in ADAPTERS.values()]
    return pd.DataFrame(facts, columns=["name", "images", "cell types", "identifiers", "licence"])


def build(
    name: str,
    out: Path,
    *,
    data: str | Path | None = None,
    scale: float = 1.0,
    seed: int = 2021,
    split: Literal["given", "patient"] = "given",
    manifest_only: bool = False,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Read or draw a cohort, validate it, and write out/manifest.parquet and out/cohort.json.

    Parameters
    ----------
    name: key of ADAPTERS, or several joined by `+`. out: folder to write. data: folder of the original download, for
    real cohorts; `a=DIR,b=DIR` for several. scale: share of the images, for the drawn cohort. split: `patient` puts all
    smears of a patient on one side, whatever the source says. manifest_only: draw and read no image.
    allow_truncated: use JPEG files that end early, named among the notes.

    Raises
    ------
    CohortError
        unknown name, a folder that is not the data set, or problems in manifest or images (all of them listed).
    """
    drawn = resolve(name) == [synthetic.NAME]
    _writable(out)
    if drawn:
        cohort = synthetic.build(
            out, scale=scale, seed=seed, manifest_only=manifest_only, workers=workers, progress=progress
        )
    else:
        cohort = read(name, data, seed=seed)
    if split == "patient":
        notes = (*cohort.notes, "split by patient: no patient is both trained on and tested on")
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
