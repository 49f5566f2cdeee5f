"""Several sources as one cohort: manifests one below the other, each row keeping where it comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from alnet_lib.cohorts.manifest import Cohort

WARNING = "classes come from different sources: source predicts class, see the shortcut baselines of notebook 01"


def combine(parts: Sequence[Cohort]) -> Cohort:
    """Concatenate the manifests of two or more cohorts.

    Image, smear and patient identifiers get the source's name before them, paths start from the folder that all share.
    A source without a site gets its name as one: images of unknown patients are then one cluster a source.

    Parameters
    ----------
    parts : sequence of Cohort
        Not yet validated.

    Returns
    -------
    Cohort
        `source` names the cohort of each row.
    """
    root = Path(os.path.commonpath([part.root.resolve() for part in parts]))
    frames, left_out = [], []
    for part in parts:
        below = part.root.resolve().relative_to(root)
        own = part.manifest.assign(
            source=part.name,
            source_kind=part.kind,
            path=[(below / str(path)).as_posix() for path in part.manifest["path"]],
        )
        for column in ("image_id", "smear_id", "patient_id"):
            own[column] = part.name + "/" + own[column].astype(str).str.removeprefix(f"{part.name}/")
        own["site"] = own["site"].where(own["site"].fillna("").ne(""), part.name)
        frames.append(own)
        left_out.append(part.excluded.assign(reason=part.name + ": " + part.excluded["reason"].astype(str)))
    manifest = pd.concat(frames, ignore_index=True)
    for column in {"immature", "smear_known"} & set(manifest.columns):
        manifest[column] = manifest[column].astype("boolean").fillna(True).astype(bool)
    return Cohort(
        name="+".join(part.name for part in parts),
        kind="private" if any(part.kind == "private" for part in parts) else "public",
        root=root,
        manifest=manifest,
        citation="; ".join(part.citation for part in parts),
        licence="; ".join(f"{part.name}: {part.licence}" for part in parts),
        notes=(WARNING, *(f"{part.name}: {note}" for part in parts for note in part.notes)),
        excluded=pd.concat(left_out, ignore_index=True),
    )
