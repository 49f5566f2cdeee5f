"""Runs side by side: their settings, their numbers, and their differences with intervals over patients, on one page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from alnet_lib.core.files import write_text
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import KINDS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.diagnosis.tasks import MODULES
from alnet_lib.evaluation import cell_level, smear_level
from alnet_lib.figures.tables import html_table
from alnet_lib.paper import in_words, measured, record, scorecard
from alnet_lib.report import safety
from alnet_lib.report.pairing import same_cells, same_smears
from alnet_lib.statistics import intervals
from alnet_lib.workflow import recorder
from alnet_lib.workflow.damage import examination
from alnet_lib.workflow.run import PREDICTIONS

Measures = Mapping[str, tuple[pd.Series, pd.DataFrame]]
"""Name -> whether each observation is right, and its row (a cell or a smear)."""

SPLITS = {"test": "testing", "external": "external"}


@dataclass(frozen=True)
class Opened:
    """What a comparison reads of a run.

    Attributes
    ----------
    name : str
        In the page's tables; no other run of the comparison has it.
    about : mapping
        Its provenance.
    items : list of dict
        Its items.
    cells : DataFrame or None
        Its predictions, where it has them.
    """

    name: str
    about: Mapping[str, Any]
    items: list[dict[str, Any]]
    cells: pd.DataFrame | None

    @property
    def kind(self) -> str:
        """The cohort's kind."""
        return str(self.about["cohort"]["kind"])


def opened(run_dirs: Sequence[Path]) -> list[Opened]:
    """Read runs; nothing in them changes.

    Parameters
    ----------
    run_dirs : sequence of Path
        Two or more run directories.

    Returns
    -------
    list of Opened
        In the same order.

    Raises
    ------
    ValueError
        Fewer than two runs, the same one twice, or one that notebook 01 has not begun.
    alnet_lib.core.integrity.reading.Damaged
        Something in a run is damaged.
    """
    homes = [run_dir.resolve() for run_dir in run_dirs]
    if len(set(homes)) < 2 or len(set(homes)) < len(homes):
        raise ValueError("a comparison takes two runs or more, each once")
    found = []
    for home, name in zip(homes, _names(homes), strict=True):
        file = home / "provenance.json"
        if not file.is_file():
            raise ValueError(f"{home} is not a run, or its notebook 01 has not run: it has no provenance.json")
        examination.require_sound(home)
        with reading(file):
            about = json.loads(file.read_text(encoding="utf-8"))
        if about["cohort"]["kind"] not in KINDS:
            raise ValueError(f"{home}: cohort of unknown kind")
        cells = None
        if (home / PREDICTIONS).is_file():
            with reading(home / PREDICTIONS) as path:
                cells = pd.read_parquet(path)
        found.append(Opened(name, about, recorder.read_items(home), cells))
    return found


