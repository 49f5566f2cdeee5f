"""The columns of manifest, cells and votes, said once: for checks, for messages, and for docs/cohorts.md.

pandera is imported on use: it takes longer to import than a manifest takes to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from alnet_lib.core.vocabulary import (
    CELL_TYPES,
    DIAGNOSES,
    MANIFEST_COLUMNS,
    MODULE_1_CLASSES,
    MODULE_2_CLASSES,
    SPLITS,
    VERDICTS,
)

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema


class SchemaError(ValueError):
    """A table that does not keep to its schema; the message lists every problem."""


@dataclass(frozen=True)
class Finding:
    """One problem of a table.

    Attributes
    ----------
    row : int
        Position of the row, -1 for the whole table.
    column : str
        Where it is.
    what, fix : str
        What is wrong, and what to do about it.
    """

    row: int
    column: str
    what: str
    fix: str = ""


def _words(content: str, known: Iterable[str], *, empty: bool = False, **options: Any) -> Any:
    from pandera.pandas import Check, Column

    listed = [*known]
    check = Check.isin([*listed, *([""] if empty else [])], error=f"known are {', '.join(listed)}.")
    shown = ", ".join(f"`{name}`" for name in listed)
    return Column(checks=check, description=f"{content}{shown}", **options)


def _identifier(content: str, *, unique: bool = False) -> Any:
    from pandera.pandas import Check, Column

    given = Check(lambda values: values.isna() | values.astype(str).ne(""), name="given", error="given")
    return Column(checks=given, unique=unique, report_duplicates="exclude_first", description=content)


def _share(content: str, **options: Any) -> Any:
    from pandera.pandas import Check, Column

    inside = Check.in_range(0, 1 + 1e-5, error="it is a share between 0 and 1.")
    return Column(checks=inside, description=content, **options)


def _flag(content: str) -> Any:
    from pandera.pandas import Check, Column

    return Column(checks=Check.isin([True, False], error="it is true or false."), required=False, description=content)


def _number(content: str) -> Any:
    from pandera.pandas import Column

    return Column(float, nullable=True, coerce=True, required=False, description=content)


@cache
def manifest_schema() -> DataFrameSchema:
    """Describe the manifest: one row a cell image.

    Returns
    -------
    pandera.pandas.DataFrameSchema
        Further columns are allowed.
    """
    from pandera.pandas import Column, DataFrameSchema

    columns = {
        "image_id": _identifier("unique name of the image", unique=True),
        "path": Column(description="file, relative to the manifest or to the data set's folder"),
        "cell_type": _words("reference label: ", CELL_TYPES, empty=True),
        "smear_id": _identifier("smear (slide); a smear is in one split only"),
        "patient_id": _identifier("patient; may have several smears"),
        "site": Column(nullable=True, description="hospital or source"),
        "diagnosis": _words("", DIAGNOSES),
        "subtype": Column(nullable=True, description="WHO subtype, may be empty"),
        "split": _words("", SPLITS),
        "immature": _flag(
            "true for the cells that raise suspicion: only they vote, with a label or without, whatever the diagnosis"
        ),
        "smear_known": _flag(
            "false for cells of an unknown smear: they count for cell-level results, never for the vote"
        ),
        "centre_x": _number("crop centre in the file, pixels from the left; empty is the middle"),
        "centre_y": _number("crop centre in the file, pixels from the top; empty is the middle"),
        "field_of_view": _number(
            "width in pixels of the file that covers 36 micrometres, the width of a CellaVision image, so that cells "
            "of all sources have one scale; empty: the whole file is used"
        ),
        "field_of_view_height": _number("its height in pixels; empty: as high as wide"),
    }
    assert [name for name, column in columns.items() if column.required] == [*MANIFEST_COLUMNS]
    return DataFrameSchema(columns, name="manifest")


@cache
def cells_schema() -> DataFrameSchema:
    """Describe the predictions: the manifest's rows with class probabilities.

    Returns
    -------
    pandera.pandas.DataFrameSchema
        Further columns are allowed; those of module 2 may be missing or empty.
    """
    from pandera.pandas import DataFrameSchema

    one = {f"p1_{name}": _share(f"probability of {name}, module 1") for name in MODULE_1_CLASSES}
    two = {
        f"p2_{name}": _share(f"probability of {name}, module 2", required=False, nullable=True)
        for name in MODULE_2_CLASSES
    }
    own = {
        "validation": _flag("true for cells of the training split that module 1 was not fitted on"),
        "eligible": _flag("true for cells that vote"),
    }
    return DataFrameSchema({**manifest_schema().columns, **own, **one, **two}, name="cells")


@cache
def votes_schema() -> DataFrameSchema:
    """Describe the votes: one row a smear.

    Returns
    -------
    pandera.pandas.DataFrameSchema
        Further columns are allowed.
    """
    from pandera.pandas import Check, Column, DataFrameSchema

    count = Check.ge(0, error="it is a count.")
    columns = {
        "smear_id": _identifier("smear (slide)", unique=True),
        "patient_id": _identifier("patient"),
        "diagnosis": _words("", DIAGNOSES),
        "split": _words("", SPLITS),
        "n_cells": Column(checks=count, description="cells that voted"),
        **{f"share_{name}": _share(f"share of {name} among the cells") for name in MODULE_1_CLASSES},
        "n_blasts": Column(checks=count, description="cells that module 1 predicted as blasts"),
        **{f"share2_{name}": _share(f"share of {name} among the blasts", nullable=True) for name in MODULE_2_CLASSES},
        "verdict": _words("", VERDICTS),
        "expected": _words("the verdict that is correct: ", VERDICTS),
    }
    return DataFrameSchema(columns, name="votes")


def findings(frame: pd.DataFrame, schema: DataFrameSchema) -> list[Finding]:
    """Check a table, all problems at once.

    Parameters
    ----------
    frame : DataFrame
        Any index; rows are reported by position.
    schema : pandera.pandas.DataFrameSchema
        One of this module.

    Returns
    -------
    list of Finding
        Missing columns first, then by row.
    """
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame.reset_index(drop=True), lazy=True)
    except SchemaErrors as errors:
        found = {_finding(case) for case in errors.failure_cases.to_dict("records")}
        return sorted(found, key=lambda finding: (finding.row, finding.column, finding.what))
    return []


def _finding(case: dict[str, Any]) -> Finding:
    check, given = str(case["check"]), case["failure_case"]
    if check == "column_in_dataframe":
        return Finding(-1, str(given), f"the table lacks the column `{given}`.", "docs/cohorts.md lists them.")
    column = str(case["column"])
    row = -1 if pd.isna(case["index"]) else int(case["index"])
    if check in ("not_nullable", "given"):
        return Finding(row, column, f"no {column}.")
    if check == "field_uniqueness":
        return Finding(row, column, f"{column} `{given}` is used twice.")
    if check.startswith("known are"):
        return Finding(row, column, f"unknown {column} `{given}`;", check)
    if check.startswith("it is"):
        return Finding(row, column, f"{column} is `{given}`;", check)
    return Finding(row, column, f"{column} is `{given}`;", "it is a number.")


def require(frame: pd.DataFrame, schema: DataFrameSchema, what: str) -> pd.DataFrame:
    """Return a table that keeps to its schema.

    Parameters
    ----------
    frame : DataFrame
        The table.
    schema : pandera.pandas.DataFrameSchema
        One of this module.
    what : str
        Names the table in the message.

    Returns
    -------
    DataFrame
        `frame` itself.

    Raises
    ------
    SchemaError
        It does not; the message lists all problems by row.
    """
    if found := findings(frame, schema):
        lines = "\n".join(f"  {f'row {f.row}: ' if f.row >= 0 else ''}{f.what} {f.fix}".rstrip() for f in found)
        raise SchemaError(f"{what} has {len(found)} problems:\n{lines}")
    return frame
