"""Every problem of a manifest and its images, reported at once, by row and file, before anything trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.schema import findings, manifest_schema
from alnet_lib.core.files import sha256
from alnet_lib.core.resources import in_threads
from alnet_lib.core.vocabulary import KINDS, MANIFEST_COLUMNS
from alnet_lib.imaging import decoding
from alnet_lib.imaging.decoding import CROP_COLUMNS

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress

WIDEST_FIELD = 5
"""Largest field of view, as a multiple of the image's longer side: what lies outside is filled by reflection."""

FLAGS = ("immature", "smear_known")
"""Columns of true and false."""

SHOWN = 1000
"""Errors that the message lists; `check` gives all."""

NAMED = 5
"""Smears that one warning names."""


@dataclass(frozen=True)
class Problem:
    """One problem of a cohort.

    Attributes
    ----------
    severity : str
        `error` stops the run, `warning` is shown.
    row : int
        Position in the manifest, -1 for the whole.
    path : str
        File of the row.
    what, fix : str
        What is wrong, and what to do about it.
    column : str
        Column of the manifest, empty where it is not of one.
    """

    severity: str
    row: int
    path: str
    what: str
    fix: str = ""
    column: str = ""

    def __str__(self) -> str:
        where = f"row {self.row}, {self.path}: " if self.row >= 0 else ""
        return f"{self.severity}: {where}{self.what}" + (f" {self.fix}" if self.fix else "")


def validate(
    cohort: Cohort,
    *,
    check_images: bool = True,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Problem]:
    """Find all problems of a cohort.

    Parameters
    ----------
    cohort : Cohort
        As an adapter gave it.
    check_images : bool
        Also read every file.
    allow_truncated : bool
        JPEG files that end early are warnings, not errors.
    workers : int, optional
        Threads; default one a processor.
    progress : callable, optional
        Called with images read and in all.

    Returns
    -------
    list of Problem
        Errors and warnings.
    """
    return check(
        cohort, check_images=check_images, allow_truncated=allow_truncated, workers=workers, progress=progress
    )[1]


def check(
    cohort: Cohort,
    *,
    check_images: bool = True,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Cohort, list[Problem]]:
    """Find all problems of a cohort, and hash its images.

    Parameters
    ----------
    cohort : Cohort
        As an adapter gave it.
    check_images : bool
        Also read every file.
    allow_truncated : bool
        JPEG files that end early are warnings, not errors.
    workers : int, optional
        Threads; default one a processor.
    progress : callable, optional
        Called with images read and in all.

    Returns
    -------
    cohort : Cohort
        With a `sha256` column of the images' contents, without repeats of public sources.
    problems : list of Problem
        Errors and warnings.
    """
    if progress and check_images:
        progress(0, len(cohort.manifest))  # The table is checked first: a minute where it has millions of rows.
    cohort, wrong = _readable(cohort)
    # Where a value was taken out, it is told once, not also as missing.
    told = {(problem.row, problem.column) for problem in wrong}
    problems = [*wrong, *(problem for problem in _table(cohort) if (problem.row, problem.column) not in told)]
    if not len(cohort.manifest) or not {*MANIFEST_COLUMNS} <= {*cohort.manifest}:
        return cohort, problems
    problems += [*_unlabelled(cohort), *_groups(cohort)]
    if check_images:
        hashes, found = _files(cohort, allow_truncated, workers, progress)
        cohort = _without_repeats(replace(cohort, manifest=cohort.manifest.assign(sha256=hashes)))
        problems += [*found, *_duplicates(cohort)]
    return cohort, problems