def _names(homes: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many of the folders above them as tell them apart."""
    for parts in range(1, max(len(home.parts) for home in homes) + 1):
        names = ["/".join(home.parts[-parts:]) for home in homes]
        if len(set(names)) == len(names):
            return names
    return [home.as_posix() for home in homes]


def measures(cells: pd.DataFrame | None, threshold: float) -> Measures:
    """Judge the predictions of a run.

    Parameters
    ----------
    cells : DataFrame or None
        Predictions of all splits.
    threshold : float
        Of the vote, in [0, 1).

    Returns
    -------
    mapping
        What cannot be judged is left out.
    """
    found: dict[str, tuple[pd.Series, pd.DataFrame]] = {}
    if cells is None:
        return found
    for split, name in SPLITS.items():
        for spec in MODULES:
            judged = cell_level.judge(cells, spec, split=split)
            if not isinstance(judged, Unavailable):
                rows = judged.predictions
                found[f"{spec.title}, accuracy, {name} cells"] = (rows["reference"].eq(rows["predicted"]), rows)
        votes = smear_level.votes_of(smear_level.voting_cells(cells, split), MajorityAboveThreshold(threshold))
        if not isinstance(votes, Unavailable):
            votes = votes.set_index("smear_id", drop=False)
            found[f"Correct final diagnosis, {name} smears"] = (votes["verdict"].eq(votes["expected"]), votes)
    return found


def differences(first: Opened, second: Opened) -> pd.DataFrame:
    """Subtract the rates of one run from those of another.

    Parameters
    ----------
    first, second : Opened
        Runs with predictions.

    Returns
    -------
    DataFrame
        A row a measure that both have: `measure`, the rate of each run in %, `difference` (second less first,
        percentage points), `low`, `high` (95% interval), `patients`, `judged on`, `interval`, `reading`. Where the runs
        have cells or smears of five patients or more in common, the rates and the paired difference are of those.
    """
    rows: list[dict[str, Any]] = []
    if first.cells is None or second.cells is None:
        return pd.DataFrame(rows)
    own, other = (measures(run.cells, float(run.about["profile"].get("threshold", 0.5))) for run in (first, second))
    pairs = same_cells(first.cells, second.cells)
    smears = same_smears(pairs)
    for name in own:
        if name not in other:
            continue
        (right, at), (right_2, at_2) = own[name], other[name]
        of, what = (smears, "smears") if "smears" in name else (pairs, "cells")
        left, last = (f"{side}_smear" if what == "smears" else side for side in ("first", "second"))
        both = of[of[left].isin(at.index) & of[last].isin(at_2.index)]
        shared = at.loc[both[left]]
        if len(both) and intervals.clusters(shared).nunique() >= intervals.MINIMUM_PATIENTS:
            a, b = right.loc[both[left]].to_numpy(), right_2.loc[both[last]].to_numpy()
            found, where = intervals.difference(a, shared, b), f"the same {len(both):,} {what}"
        else:
            a, b = right.to_numpy(), right_2.to_numpy()
            # Patients of two cohorts may have one name. Few that are the same count as two, which widens the interval.
            one, two = (
                rows.assign(patient_id=side + rows["patient_id"].astype(str))
                for side, rows in (("1/", at), ("2/", at_2))
            )
            found, where = intervals.difference(a, one, b, two), f"{len(a):,} and {len(b):,} other {what}"
        about = found.scaled(100)
        rows.append(
            {"measure": name, f"{first.name}, %": 100 * a.mean(), f"{second.name}, %": 100 * b.mean(),
             "difference": about.estimate, "low": about.low, "high": about.high, "patients": found.n_patients,
             "judged on": where, "interval": found.columns()["interval"], "reading": _reading(found, second.name)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _reading(found: intervals.Interval, name: str) -> str:
    if not found.given:
        return "no verdict without an interval"
    if found.low <= 0 <= found.high:
        return "no verdict: the interval includes 0"
    return f"{name} is {'higher' if found.estimate > 0 else 'lower'}"


def side_by_side(runs: Sequence[Opened]) -> pd.DataFrame:
    """Set every printed number that a run measured beside those of the others.

    Parameters
    ----------
    runs : sequence of Opened
        The runs.

    Returns
    -------
    DataFrame
        Columns `number`, `printed`, `unit`, and one a run with its 95% interval over patients, in words.
    """
    cards = {run.name: scorecard(run.items, run.kind).set_index("id", drop=False) for run in runs}
    known = record()
    there = pd.concat([card["reproduced"].notna() for card in cards.values()], axis=1).any(axis=1)
    rows = known[there.reindex(known.index)]
    columns = {
        name: [measured(line) for line in card.loc[rows.index].to_dict("records")] for name, card in cards.items()
    }
    words = [in_words(*line) for line in rows[["place", "row", "column"]].itertuples(index=False)]
    return pd.DataFrame(
        {"number": words, "printed": rows["value"].to_numpy(), "unit": rows["unit"].to_numpy()} | columns
    )


def settings(runs: Sequence[Opened]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the runs' cohorts, code and machine, and the settings in which their profiles differ.

    Parameters
    ----------
    runs : sequence of Opened
        The runs.

    Returns
    -------
    tuple of DataFrame
        Both: index `what` or `setting`; a column a run, as text.
    """
    named = {
        "cohort": ("cohort", "name"), "kind": ("cohort", "kind"), "images": ("cohort", "images"),
        "smears": ("cohort", "smears"), "patients": ("cohort", "patients"), "profile": ("profile", "name"),
        "seed": ("seed",), "device": ("device",), "precision": ("precision",), "commit": ("git_commit",),
        "begun": ("begun",),
    }  # fmt: skip
    frame = pd.DataFrame(
        {run.name: {what: _at(run.about, path) for what, path in named.items()} for run in runs}, dtype=object
    )
    profiles = pd.DataFrame({run.name: pd.Series(_flat(run.about["profile"]), dtype=object) for run in runs})
    profiles = profiles.map(
        lambda value: json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    )
    differ = profiles.map(str).nunique(axis=1).gt(1) & ~profiles.index.isin(["name"])
    return frame.rename_axis("what"), profiles[differ].rename_axis("setting")


def _at(about: Any, path: Sequence[str]) -> str:
    for part in path:
        about = about.get(part) if isinstance(about, Mapping) else None
    return (
        "unknown"
        if about is None
        else f"{about:,}"
        if isinstance(about, int) and path[-1] != "seed"
        else str(about)[:10]
        if path == ("git_commit",)
        else str(about)
    )


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def write(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write the page that compares runs.

    Parameters
    ----------
    run_dirs : sequence of Path
        Two or more run directories; the first is what the others are compared with.
    out : Path
        An HTML file, which needs no other.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValueError, alnet_lib.core.integrity.reading.Damaged
        As `opened`.
    """
    runs = opened(run_dirs)
    first, *others = runs
    tables = []
    for other in others:
        frame = differences(first, other)
        caption = f"{other.name} less {first.name}, in percentage points, with 95% intervals over patients."
        shown = frame.round(1) if len(frame) else frame
        tables.append((other.name, Markup(html_table(shown, caption=caption, index=False)) if len(frame) else ""))
    facts, differ = settings(runs)
    environment, kinds = safety.environment(), {run.kind for run in runs}
    body = environment.get_template("comparison.html.j2").render(
        runs=runs,
        first=first.name,
        tables=tables,
        facts=Markup(html_table(facts, caption="Cohort, profile, code and machine of each run.")),
        settings=Markup(html_table(differ, caption="Settings in which the profiles differ.")) if len(differ) else "",
        numbers=Markup(html_table(side_by_side(runs), caption="Printed numbers that a run measured.", index=False)),
        synthetic="synthetic" in kinds,
        cohorts=len({run.about["cohort"].get("content_hash") for run in runs}),
    )
    names = ", ".join(run.name for run in runs)
    line = (
        "Some of these cells are drawn by a program, not from patients."
        if "synthetic" in kinds
        else "Images of patients."
    )
    text = environment.get_template("page.html.j2").render(
        **safety.head(), title="Runs compared", heading="Runs compared", file=out.name, pages=[],
        body=Markup(safety.sanitised(body)), contents=[], source="", cohort={"name": names, "kind": ""}, caution="",
        kind_line=line, profile="", about=None,
    )  # fmt: skip
    write_text(out, safety.tidy(text))
    return out
