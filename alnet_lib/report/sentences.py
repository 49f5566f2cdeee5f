"""Findings in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.evaluation.audit.images import ScaleFinding
from alnet_lib.evaluation.audit.shortcuts import SEEN
from alnet_lib.paper.values import Result


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
    return [_scale(finding) for finding in findings]


def _scale(f: ScaleFinding) -> str:
    if f.kind == "not judged":
        return f"The scale of {f.source} cannot be judged by red cells: {f.measured} lie whole and alone."
    if f.kind == "red cells":
        measured = (
            f"Red cells of {f.source} are {f.width:.1f} micrometres wide at the scale used ({f.measured} measured)"
        )
        return f"{measured}: **a warning**, 7 to 8 are usual." if f.warning else f"{measured}."
    if f.kind == "red cells differ":
        return (
            f"By their red cells, **a warning**: {f.source} and {f.other} are not at one scale, so size may reveal the "
            "source."
        )
    return (
        f"{f.cell_type} are {f.width:.1f} micrometres wide in {f.source} and {f.other_width:.1f} in {f.other}: "
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
        One sentence a comparison; an interval around 0 is called no evidence of a difference.
    """
    if isinstance(ablations, Unavailable):
        return []
    return [
        f"{row.variant.capitalize()}, {row.measure} ({'testing' if row.where == 'test' else 'external'}): "
        f"{row.other:.1f}% against {row.plain:.1f}%, "
        f"difference {row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})"
        + ("." if row.low > 0 or row.high < 0 else ", no evidence of a difference.")
        for row in ablations.frame.itertuples()
    ]


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
    rest = f"; {unidentified:,} images have no smear and patient ID." if unidentified else "."
    return [
        f"{overview['images']:,} images of {overview['smears']} smears and {overview['patients']} patients{rest}",
        f"{overview['on_both_sides']} patients are on both sides of the split; {overview['trained_on']} of "
        f"{overview['testing_smears']} testing smears are theirs.",
        f"{duplicates.facts['pairs']} near-duplicate pairs, {duplicates.facts['across_splits']} of them across splits.",
        f"{audit.facts['findings']} of {audit.facts['checks']} checks of the paper's own numbers do not hold; "
        f"{audit.facts['affecting']} of them affect a conclusion.",
    ]


def attribution_sentences(means: Result | Unavailable) -> list[str]:
    """Where the modules look, by module and method.

    Parameters
    ----------
    means : Result or Unavailable
        Of `evaluation.explanation.attribution.means`.

    Returns
    -------
    list of str
        Empty where it is unavailable.
    """
    if isinstance(means, Unavailable):
        return []
    return [
        f"Module {row['module']}, {row['method']}: {row['nucleus, %']:.0f}% nucleus, {row['background, %']:.0f}% "
        "background."
        for row in means.frame.to_dict("records")
    ]


def coverage_sentence(counts: Mapping[str, int]) -> str:
    """How many of the printed numbers this run can set beside its own.

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
        f"The paper prints **{counts['printed']}** numbers; {counts['measurable']} of them are counts, results or "
        f"times that a run can measure, the others are settings or other studies'. {counts['recomputed']} follow from "
        f"others and were recomputed. {counts['reproduced']} were measured here: {counts['agrees']} agree, "
        f"{counts['differs']} differ; {counts['unavailable']} are unavailable."
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
    synthetic = " The images are synthetic, so nothing here speaks for or against the paper."
    return (
        f"{counts['reproduced']} of {counts['printed']} printed numbers have a counterpart in this run. "
        f"{audit.facts['findings']} of {audit.facts['checks']} checks of the paper's arithmetic fail."
        + (synthetic if kind == "synthetic" else "")
    )