def validated(
    cohort: Cohort, *, allow_truncated: bool = False, workers: int | None = None, progress: Progress | None = None
) -> Cohort:
    """Give the cohort with content hashes and its warnings among the notes.

    Parameters
    ----------
    cohort : Cohort
        As an adapter gave it.
    allow_truncated : bool
        Use JPEG files that end early.
    workers : int, optional
        Threads; default one a processor.
    progress : callable, optional
        Called with images read and in all.

    Returns
    -------
    Cohort
        Ready to be used.

    Raises
    ------
    CohortError
        One or more errors; the message lists them, SHOWN at most.
    """
    cohort, problems = check(cohort, allow_truncated=allow_truncated, workers=workers, progress=progress)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = "\n".join(f"  {problem}" for problem in errors[:SHOWN])
        if len(errors) > SHOWN:
            lines += f"\n  and {len(errors) - SHOWN:,} more"
        raise CohortError(f"cohort `{cohort.name}` has {len(errors)} errors, nothing was trained:\n{lines}")
    warnings = tuple(str(problem).removeprefix("warning: ") for problem in problems)
    return replace(cohort, notes=(*cohort.notes, *warnings))


def _readable(cohort: Cohort) -> tuple[Cohort, list[Problem]]:
    """Name every value of a kind that its column cannot hold, and give the cohort with None in its place."""
    problems, replaced = [], {}
    for column in (*MANIFEST_COLUMNS, *FLAGS, *CROP_COLUMNS):
        # A column of numpy's numbers or flags is right as a whole, or wrong as a whole.
        values = cohort.manifest.get(column, pd.Series(dtype=object))
        text = column in MANIFEST_COLUMNS
        plain = isinstance(values.dtype, np.dtype) and values.dtype != object
        if isinstance(values.dtype, pd.StringDtype) if text else plain:
            continue
        fits = _is_text if text else _is_single
        rows = [row for row, value in enumerate(values) if not fits(value) or isinstance(value, bytes)]
        for row in rows:
            what = f"{column} is `{str(values.iloc[row])[:60]}` ({type(values.iloc[row]).__name__});"
            fix = "it must be text." if text else "it must be a single value."
            problems.append(Problem("error", row, _path(cohort.manifest, row), what, fix, column))
        if rows:
            wrong = {*rows}
            replaced[column] = [None if row in wrong else value for row, value in enumerate(values)]
    return replace(cohort, manifest=cohort.manifest.assign(**replaced)), problems


def _is_text(value: object) -> bool:
    # None, NaN and NA stand for nothing; where that is wrong the schema says so.
    return isinstance(value, str) or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _is_single(value: object) -> bool:
    return pd.api.types.is_scalar(value) and value is not pd.NA


def _path(manifest: pd.DataFrame, row: int) -> str:
    return str(manifest["path"].iloc[row]) if "path" in manifest else ""


def _table(cohort: Cohort) -> list[Problem]:
    """Problems of the manifest as a table: columns, words, identifiers, numbers."""
    manifest = cohort.manifest
    problems = []
    if not len(manifest):
        problems.append(Problem("error", -1, "", "the manifest has no row."))
    if cohort.kind not in KINDS:
        problems.append(Problem("error", -1, "", f"kind `{cohort.kind}` is not one of {', '.join(KINDS)}."))
    for found in findings(manifest, manifest_schema()):
        path = _path(manifest, found.row) if found.row >= 0 else ""
        what = found.what.replace("the table", "the manifest")
        problems.append(Problem("error", found.row, path, what, found.fix, found.column if found.row >= 0 else ""))
    return problems


def _unlabelled(cohort: Cohort) -> list[Problem]:
    without = cohort.manifest[cohort.manifest["cell_type"].eq("")]
    if not len(without):
        return []
    flags = without[[column for column in FLAGS if column in without]]
    voting = int(flags.astype(bool).all(axis=1).sum())
    what = (
        f"{len(without):,} cells have no label: they count for the vote, not for cell-level results; {voting:,} vote."
    )
    return [Problem("warning", -1, "", what)]


