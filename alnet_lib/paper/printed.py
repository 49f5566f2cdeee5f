"""The printed numbers: tables as frames, every number as a row of one record."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

_DATA = Path(__file__).with_name("data")
_INDEX = {"03": 2}


_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {word: n for n, word in enumerate(_TO_TEN)}


_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?[*+]?")
_SPANS = {("02", "persons"): "entity", ("06", "persons"): "counted_as"}
"""Cells that the paper prints once for several rows: (table, column) -> the column that names what they are of."""


_COHORT = ("01", "02", "06")


def number(printed: str) -> float:
    """The value of a number as printed: `1,205*` -> 1205.0, `four` -> 4.0.

    Parameters
    ----------
    printed : str
        With thousands separators and footnote marks, or a word up to ten.

    Returns
    -------
    float
        Its value.

    Raises
    ------
    ValueError
        The string is not a number.
    """
    if printed in _WORDS:
        return float(_WORDS[printed])
    if not _NUMBER.fullmatch(printed):
        raise ValueError(f"{printed!r} is not a printed number")
    return float(printed.rstrip("*+").replace(",", ""))


def places(printed: str) -> int:
    """Decimals of a number as printed.

    Parameters
    ----------
    printed : str
        As for `number`.

    Returns
    -------
    int
        0 for a whole number.
    """
    return len(printed.rstrip("*+").partition(".")[2])


def _is_number(printed: str) -> bool:
    return bool(_NUMBER.fullmatch(printed))


def read_data(name: str) -> pd.DataFrame:
    """A file of the printed numbers, every cell as text.

    Parameters
    ----------
    name : str
        Name in the folder `data`, without `.csv`.

    Returns
    -------
    DataFrame
        Empty cells are empty strings.
    """
    return pd.read_csv(_DATA / f"{name}.csv", dtype=str, keep_default_na=False, comment="#")


def numbers() -> list[str]:
    """The printed tables' numbers.

    Returns
    -------
    list of str
        In order: 01 ... 12, with 07a, 07b, 09a, 09b.
    """
    return sorted(path.stem.removeprefix("table_") for path in _DATA.glob("table_*.csv"))


def table(number: str) -> pd.DataFrame:
    """A printed table as a frame in the printed layout, numbers as floats, rows named by the index.

    Parameters
    ----------
    number : str
        E.g. `07a`.

    Returns
    -------
    DataFrame
        Without footnote marks, which the record keeps. Table 9 holds the printed counts; Table 10 stays text.

    Raises
    ------
    KeyError
        There is no such table.
    """
    if number.lower() not in numbers():
        raise KeyError(f"no table {number}: there are {', '.join(numbers())}")
    frame = read_data(f"table_{number.lower()}")
    frame = frame.set_index(list(frame.columns[: _INDEX.get(number.lower(), 1)]))
    return frame if number == "10" else frame.apply(_floats)


def _floats(column: pd.Series) -> pd.Series:
    if not column.map(lambda cell: cell == "" or _is_number(cell)).all():
        return column
    return pd.to_numeric(column.str.replace(r"[,*+]", "", regex=True).replace("", None))


@cache
def _record() -> pd.DataFrame:
    rows = []
    for key in numbers():
        if key == "10":  # its cells hold words and several numbers each: text.csv has them one by one
            continue
        frame = read_data(f"table_{key}")
        names = list(frame.columns[: _INDEX.get(key, 1)])
        place = f"Table {key.lstrip('0').upper()}"
        for line in frame.to_dict("records"):
            for column in frame.columns.drop(names):
                if not _is_number(line[column]):
                    continue
                row = line[_SPANS[key, column]] if (key, column) in _SPANS else ".".join(line[n] for n in names)
                about = _about(key, row, column)
                id = f"table_{key}.{row}.{column}"
                rows.append((id, place, row, column, line[column], _unit(key, column), "", about))
    for line in read_data("text").to_dict("records"):
        row, _, column = line["id"].partition(".")[2].rpartition(".")
        keys = ("id", "place", "printed", "unit", "same_as", "about")
        id, place, printed, unit, same_as, about = (line[k] for k in keys)
        rows.append((id, place, row, column, printed, unit, same_as, about))
    columns = ["id", "place", "row", "column", "printed", "unit", "same_as", "about"]
    frame = pd.DataFrame(rows, columns=columns).set_index("id")
    frame.insert(4, "value", frame["printed"].map(number))
    return frame


def record() -> pd.DataFrame:
    """Every printed number, a row each.

    Returns
    -------
    DataFrame
        Index `id` (`table_07a.lymphocyte.monocyte`, `text.module_1.accuracy`); columns `place` (table or section),
        `row`, `column`, `printed` (with decimals and marks), `value` (float), `unit`, `same_as` (the id of the same
        quantity elsewhere in the paper, or empty), `about` (cohort, protocol, result, time, or other: a number of
        another study).
    """
    return _record().copy()


def _unit(table: str, column: str) -> str:
    if "minutes" in column:
        return "min"
    if "seconds" in column:
        return "s"
    if table in _COHORT:
        return "smears" if "smears" in column else "persons" if column in ("patients", "persons") else "images"
    return "smears" if table.startswith("09") else "%"


def _about(table: str, row: str, column: str) -> str:
    if "minutes" in column or "seconds" in column:
        return "time"
    earlier = column == "earlier" or row in ("LDA", "SVM", "RF", "KNN", "Bayes")
    return "cohort" if table in _COHORT else "other" if earlier else "result"


def published(id: str) -> float | None:
    """The printed value of a number.

    Parameters
    ----------
    id : str
        Of `record`.

    Returns
    -------
    float or None
        In the record's unit; None where the paper printed nothing.
    """
    known = _record()
    return float(known.loc[id, "value"]) if id in known.index else None


def decimals(id: str) -> int:
    """Decimals that the paper printed for a number.

    Parameters
    ----------
    id : str
        Of `record`.

    Returns
    -------
    int
        0 for a whole number.

    Raises
    ------
    KeyError
        The paper printed nothing by that id.
    """
    return places(_record().loc[id, "printed"])


def open_points() -> pd.DataFrame:
    """The register of what the paper leaves open.

    Returns
    -------
    DataFrame
        Columns `point`, `paper`, `chosen`, `why`, `where`.
    """
    return pd.DataFrame(yaml.safe_load((_DATA / "open_points.yaml").read_text(encoding="utf-8")))
