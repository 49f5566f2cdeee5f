"""Every problem of a manifest and its images, reported at once, by row and file, before anything trains."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alnet_lib import images
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.vocabulary import CELL_TYPES, DIAGNOSES, KINDS, MANIFEST_COLUMNS, SPLITS
from alnet_lib.files import sha256

Progress = images.Progress
WIDEST_VIEW = 5
"""How many times a picture's longer side its view may be: what lies outside is a mirror image."""


@dataclass(frozen=True)
class Problem:
    """One finding. severity: `error` stops the run, `warning` is shown. row: position in the manifest, or -1."""

    severity: str
    row: int
    path: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        where = f"row {self.row}, {self.path}: " if self.row >= 0 else ""
        return f"{self.severity}: {where}{self.what}" + (f" {self.mend}" if self.mend else "")


def validate(
    cohort: Cohort,
    *,
    check_images: bool = True,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Problem]:
    """All problems of a cohort. check_images: also read every file."""
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
    """As `validate`, and the cohort with a `sha256` column of the images' contents."""
    problems = _columns(cohort)
    if problems:
        return cohort, problems
    problems = [*_words(cohort), *_groups(cohort)]
    if check_images:
        hashes, found = _files(cohort, allow_truncated, workers, progress)
        cohort = _without_repeats(replace(cohort, manifest=cohort.manifest.assign(sha256=hashes)))
        problems += [*found, *_duplicates(cohort)]
    return cohort, problems


def validated(
    cohort: Cohort, *, allow_truncated: bool = False, workers: int | None = None, progress: Progress | None = None
) -> Cohort:
    """The cohort with content hashes and its warnings among the notes.

    Raises
    ------
    CohortError
        one or more errors; the message lists all of them.
    """
    cohort, problems = check(cohort, allow_truncated=allow_truncated, workers=workers, progress=progress)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = "\n".join(f"  {problem}" for problem in errors)
        raise CohortError(f"cohort `{cohort.name}` has {len(errors)} errors, nothing was trained:\n{lines}")
    warnings = tuple(str(problem).removeprefix("warning: ") for problem in problems)
    return replace(cohort, notes=(*cohort.notes, *warnings))


def _columns(cohort: Cohort) -> list[Problem]:
    manifest = cohort.manifest
    problems = [
        Problem("error", -1, "", f"the manifest lacks the column `{column}`.", "docs/cohorts.md lists them.")
        for column in MANIFEST_COLUMNS
        if column not in manifest
    ]
    if not len(manifest):
        problems.append(Problem("error", -1, "", "the manifest has no row."))
    if cohort.kind not in KINDS:
        problems.append(Problem("error", -1, "", f"kind `{cohort.kind}` is not one of {', '.join(KINDS)}."))
    return problems


def _words(cohort: Cohort) -> list[Problem]:
    manifest, problems = cohort.manifest, []
    unlabelled = int(manifest["cell_type"].eq("").sum())
    if unlabelled:
        what = f"{unlabelled:,} cells have no label: they count for the vote, not for cell-level results."
        problems.append(Problem("warning", -1, "", what))
    for column, known in (("cell_type", (*CELL_TYPES, "")), ("diagnosis", DIAGNOSES), ("split", SPLITS)):
        for row in manifest.index[~manifest[column].isin(known)]:
            position = manifest.index.get_loc(row)
            given = manifest[column].iloc[position]
            what, mend = f"unknown {column} `{given}`;", f"known are {', '.join(filter(None, known))}."
            problems.append(Problem("error", position, str(manifest["path"].iloc[position]), what, mend))
    for column in ("image_id", "smear_id", "patient_id"):
        for position in (manifest[column].isna() | manifest[column].astype(str).eq("")).to_numpy().nonzero()[0]:
            problems.append(Problem("error", int(position), str(manifest["path"].iloc[position]), f"no {column}."))
    for position in manifest["image_id"].duplicated().to_numpy().nonzero()[0]:
        given = manifest["image_id"].iloc[position]
        problems.append(
            Problem("error", int(position), str(manifest["path"].iloc[position]), f"image_id `{given}` is used twice.")
        )
    return problems


def _groups(cohort: Cohort) -> list[Problem]:
    manifest, problems = cohort.manifest, []
    for smear, splits in manifest.groupby("smear_id")["split"].unique().items():
        if len(splits) > 1:
            what = f"smear `{smear}` is on both sides of a split ({', '.join(sorted(map(str, splits)))});"
            first = int(manifest["smear_id"].eq(smear).to_numpy().argmax())
            mend = "give each smear to one split: cells of one smear look alike."
            problems.append(Problem("error", first, str(manifest["path"].iloc[first]), what, mend))
    train = manifest[manifest["split"].eq("train")]
    if not len(train):
        problems.append(Problem("warning", -1, "", "no image has the split `train`: nothing can be trained on it."))
    else:
        for name in sorted(set(manifest["cell_type"]) - set(train["cell_type"]) - {""}):
            problems.append(Problem("warning", -1, "", f"class `{name}` is empty in the training split."))
    return problems


