"""Cohorts by name: each adapter turns one source, untouched, into the manifest; everything else only reads that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd

from alnet_lib.cohorts import folder, jhu_apl, synthetic
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.validation import validated

ADAPTERS: dict[str, ModuleType] = {module.NAME: module for module in (synthetic, jhu_apl, folder)}

__all__ = ["ADAPTERS", "Cohort", "CohortError", "build", "table"]


def table() -> pd.DataFrame:
    """The cohorts this kit knows: name, kind, images, licence, source."""
    columns = ("NAME", "KIND", "IMAGES", "LICENCE", "SOURCE")
    return pd.DataFrame([{c.lower(): getattr(module, c) for c in columns} for module in ADAPTERS.values()])


def build(
    name: str,
    out: Path,
    *,
    data: str | Path | None = None,
    scale: float = 1.0,
    seed: int = 2021,
    manifest_only: bool = False,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Read or draw a cohort, validate it, and write out/manifest.parquet and out/cohort.json.

    Parameters
    ----------
    name: key of ADAPTERS. out: folder to write. data: folder of the original download, for real cohorts.
    scale: share of the images, for the drawn cohort. manifest_only: draw and read no image.

    Raises
    ------
    CohortError
        unknown name, a folder that is not the data set, or problems in manifest or images (all of them listed).
    """
    if name not in ADAPTERS:
        raise CohortError(f"unknown cohort `{name}`: known are {', '.join(ADAPTERS)}")
    _writable(out)
    adapter = ADAPTERS[name]
    if adapter is synthetic:
        cohort = synthetic.build(
            out, scale=scale, seed=seed, manifest_only=manifest_only, workers=workers, progress=progress
        )
    else:
        cohort = adapter.read(Path(data).expanduser() if data else None, seed=seed)
    if not manifest_only:
        drawn = adapter is synthetic
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
