"""Findings in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.text import escaped
from alnet_lib.evaluation.audit.shortcuts import SEEN
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.evaluation.audit.images import ScaleFinding


def scale_sentences(findings: Iterable[ScaleFinding]) -> list[str]:
    """What the sizes of cells say about the sources' scales.

    Parameters
    ----------
    findings : iterable of ScaleFinding
        Of `evaluation.audit.images.scale_findings`.

    Returns
    -------
    list of str
        One sentence a finding; a suspect scale is marked as a warning.
    """
    return [_scale(finding, *map(escaped, (finding.source, finding.other, finding.cell_type))) for finding in findings]


def _scale(f: ScaleFinding, source: str, other: str, cell_type: str) -> str:
    if f.kind == "not judged":
        return f"The scale of {source} cannot be judged by red cells: {f.measured} lie whole and alone."
    if f.kind == "red cells":
        measured = f"Red cells of {source} are {f.width:.1f} micrometres wide at the scale used ({f.measured} measured)"
        return f"{measured}: **a warning**, 7 to 8 are usual." if f.warning else f"{measured}."
    if f.kind == "red cells differ":
        return (
            f"By their red cells, **a warning**: {source} and {other} are not at one scale, so size may reveal the "
            "source."
        )
    return (
        f"{cell_type} are {f.width:.1f} micrometres wide in {source} and {f.other_width:.1f} in {other}: "
        "**a warning**, the two may not be at one scale."
    )


def shortcut_sentences(measured: pd.DataFrame | Result | Unavailable, *, warnings_only: bool = False) -> list[str]:
    """What the shortcut baselines reach, with a warning where it is too much.

    Parameters
    ----------
    measured : DataFrame, Result or Unavailable
        Of `evaluation.audit.shortcuts.measure`, or its frame.
    warnings_only : bool
        Leave out the baselines that call for no warning.

    Returns
    -------
    list of str
        One sentence a baseline; empty where there is none.
    """
    if isinstance(measured, Unavailable):
        return []
    frame = measured.frame if isinstance(measured, Result) else measured
    return [
        f"From {SEEN[row.seen]} alone, {row.balanced_accuracy:.0%} of cells are predicted correctly (mean over the "
        f"classes; chance {row.chance:.0%})"
        + (": **a warning**, the network may use the same shortcut." if row.warn else ".")
        for row in frame.itertuples()
        if row.warn or not warnings_only
    ]


def ablation_sentences(ablations: Result | Unavailable) -> list[str]:
    """What each ablation changed.

    Parameters
    ----------
    ablations : Result or Unavailable
        Of `experiments.ablations.run_all`.

    Returns
    -------
    list of str
        One sentence a comparison. There is no verdict from one training, none where the interval over patients is
        missing or includes 0, and none where the differences of the trainings do not all have one sign.
    """
    if isinstance(ablations, Unavailable):
        return []
    return [_ablation(row) for row in ablations.frame.to_dict("records")]


def _ablation(row: Mapping[str, Any]) -> str:
    where, given = "testing" if row["where"] == "test" else "external", row["low"] == row["low"]
    ends = f"95% interval over {row['patients']} patients {row['low']:+.1f} to {row['high']:+.1f}"
    interval = ends if given else f"{row['patients']} patients: too few for an interval"
    if row["seeds"] == 1:
        spread, verdict = "", "one training, no verdict"
    else:
        spread = f"; {row['seeds']} trainings {row['lowest']:+.1f} to {row['highest']:+.1f}"
        if not given:
            verdict = "no verdict without an interval"
        elif row["low"] <= 0 <= row["high"]:
            verdict = "no verdict: the interval includes 0"
        elif row["lowest"] <= 0 <= row["highest"]:
            verdict = "no verdict: the trainings do not agree"
        else:
            verdict = "better than without the change" if row["difference"] > 0 else "worse than without the change"
    return (
        f"{row['variant'].capitalize()}, {row['measure']} ({where}): {row['other']:.1f}% against {row['plain']:.1f}%, "
        f"difference {row['difference']:+.1f} ({interval}{spread}): {verdict}."
    )


def power_sentences(power: Result | Unavailable) -> list[str]:
    """What a missing difference would not prove.

    Parameters
    ----------
    power : Result or Unavailable
        Of `evaluation.power.table`.

    Returns
    -------
    list of str
        One sentence a question; empty where it is unavailable.
    """
    if isinstance(power, Unavailable):
        return []
    return [_power(row) for row in power.frame.to_dict("records")]


def _power(row: Mapping[str, Any]) -> str:
    name, least = row["question"][:1].upper() + row["question"][1:], row["smallest difference"]
    missed = f"would be missed in more than one of five such studies of {row['patients']} patients"
    if least != least:
        return f"{name}: even the largest difference possible {missed}."
    if row["unit"] == "AUC":
        auc = row["smallest AUC"]
        return f"{name}: an AUC below {auc:.2f}, {least:.2f} above the {auc - least:.2f} compared with, {missed}."
    return f"{name}: less than {least:.1f} percentage points {missed}."


def transfer_sentences(table: Result | Unavailable, differences: Result | Unavailable) -> list[str]:
    """What cross-validation by patient says about APL against AML, and about transfer.

    Parameters
    ----------
    table, differences : Result or Unavailable
        Of `evaluation.apl_transfer`.

    Returns
    -------
    list of str
        One sentence for the method listed last (the ensemble, where there is one), whose choice no result decided, and
        one a difference: without a verdict where the interval is missing or includes 0.
    """
    found = []
    if isinstance(table, Result):
        row = table.facts["each"][-1]
        found.append(
            f"APL against AML, every patient judged without being fitted on, {escaped(row['method'])}: AUC "
            f"{row['AUC']:.2f} ({row['ci']})."
        )
    if isinstance(differences, Result):
        found += [_transfer(row) for row in differences.facts["each"]]
    return found


def _transfer(row: Mapping[str, Any]) -> str:
    if row["low"] != row["low"]:
        verdict = "no verdict without an interval"
    elif row["low"] <= 0 <= row["high"]:
        verdict = "no verdict: the interval includes 0"
    else:
        verdict = "the first is better" if row["difference"] > 0 else "the first is worse"
    name = escaped(row["comparison"][:1].upper() + row["comparison"][1:])
    return f"{name} ({row['where']} patients): AUC {row['difference']:+.2f} ({row['ci']}): {verdict}."


def cohort_sentences(overview: Mapping[str, int], duplicates: Result, audit: Result) -> list[str]:
    """The size of a cohort, its leaks, and what does not hold in the paper.

    Parameters
    ----------
    overview : mapping
        Of `evaluation.audit.composition.overview`.
    duplicates : Result
        Of `evaluation.audit.images.near_duplicates`.
    audit : Result
        Of `paper.findings`.

    Returns
    -------
    list of str
        Sentences for the findings of notebook 01.
    """
    unidentified = overview["unidentified"]
    rest = f"; {unidentified:,} images have no patient ID and are not in these counts." if unidentified else "."
    rest += f" {overview['unlabelled']:,} images have no label." if overview["unlabelled"] else ""
    return [
        f"{overview['images']:,} images of {overview['smears']} smears and {overview['patients']} patients{rest}",
        f"{overview['on_both_sides']} patients are on both sides of the split; {overview['trained_on']} of "
        f"{overview['testing_smears']} testing smears are theirs.",
        f"{duplicates.facts['pairs']} near-duplicate pairs, {duplicates.facts['across_splits']} of them across splits.",
        f"{audit.facts['findings']} of {audit.facts['checks']} checks of the paper's own numbers do not hold; "
        f"{audit.facts['affecting']} of them affect a conclusion.",
    ]


def coverage_sentence(counts: Mapping[str, int]) -> str:
    """How many of the printed numbers this run can set beside its own, and what they tell.

    Parameters
    ----------
    counts : mapping
        Of `paper.coverage`.

    Returns
    -------
    str
        A paragraph, in Markdown.
    """
    return (
        f"The paper prints **{counts['printed']}** numbers. {counts['not_measurable']} are settings or other studies' "
        f"and cannot be measured, {counts['unavailable']} this run could not give, {counts['reproduced']} were "
        f"measured: {counts['agrees']} agree and {counts['differs']} differ, {counts['by_design']} are as the cohort "
        f"was built to have them, and {counts['uninformative']} are no evidence either way. {counts['recomputed']} "
        "follow from other printed numbers and were recomputed."
    )


def evidence_sentence(counts: Mapping[str, int], audit: Result, kind: str) -> str:
    """What the scorecard amounts to.

    Parameters
    ----------
    counts : mapping
        Of `paper.coverage`.
    audit : Result
        Of `paper.findings`.
    kind : str
        The cohort's kind: `synthetic`, `public` or `private`.

    Returns
    -------
    str
        A paragraph.
    """
    evidence = counts["agrees"] + counts["differs"]
    return (
        f"{counts['reproduced']} of {counts['printed']} printed numbers have a counterpart in this run; {evidence} of "
        f"them are evidence about the paper: {counts['agrees']} for, {counts['differs']} against the printed number. "
        f"{audit.facts['findings']} of {audit.facts['checks']} checks of the paper's arithmetic fail.{_EVIDENCE[kind]}"
    )


_EVIDENCE = {
    "synthetic": " The images are synthetic, so nothing measured here speaks for or against the paper.",
    "public": " The patients are not the paper's, so nothing measured here speaks for or against its numbers.",
    "private": " This holds only where the cohort is the paper's own.",
}
"""Kind of a cohort -> what its numbers can say of the paper."""
