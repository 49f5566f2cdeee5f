"""The scorecard for readers: names of printed numbers in words, what was measured with its interval, the verdict."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.paper.scorecard import NEAR, OTHER_COHORT, OWN_COHORT
from alnet_lib.paper.values import Result
from alnet_lib.statistics.intervals import MINIMUM_PATIENTS

_CONFUSION = ("Table 4", "Table 7A", "Table 7B", "Table 9A", "Table 9B")
_NETWORKS = {"vgg16": "VGG16", "vgg19": "VGG19", "resnet101": "ResNet101", "densenet121": "DenseNet121",
             "senet154": "SENet154"}  # fmt: skip
_WORDS = {
    "hold_out": "hold-out",
    "five_folds": "five folds",
    "five_folds_sd": "standard deviation of five folds",
    "whole": "all blocks",
    "external": "other hospitals",
    "table_04": "Table 4",
    "table_09a": "Table 9A",
    "table_09b": "Table 9B",
    "roc": "ROC",
    "auc": "AUC",
    "UNK": "unknown",
    "percent": "share",
    "smears_module_1": "smears right after module 1",
    "images_train": "training images",
    "images_test": "testing images",
    "smears_train": "training smears",
    "smears_test": "testing smears",
    "earlier": "earlier system",
    "proposed": "ALNet",
}
_DIGITS = {"%": 1, "percentage points": 1, "": 2}
_COUNTED = ("smears", "images", "patients")
"""Units of counts, of which there is no interval however many patients there are."""
_PLACES = re.compile(r"s\d(_\d)?|abstract|introduction|caption|footnote")


def in_words(place: str, row: str, column: str) -> str:
    """Name a printed number.

    Parameters
    ----------
    place, row, column : str
        Of `record`.

    Returns
    -------
    str
        E.g. `Table 8: sensitivity, blasts`, `Table 7A: lymphocytes predicted as monocytes`,
        `section 3.2: module 1, accuracy`.
    """
    parts = [part for part in (*row.split("."), column) if part and not _PLACES.fullmatch(part)]
    words = [part_in_words(part) for part in parts]
    if place in _CONFUSION and len(words) > 1:
        words = [f"{words[0]} predicted as {words[1]}", *words[2:]]
    return f"{place}: {', '.join(words)}".removesuffix(": ")


def part_in_words(part: str) -> str:
    """Name a part of a record's row or column: `last_2` -> `last 2 blocks`, `vgg16` -> `VGG16`."""
    known = _NETWORKS.get(part) or _WORDS.get(part)
    if known:
        return known
    if re.fullmatch(r"last_\d", part):
        return "last block" if part == "last_1" else f"last {part[-1]} blocks"
    label = LABELS.get(part)
    if label is None:
        return part.replace("_", " ")
    # The B of B-lymphoblasts stays a capital letter.
    return label[:2] + label[2:].lower() if label[1] == "-" else label.lower()


def findings_in_words(found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Write findings of the audit for readers.

    Parameters
    ----------
    found : DataFrame
        Rows of `audit` or of `findings`.
    known : DataFrame
        `record`, which names the numbers.

    Returns
    -------
    DataFrame
        Columns `printed number`, `printed`, `expected` (to two decimals), `severity`, `what should hold`.
    """
    numbers = [in_words(*known.loc[id, ["place", "row", "column"]]) for id in found["id"]]
    sides = {name: found[name].astype(float).round(2).to_numpy() for name in ("printed", "expected")}
    about = {"severity": found["severity"].to_numpy(), "what should hold": found["how"].to_numpy()}
    return pd.DataFrame({"printed number": numbers} | sides | about)


def readable(card: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The scorecard as a narrow table.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.
    kind : str
        The cohort's; what holds for all of its numbers is not repeated in every row.

    Returns
    -------
    DataFrame
        Columns `printed number`, `unit`, `published`, `recomputed`, `reproduced (95% interval over patients)`,
        `verdict` (with its reason), `printed value` (of NEAR).
    """
    for_all = {OTHER_COHORT.get(kind), OWN_COHORT}
    verdicts = []
    for line in card.itertuples():
        difference = f" by {amount(line.difference, line.unit)}" if line.verdict == "differs" else ""
        reason = "" if line.note in for_all or line.verdict == "by design" else f": {line.note}"
        verdicts.append(f"{line.verdict}{difference}{reason}")
    return pd.DataFrame(
        {
            "printed number": [in_words(*line) for line in card[["place", "row", "column"]].itertuples(index=False)],
            "unit": card["unit"], "published": card["published"], "recomputed": card["recomputed"].round(2),
            "reproduced (95% interval over patients)": [measured(line._asdict()) for line in card.itertuples()],
            "verdict": verdicts, "printed value": card["near"].map(lambda near: NEAR.get(near, "")),
        },
        index=card.index,
    )  # fmt: skip


def measured(value: Mapping[str, Any]) -> str:
    """What a run measured, with its interval and who stands behind it, in words.

    Parameters
    ----------
    value : mapping
        `reproduced`, `ci_low`, `ci_high`, `n_patients`, `unit`: a value of results.json, or a row of `scorecard`.

    Returns
    -------
    str
        E.g. `84.5 (80.8 to 88.7 over 24 patients)`, `84.5 (3 patients: too few for an interval)`, of a count
        `14 (6 patients)`; empty where nothing was measured.
    """
    known: list[Any] = [value.get(name) for name in ("reproduced", "ci_low", "ci_high", "n_patients")]
    number, low, high, n = known
    unit = value.get("unit", "")
    if _missing(number):
        return ""
    shown, patients = _short(number, unit), "" if _missing(n) else f"{n:.0f} patient{'' if n == 1 else 's'}"
    if not (_missing(low) or _missing(high)):
        over = f" over {patients}" if patients else ""
        return f"{shown} ({_short(low, unit)} to {_short(high, unit)}{over})"
    if not patients:
        return shown
    if unit in _COUNTED:
        return f"{shown} ({patients})"
    return f"{shown} ({patients}: {'too few for an interval' if n < MINIMUM_PATIENTS else 'no interval'})"


def _missing(number: Any) -> bool:
    return number is None or not math.isfinite(number)


def _short(number: float, unit: str) -> str:
    if unit in _DIGITS:
        return f"{round(number, 9):.{_DIGITS[unit]}f}"
    return f"{number:,.0f}" if number == round(number) or abs(number) >= 1000 else f"{number:.3g}"


def amount(difference: float, unit: str) -> str:
    """Write a difference with its sign and unit, e.g. `+1.2 percentage points`."""
    sign, of = "+" if difference >= 0 else "\N{MINUS SIGN}", "percentage points" if unit == "%" else unit
    return f"{sign}{_short(abs(difference), unit)} {of}".rstrip()


def main_numbers(card: pd.DataFrame) -> Result | Unavailable:
    """The rates and accuracies of a scorecard that this run measured.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    Result or Unavailable
        The rows of `card` in %, with a `label` in words; unavailable where none was measured.
    """
    named = card["id"].str.match(r"text\.(module_.*accuracy|table_0|external\.module)|table_08\.sens")
    main = card[named & card["unit"].eq("%") & card["reproduced"].notna()]
    if not len(main):
        return Unavailable("no main number was measured")
    labels = [in_words(*line) for line in main[["place", "row", "column"]].itertuples(index=False)]
    return Result(main.assign(label=labels))