def _groups(cohort: Cohort) -> list[Problem]:
    manifest, problems = cohort.manifest, []
    pairs = manifest[["smear_id", "split"]].dropna().drop_duplicates()
    twice = pairs[pairs["smear_id"].duplicated(keep=False)]
    first_row = (
        {smear: int(rows[0]) for smear, rows in manifest.groupby("smear_id").indices.items()} if len(twice) else {}
    )
    for smear, splits in twice.groupby("smear_id")["split"]:
        what = f"smear `{smear}` is on both sides of a split ({', '.join(sorted(map(str, splits)))});"
        first = first_row[smear]
        fix = "give each smear to one split: cells of one smear look alike."
        problems.append(Problem("error", first, str(manifest["path"].iloc[first]), what, fix))
    problems += [problem for column in ("patient_id", "diagnosis") for problem in _several(manifest, column)]
    train = manifest[manifest["split"].eq("train")]
    if not len(train):
        problems.append(Problem("warning", -1, "", "no image has the split `train`: nothing can be trained on it."))
    else:
        for name in sorted(set(manifest["cell_type"].dropna()) - set(train["cell_type"]) - {""}):
            problems.append(Problem("warning", -1, "", f"class `{name}` is empty in the training split."))
    return problems


def _several(manifest: pd.DataFrame, column: str) -> list[Problem]:
    """Smears of several patients or diagnoses: the vote takes the first, so it must be said."""
    known = manifest.get("smear_known", pd.Series(True, index=manifest.index)).ne(False).to_numpy()
    pairs = manifest.loc[known, ["smear_id", column]].dropna().drop_duplicates()
    twice = pairs[pairs["smear_id"].duplicated(keep=False)]
    several = {smear: [*map(str, names)] for smear, names in twice.groupby("smear_id")[column]}
    if not several:
        return []
    shown = "; ".join(f"`{smear}`: {', '.join(names)}" for smear, names in [*several.items()][:NAMED])
    more = f"; and {len(several) - NAMED:,} more" if len(several) > NAMED else ""
    first = int(manifest["smear_id"].eq(next(iter(several))).to_numpy().argmax())
    word = {"patient_id": "patients", "diagnosis": "diagnoses"}[column]
    what = f"{len(several):,} smears have several {word} ({shown}{more});"
    fix = "the vote takes the first of them: give each its own smear_id."
    return [Problem("warning", first, _path(manifest, first), what, fix, column)]


def _files(
    cohort: Cohort, allow_truncated: bool, workers: int | None, progress: Progress | None
) -> tuple[list[str], list[Problem]]:
    paths = [path if isinstance(path, str) else None for path in cohort.manifest["path"]]
    numbers = {name: pd.to_numeric(cohort.manifest[name], "coerce") for name in CROP_COLUMNS if name in cohort.manifest}
    crops = replace(cohort, manifest=cohort.manifest.assign(**numbers)).crops

    def examine(row: int) -> tuple[str, Problem | None]:
        if (shown := paths[row]) is None:
            return "", None
        path, problem = cohort.root / shown, None
        try:
            pixels = decoding.decode(path)
        except decoding.ImageError as error:
            what = str(error).removeprefix(f"{path}: ") + "."
            truncated = "truncated" in what and decoding.is_truncated(path)
            if not (truncated and allow_truncated):
                fix = "`--allow-truncated`, or `allow_truncated: true` in the profile, uses it." if truncated else ""
                return "", Problem("error", row, shown, what, fix)
            pixels = decoding.decode(path, allow_truncated=True)
            problem = Problem("warning", row, shown, f"{what} It is used, because truncated files are allowed.")
        if what := _misplaced(crops[row], *pixels.shape[:2]):
            return "", Problem("error", row, shown, what)
        x, y, *_ = crops[row]
        return sha256(path, *([f"{x} {y}"] if not np.isnan(x) else [])), problem

    hashes, problems = [], []
    for row, (digest, problem) in enumerate(in_threads(examine, len(paths), workers)):
        hashes.append(digest)
        problems += [problem] if problem else []
        if progress:
            progress(row + 1, len(paths))
    return hashes, problems


