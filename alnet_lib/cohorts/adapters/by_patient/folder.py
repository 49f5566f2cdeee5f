"""The user's own images: a folder per cell type, patients and smears above it, or a manifest file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.core.vocabulary import CELL_TYPES, MANIFEST_COLUMNS, USUAL_DIAGNOSIS
from alnet_lib.imaging.decoding import CROP_COLUMNS

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


MANDATORY = ("path", "cell_type", "smear_id", "diagnosis")
"""Columns a manifest file must have. The others are filled: patient_id from smear_id, split `train`, the rest empty."""


MAPPING_FILE = "mapping.csv"
"""The user's words for cells: columns `name` and `cell_type`, beside the manifest or in the folder; optional."""


@register(
    Source(
        name="folder",
        kind="private",
        images="the user's",
        citation="the user's",
        licence="the user's",
        home="your own export: a manifest (CSV or parquet), or folders named after the cell types",
        about=__doc__,
        layout="manifest.csv or .parquet; or <cell type>/<file>; or <patient>/<smear>/<cell type>/<file>",
        scale="unknown; the image is used whole, unless a manifest gives `field_of_view`",
        identifiers="the user's",
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read a manifest file, or folders; a `mapping.csv` beside it translates the user's cell names.

    From folders without patients each file is a smear of its own, so only cell-level results mean anything (a note
    says so); the diagnosis is then the one the paper gives to the cell type.

    Parameters
    ----------
    source : Source
        This source.
    data : Path, optional
        Folder of the original download.
    seed : int
        Of a split that the source does not bring.

    Returns
    -------
    Cohort
        With the source's labels translated to ours.

    Raises
    ------
    CohortError
        Nothing usable below `data`; the message says what was expected.
    """
    if data is None or not data.exists():
        raise CohortError(
            f"cohort {source.name} needs DATA=<folder or manifest file>; {data} does not exist. "
            f"Expected: {source.layout}"
        )
    listed = (
        data
        if data.is_file()
        else next((data / f"manifest.{e}" for e in ("csv", "parquet") if (data / f"manifest.{e}").is_file()), None)
    )
    return _from_manifest(source, listed) if listed else _from_folders(source, data)


def _mapping(root: Path) -> dict[str, str]:
    """The user's name of a cell -> cell type, empty where cells of that name are left out."""
    file = root / MAPPING_FILE
    if not file.is_file():
        return {}
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:
        raise CohortError(f"{file} cannot be read as a mapping: {' '.join(str(error).split())}") from error
    if missing := [column for column in ("name", "cell_type") if column not in frame]:
        raise CohortError(f"{file} lacks the columns {', '.join(missing)}")
    if strange := sorted(set(frame["cell_type"]) - {*CELL_TYPES, ""}):
        raise CohortError(
            f"{file} maps to {', '.join(strange)}; known are {', '.join(CELL_TYPES)}, and empty for what is left out"
        )
    if (twice := frame["name"].duplicated()).any():
        raise CohortError(f"{file} names {', '.join(sorted(set(frame['name'][twice])))} twice")
    return dict(zip(frame["name"], frame["cell_type"], strict=True))


def _from_manifest(source: Source, file: Path) -> Cohort:
    try:
        frame = (
            pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype=str, keep_default_na=False)
        )
    except (OSError, ValueError) as error:
        raise CohortError(f"{file} cannot be read as a manifest: {' '.join(str(error).split())}") from error
    if missing := [column for column in MANDATORY if column not in frame]:
        raise CohortError(
            f"{file} lacks the columns {', '.join(missing)}; mandatory are {', '.join(MANDATORY)}, "
            f"known are {', '.join(MANIFEST_COLUMNS)}"
        )
    defaults = {"image_id": frame["path"], "patient_id": frame["smear_id"], "site": "", "subtype": "", "split": "train"}
    for column, value in defaults.items():
        if column not in frame:
            frame[column] = value
    for column in {"immature", "smear_known"} & set(frame):
        frame[column] = _flags(frame[column], f"{file}: column {column}")
    for column in set(CROP_COLUMNS) & set(frame):
        frame[column] = _numbers(frame[column], f"{file}: column {column}")
    mapping, given = _mapping(file.parent), frame["cell_type"]
    # What is no text is left as it is: the validation names its row.
    translated = given.map(lambda name: mapping.get(name, name) if isinstance(name, str) else name)
    dropped = given.map(lambda name: isinstance(name, str) and mapping.get(name) == "").astype(bool)
    frame["cell_type"] = translated
    excluded = _excluded(_dropped(given[dropped].value_counts().to_dict()))
    kept = frame[~dropped].reset_index(drop=True)
    return Cohort(
        source.name,
        source.kind,
        file.parent,
        kept,
        source.citation,
        source.licence,
        (f"manifest {file.name}",),
        excluded,
    )


def _dropped(counts: dict[str, int]) -> dict[str, int]:
    return {f"`{name}` is left out by {MAPPING_FILE}": n for name, n in counts.items()}


def _excluded(reasons: dict[str, int]) -> pd.DataFrame:
    return pd.DataFrame(list(reasons.items()), columns=["reason", "count"])


def _flags(words: pd.Series, where: str) -> pd.Series:
    """Read true and false in the usual spellings; empty is true."""
    known = {"true": True, "yes": True, "1": True, "": True, "false": False, "no": False, "0": False}
    found = (
        words.astype(object)
        .where(words.notna(), "")
        .astype(str)
        .str.strip()
        .str.lower()
        .str.removesuffix(".0")
        .map(known)
    )
    if found.isna().any():
        raise CohortError(f"{where} is true or false, not {_in_rows(words, found.isna())}")
    return found.astype(bool)


def _numbers(words: pd.Series, where: str) -> pd.Series:
    """Read numbers with a decimal point; empty is NaN."""
    given = words.astype(object).where(words.notna() & words.ne(""), None)
    found = pd.to_numeric(given, errors="coerce").astype(float)
    if (wrong := given.notna() & found.isna()).any():
        raise CohortError(f"{where} holds numbers, not {_in_rows(given, wrong)}")
    return found


def _in_rows(words: pd.Series, wrong: pd.Series) -> str:
    """The first five wrong words, each with its row, counted from 0 below the heading."""
    listed = [f"`{str(words[row])[:60]}` (row {row})" for row in words.index[wrong][:5]]
    return ", ".join(listed) + (f" and {wrong.sum() - 5:,} more" if wrong.sum() > 5 else "")


def _from_folders(source: Source, root: Path) -> Cohort:
    rows: list[dict] = []
    strange: dict[str, int] = {}
    dropped: dict[str, int] = {}
    mapping = _mapping(root)
    for path in (file for file in layout.walk(root) if file.suffix.lower() in SUFFIXES):
        parts = path.relative_to(root).parts
        given = parts[-2] if len(parts) > 1 else ""
        cell_type = mapping.get(given, given)
        if given in mapping and not cell_type:
            dropped[given] = dropped.get(given, 0) + 1
            continue
        if cell_type not in CELL_TYPES or len(parts) not in (2, 4):
            strange[str(path.parent.relative_to(root))] = strange.get(str(path.parent.relative_to(root)), 0) + 1
            continue
        known = len(parts) == 4
        one = path.relative_to(root).with_suffix("").as_posix()
        patient, smear = (parts[0], f"{parts[0]}/{parts[1]}") if known else (one, one)
        rows.append(
            {
                "image_id": path.relative_to(root).with_suffix("").as_posix(),
                "path": path.relative_to(root).as_posix(),
                "cell_type": cell_type,
                "smear_id": smear,
                "patient_id": patient,
                "site": "",
                "diagnosis": USUAL_DIAGNOSIS[cell_type],
                "subtype": "",
                "split": "train",
                "smear_known": known,
            }
        )
    if not rows:
        have = ", ".join(f"{name} ({n} images)" for name, n in list(strange.items())[:5]) or "no image"
        raise CohortError(
            f"{root} is not in a known layout: expected {source.layout} with the cell types {', '.join(CELL_TYPES)}; "
            f"found {have}"
        )
    reasons = {f"folder `{name}` is no cell type": n for name, n in strange.items()} | _dropped(dropped)
    alone = sum(not row["smear_known"] for row in rows)
    notes = [f"{alone:,} images have no patient or smear: they count for cell-level results only"] if alone else []
    return Cohort(
        source.name,
        source.kind,
        root,
        pd.DataFrame(rows),
        source.citation,
        source.licence,
        tuple(notes),
        _excluded(reasons),
    )