def _files(
    cohort: Cohort, allow_truncated: bool, workers: int | None, progress: Progress | None
) -> tuple[list[str], list[Problem]]:
    files, places = cohort.files, cohort.places

    def examine(row: int) -> tuple[str, Problem | None]:
        path, shown, problem = files[row], str(cohort.manifest["path"].iloc[row]), None
        try:
            pixels = images.decode(path)
        except images.ImageError as error:
            what = str(error).removeprefix(f"{path}: ") + "."
            truncated = "truncated" in what and images.is_truncated(path)
            if not (truncated and allow_truncated):
                mend = "`--allow-truncated`, or `allow_truncated: true` in the profile, uses it." if truncated else ""
                return "", Problem("error", row, shown, what, mend)
            pixels = images.decode(path, allow_truncated=True)
            problem = Problem("warning", row, shown, f"{what} It is used, as was allowed.")
        if what := _misplaced(places[row], *pixels.shape[:2]):
            return "", Problem("error", row, shown, what)
        x, y, *_ = places[row]
        return sha256(path, *([f"{x} {y}"] if not np.isnan(x) else [])), problem

    hashes, problems = [], []
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for row, (digest, problem) in enumerate(pool.map(examine, range(len(files)))):
            hashes.append(digest)
            problems += [problem] if problem else []
            if progress:
                progress(row + 1, len(files))
    return hashes, problems


def _misplaced(place: images.Place, height: int, width: int) -> str:
    x, y, *views = place
    given = [view for view in views if not np.isnan(view)]
    if not (np.isnan(x) or 0 <= x < width) or not (np.isnan(y) or 0 <= y < height):
        return f"the cell's centre ({x:.0f}, {y:.0f}) lies outside the picture of {width}x{height} pixels."
    if not np.isnan([x, y]).all() and np.isnan(views[0]):
        return "the cell's centre is given without `view`, how many pixels are as wide as a CellaVision picture."
    if not all(0 < view <= WIDEST_VIEW * max(height, width) for view in given):
        shown = " and ".join(f"{view:g}" for view in given)
        return f"a view of {shown} pixels cannot be, in a picture of {width}x{height}."
    return ""


def _without_repeats(cohort: Cohort) -> Cohort:
    # A public source is used untouched, and where it knows no smear the split is ours: that its repeats fall on two
    # sides is not for the user to mend. The copy that is tested on stays.
    manifest = cohort.manifest
    nameless = ~manifest.get("smear_known", pd.Series(True, index=manifest.index)).astype(bool)
    public = manifest.get("source_kind", pd.Series(cohort.kind, index=manifest.index)).eq("public")
    read = manifest[manifest["sha256"].ne("") & (nameless | public)]
    crosses = read.groupby("sha256")["split"].transform("nunique").gt(1)
    read = read[nameless[read.index] | crosses]
    read = read.sort_values("split", key=lambda names: names.map({"external": 0, "test": 1, "train": 2}), kind="stable")
    clash = read.groupby("sha256")["cell_type"].transform("nunique").gt(1)
    again = read["sha256"].duplicated() & ~clash
    reasons = {"the same picture again": again, "the same picture with two labels": clash}
    counted = [{"reason": reason, "count": int(rows.sum())} for reason, rows in reasons.items() if rows.any()]
    if not counted:
        return cohort
    kept = manifest.drop(index=read.index[again | clash]).reset_index(drop=True)
    return replace(cohort, manifest=kept, excluded=pd.concat([cohort.excluded, pd.DataFrame(counted)]))


def _duplicates(cohort: Cohort) -> list[Problem]:
    manifest, problems = cohort.manifest, []
    read = manifest[manifest["sha256"].ne("")]
    for _, same in read[read["sha256"].duplicated(keep=False)].groupby("sha256"):
        first, others = same.iloc[0], same.iloc[1:]
        for label, other in others.iterrows():
            across = other["split"] != first["split"]
            clash = other["cell_type"] != first["cell_type"]
            what = f"the same picture as {first['path']}"
            if across:
                what += f", which is in split `{first['split']}` and this in `{other['split']}`"
            if clash:
                what += f", which is labelled `{first['cell_type']}` and this `{other['cell_type']}`"
            problems.append(
                Problem(
                    "error" if across else "warning",
                    int(manifest.index.get_loc(label)),
                    str(other["path"]),
                    what + ".",
                    "Keep one of them: a test picture that was trained on tells nothing." if across else "",
                )
            )
    return problems


def as_frame(problems: list[Problem]) -> pd.DataFrame:
    """Problems as a table: severity, row, path, what, mend."""
    return pd.DataFrame([vars(problem) for problem in problems], columns=["severity", "row", "path", "what", "mend"])