def _misplaced(crop: decoding.Crop, height: int, width: int) -> str:
    x, y, *sides = crop
    given = [side for side in sides if not np.isnan(side)]
    if not (np.isnan(x) or 0 <= x < width) or not (np.isnan(y) or 0 <= y < height):
        return f"the crop centre ({x:.0f}, {y:.0f}) lies outside the image of {width}x{height} pixels."
    if not np.isnan([x, y]).all() and np.isnan(sides[0]):
        return "a crop centre is given without `field_of_view`."
    if np.isnan(sides[0]) and not np.isnan(sides[1]):
        return "a `field_of_view_height` is given without `field_of_view`."
    if not all(1 <= side <= WIDEST_FIELD * max(height, width) for side in given):
        shown = " by ".join(f"{side:g}" for side in given)
        return f"a field of view of {shown} pixels is impossible in an image of {width}x{height}."
    return ""


def _without_repeats(cohort: Cohort) -> Cohort:
    # A public source is used untouched, and where it knows no smear the split is ours: that its repeats fall on two
    # sides is not for the user to fix. The copy that is tested on stays.
    manifest = cohort.manifest
    nameless = ~manifest.get("smear_known", pd.Series(True, index=manifest.index)).astype(bool)
    public = manifest.get("source_kind", pd.Series(cohort.kind, index=manifest.index)).eq("public")
    read = manifest[manifest["sha256"].ne("") & (nameless | public)]
    twice = _unlabelled_copies(read)
    read = read.drop(index=twice)
    crosses = read.groupby("sha256")["split"].transform("nunique").gt(1)
    read = read[nameless[read.index] | crosses]
    read = read.sort_values("split", key=lambda names: names.map({"external": 0, "test": 1, "train": 2}), kind="stable")
    # No label contradicts none.
    labels = read["cell_type"].where(read["cell_type"].ne(""))
    clash = labels.groupby(read["sha256"]).transform("nunique").gt(1)
    again = read["sha256"].duplicated() & ~clash
    reasons = {"the same image again": again, "the same image with two labels": clash}
    counted = [{"reason": reason, "count": int(rows.sum())} for reason, rows in reasons.items() if rows.any()]
    if len(twice):
        counted.append({"reason": "an unlabelled copy of a labelled image of the same split", "count": len(twice)})
    if not counted:
        return cohort
    kept = manifest.drop(index=read.index[again | clash].union(twice)).reset_index(drop=True)
    return replace(cohort, manifest=kept, excluded=pd.concat([cohort.excluded, pd.DataFrame(counted)]))


def _unlabelled_copies(read: pd.DataFrame) -> pd.Index:
    """Rows without a label whose image is there with one in the same split: both would vote."""
    labelled = read["cell_type"].ne("")
    return read.index[~labelled & labelled.groupby([read["sha256"], read["split"]]).transform("any")]


def _duplicates(cohort: Cohort) -> list[Problem]:
    manifest, problems = cohort.manifest, []
    read = manifest[manifest["sha256"].ne("")]
    for _, same in read[read["sha256"].duplicated(keep=False)].groupby("sha256"):
        first, others = same.iloc[0], same.iloc[1:]
        for label, other in others.iterrows():
            across = other["split"] != first["split"]
            clash = other["cell_type"] != first["cell_type"]
            what = f"the same image as {first['path']}"
            if across:
                what += f", which is in split `{first['split']}` and this in `{other['split']}`"
            if clash:
                what += f", which is labelled `{first['cell_type'] or 'not'}` and this `{other['cell_type'] or 'not'}`"
            problems.append(
                Problem(
                    "error" if across else "warning",
                    int(manifest.index.get_loc(label)),
                    str(other["path"]),
                    what + ".",
                    "Keep one of them: an image that was trained on cannot be tested on." if across else "",
                )
            )
    return problems


def as_frame(problems: list[Problem]) -> pd.DataFrame:
    """Make a table of problems.

    Parameters
    ----------
    problems : list of Problem
        May be empty.

    Returns
    -------
    DataFrame
        severity, row, path, what, fix.
    """
    return pd.DataFrame([vars(problem) for problem in problems], columns=["severity", "row", "path", "what", "fix"])
