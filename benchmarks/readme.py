"""Write the measured parts of README.md and docs/: `python benchmarks/readme.py runs/*-quick`.

Each run given replaces its own section of docs/results.md, or adds one; the others stay. README.md shows the synthetic
cohort's. The table of speed in docs/speed.md is written from benchmarks/results/.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from alnet_lib.core.vocabulary import MODULE_1_CLASSES

ROOT = Path(__file__).parent.parent
README, RESULTS, SPEED = ROOT / "README.md", ROOT / "docs" / "results.md", ROOT / "docs" / "speed.md"
IN_README = "### `synthetic`"
MEASURED = Path(__file__).parent / "results"
ROWS = {
    "text.module_1.accuracy": "module 1, accuracy on testing cells, %",
    "floor.module_1.accuracy": "colour-and-size baseline on the same classes, accuracy, %",
    "text.module_2.accuracy": "module 2, accuracy on testing cells, %",
    "text.table_09a.accuracy": "smears classified correctly by module 1 (Table 9A), %",
    "text.table_09b.accuracy": "lineage correct among smears predicted as non-APL leukaemia (Table 9B), %",
    "end_to_end.accuracy": "smears with the correct final diagnosis, %",
    "text.external.module_1.accuracy": "blasts of other sites, module 1, %",
    "text.external.module_2.myeloid_blast": "myeloid blasts of other sites, module 2, %",
    "text.external.module_2.b_lymphoblast": "B-lymphoblasts of other sites, module 2, %",
    "apl.external.vote.auc": "APL against AML, prospective patients: AUC of the vote",
    "apl.external.fraction.auc": "the same, fraction of promyelocytes among signed cells",
    "mean_sensitivity": "module 1, mean sensitivity over its classes, %",
    "confound.source.balanced_accuracy": "shortcut baseline: source name, mean sensitivity, %",
    "confound.background.balanced_accuracy": "shortcut baseline: background, mean sensitivity, %",
    "confound.mean_colour.balanced_accuracy": "shortcut baseline: mean colour, mean sensitivity, %",
}


def section(run: Path) -> str:
    """One run's heading, provenance and table, in Markdown."""
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    about = content["provenance"]
    cohort, seconds = about["cohort"], sum(about["seconds"].values())
    values = {value["key"]: value for item in content["items"] for value in item["values"]}
    values["mean_sensitivity"] = _mean_sensitivity(values)
    there = sum(item["status"] == "reproduced" for item in content["items"] if not item["id"].startswith("extra"))
    kind = {"synthetic": "synthetic, not patients", "public": "real patients"}.get(cohort["kind"], cohort["kind"])
    lacking = "" if there == 21 else ", the others unavailable with their reason"
    nameless = cohort.get("nameless", 0)
    whose = f", {cohort['images'] - nameless:,} of them" if nameless else ""
    named = f"{whose} of {cohort['smears']} smears" if cohort["smears"] else ", of no named smear"
    lines = [
        f"### `{cohort['name']}` ({kind}), profile `{about['profile']['name']}`",
        "",
        f"{cohort['images']:,} images{named}; {there} of 21 tables and figures{lacking}; "
        f"{seconds / 60:.0f} minutes of notebooks on {about['device']} "
        f"({about['precision']}, {about['platform']}, torch {about['packages']['torch']}), {about['begun'][:10]}.",
        "",
        "| | the paper, its own patients | this run (95% interval) |",
        "|---|---|---|",
    ]
    sources = {key: key.split(".")[1] for key in values if key.startswith("source.")}
    for key, label in (
        ROWS | {key: f"module 1, accuracy on the cells of {name}, %" for key, name in sources.items()}
    ).items():
        if (value := values.get(key)) and value["reproduced"] is not None:
            digits = 2 if key.endswith("auc") else 1
            text = f"{value['reproduced']:.{digits}f}"
            if value["ci_low"] is not None:
                text += f" ({value['ci_low']:.{digits}f} to {value['ci_high']:.{digits}f})"
            printed = "" if value["published"] is None else f"{value['published']:.3g}"
            lines.append(f"| {label} | {printed} | {text} |")
    return "\n".join(lines)


def _mean_sensitivity(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Of module 1 over the classes of the run; the printed one only where all are there, so both are of one thing."""
    found = [values.get(f"table_08.sensitivity.{name}", {}) for name in MODULE_1_CLASSES]
    known = [value["reproduced"] for value in found if value.get("reproduced") is not None]
    printed = fmean(value["published"] for value in found) if len(known) == len(found) else None
    return {"published": printed, "reproduced": fmean(known) if known else None, "ci_low": None, "ci_high": None}


def speed() -> str:
    """The engine beside the plain recipe, and the drawing of the synthetic cohort, in Markdown."""
    engine = json.loads((MEASURED / "engine.json").read_text(encoding="utf-8"))
    drawing = json.loads((MEASURED / "drawing.json").read_text(encoding="utf-8"))
    settings, parts = engine["settings"], ("plain", "float32", "float32, ratio", "bf16", "bf16, ratio")
    lines = [
        f"{settings['backbone']} at {settings['size']} pixels, batch {settings['batch']}, {settings['iterations']} "
        f"iterations for each number of fine-tuned blocks; {engine['cores']} cores ({engine['processor']}), "
        f"torch {engine['torch']}, {engine['date']}.",
        "",
        "| | plain recipe | float32 | ratio | bf16 | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name in engine["plain"]:
        numbers = [engine[part][name] for part in parts]
        lines.append(f"| {name} | " + " | ".join(map(_number, numbers)) + " |")
    whole = max(drawing["rows"], key=lambda row: row["images"])
    drawn = (
        f"The synthetic cohort at fraction {whole['cohort fraction']:g}: {whole['images']:,} images in "
        f"{whole['seconds']:.0f} s ({whole['images a second']:.0f} a second, {whole['workers']} workers, "
        f"{whole['peak memory, MB']:,} MB), {drawing['date']}."
    )
    return "\n".join([*lines, "", drawn])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def results(before: str, runs: list[Path]) -> str:
    """The sections that were there, those of `runs` replaced or added."""
    there = re.split(r"\n+(?=### )", before.strip())
    sections = {part.splitlines()[0]: part for part in there if part}
    sections |= {(new := section(run)).splitlines()[0]: new for run in runs}
    return "\n\n".join(sections.values())


def _replace(file: Path, name: str, write: Callable[[str], str]) -> str:
    """Write anew what is between the markers of a name; the new text."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n)(.*?)\n(<!-- /{name} -->)", flags=re.DOTALL)
    text = file.read_text(encoding="utf-8")
    new = write(pattern.search(text)[2])
    file.write_text(pattern.sub(lambda m: f"{m[1]}{new}\n{m[3]}", text), encoding="utf-8")
    return new


def main(runs: list[Path]) -> None:
    """Replace what is between the markers."""
    every = _replace(RESULTS, "results", lambda before: results(before, runs))
    own = [part for part in re.split(r"\n+(?=### )", every) if part.startswith(IN_README)]
    _replace(README, "results", lambda before: own[0] if own else before)
    _replace(SPEED, "speed", lambda _: speed())


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
