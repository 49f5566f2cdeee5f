"""Write the measured parts of README.md and docs/: `python benchmarks/readme.py runs/*-quick`.

Each run given replaces its own section of docs/results.md, or adds one; the others stay. README.md shows the synthetic
cohort's. The tables of docs/speed.md are written from benchmarks/results/.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from alnet_lib import paper
from alnet_lib.evaluation import apl_transfer
from alnet_lib.paper.values import Result

ROOT = Path(__file__).parent.parent
README, RESULTS, SPEED = ROOT / "README.md", ROOT / "docs" / "results.md", ROOT / "docs" / "speed.md"
IN_README = "### `synthetic`"
MEASURED = Path(__file__).parent / "results"
VERDICTS = ("agrees", "differs", "by_design", "uninformative", "unavailable")
ROWS = {
    "text.module_1.accuracy": "module 1, accuracy on testing cells, %",
    "floor.module_1.accuracy": "colour-and-size baseline on the same classes, accuracy, %",
    "beside.train.module_1": "module 1 on training cells, each predicted without its patient, accuracy, %",
    "beside.train.colour_and_size": "colour-and-size baseline on the same cells and folds, accuracy, %",
    "beside.train.difference": "module 1 less the baseline on them, percentage points",
    "text.module_2.accuracy": "module 2, accuracy on testing cells, %",
    "text.table_09a.accuracy": "smears classified correctly by module 1 (Table 9A), %",
    "text.table_09b.accuracy": "lineage correct among smears predicted as non-APL leukaemia (Table 9B), %",
    "end_to_end.accuracy": "smears with the correct final diagnosis, %",
    "calibration.module_1.ece_after": "module 1, expected calibration error on testing cells",
    "text.external.module_1.accuracy": "blasts of the external split, module 1, %",
    "text.external.module_2.myeloid_blast": "myeloid blasts of the external split, module 2, %",
    "text.external.module_2.b_lymphoblast": "B-lymphoblasts of the external split, module 2, %",
    "external.smears.accuracy": "smears of the external split with the correct final diagnosis, %",
    "calibration.module_1.external.ece": "module 1, expected calibration error on the external split",
    "apl.external.vote.auc": "APL against AML, prospective patients: AUC of the vote",
    "apl.external.fraction.auc": "the same, fraction of promyelocytes among signed cells",
    "apl.external.vote.difference": "the vote's AUC less that of the fraction",
    "module_1.mean_sensitivity": "module 1, mean sensitivity over its classes, %",
    "floor.module_1.mean_sensitivity": "colour-and-size baseline, mean sensitivity, %",
    "confound.source.balanced_accuracy": "shortcut baseline: source name, mean sensitivity, %",
    "confound.background.balanced_accuracy": "shortcut baseline: background, mean sensitivity, %",
    "confound.mean_colour.balanced_accuracy": "shortcut baseline: mean colour, mean sensitivity, %",
}

FROZEN = "Starts judged frozen on the testing cells of"
"""Begins what follows a run's table in docs/results.md alone."""

BLOCKS = ("last_1", "last_2", "last_3", "last_4", "whole")
"""What Table 3 fine-tunes."""

ELSEWHERE = (
    "the same, ", "lineage correct", "error on testing cells", "shortcut baseline",
    "mean sensitivity", "myeloid blasts", "B-lymphoblasts", "on training cells", "same cells and folds", "on them",
)  # fmt: skip
"""Beginnings or parts of the labels of the rows that only docs/results.md shows."""


def section(run: Path) -> str:
    """One run's heading, provenance and table, in Markdown."""
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    about = content["provenance"]
    cohort, seconds = about["cohort"], sum(about["seconds"].values())
    values = {value["key"]: value for item in content["items"] for value in item["values"]}
    counts = paper.coverage(paper.scorecard(content["items"], cohort["kind"]))
    verdicts = [f"{counts[name]} {name.replace('_', ' ')}" for name in VERDICTS if counts.get(name)]
    kind = {"synthetic": "synthetic, not patients", "public": "real patients"}.get(cohort["kind"], cohort["kind"])
    nameless = cohort.get("nameless", 0)
    whose = f", {cohort['images'] - nameless:,} of them" if nameless else ""
    named = f"{whose} of {cohort['smears']} smears" if cohort["smears"] else ", of no named smear"
    lines = [
        f"### `{cohort['name']}` ({kind}), profile `{about['profile']['name']}`",
        "",
        f"{cohort['images']:,} images{named}. Of the {counts['printed']} printed numbers {counts['measurable']} can be "
        f"measured: {', '.join(verdicts)}. "
        f"{seconds / 60:.0f} minutes of notebooks{_cost(about)} on {about['device']} "
        f"({about['precision']}, {about['platform']}, torch {about['packages']['torch']}), {about['begun'][:10]}.",
        "",
        "| | the paper, its own patients | this run (95% interval over patients) | patients |",
        "|---|---|---|---|",
    ]
    sources = {key: key.split(".")[1] for key in values if key.startswith("source.") and key.endswith(".accuracy")}
    for key, label in (
        ROWS | {key: f"module 1, accuracy on the cells of {name}, %" for key, name in sources.items()}
    ).items():
        if (value := values.get(key)) and value["reproduced"] is not None:
            digits = 1 if value["unit"] == "%" else 2
            text = f"{value['reproduced']:.{digits}f}"
            low, high = value["ci_low"], value["ci_high"]
            text += " (none)" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})"
            printed = "" if value["published"] is None else f"{value['published']:.3g}"
            lines.append(f"| {label} | {printed} | {text} | {value['n_patients'] or ''} |")
    return "\n".join([*lines, *_frozen(values), *_by_patient(run)])


def _frozen(values: dict[str, dict]) -> list[str]:
    """Starts judged frozen on the testing cells: a line a start, weighted F1 and balanced accuracy by classifier."""
    found: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        if key.startswith("transfer.starts."):
            _, _, start, classifier, measure = key.split(".")
            found.setdefault(start, {})[f"{classifier}: {measure}".replace("_", " ")] = _with_interval(value, 1)
    if not found:
        return []
    columns = [*next(iter(found.values()))]
    rows = [f"| {start} | " + " | ".join(cells[column] for column in columns) + " |" for start, cells in found.items()]
    head = f"| network and start | {' | '.join(columns)} |".replace("weighted f1", "weighted F1")
    return ["", f"{FROZEN} the six groups, in %:", "", head, "|---|" + "---|" * len(columns), *rows]


def _by_patient(run: Path) -> list[str]:
    """APL against AML by method, as notebook 05 judges all patients: a line a method."""
    table = run / "tables" / "extra_table_apl_cross_validated.csv"
    if not table.is_file():
        return []
    frame = pd.read_csv(table)
    shown = apl_transfer.as_read(Result(frame))
    lines = [f"| {' | '.join(row)} |" for row in [shown.columns, *shown.to_numpy()]]
    lines.insert(1, "|---" * len(shown.columns) + "|")
    return ["", f"APL against AML by patient (notebook 05), {apl_transfer.people(frame)}:", "", *lines]


def _with_interval(value: dict, digits: int) -> str:
    """A number, and its interval where there is one."""
    low, high = value["ci_low"], value["ci_high"]
    return f"{value['reproduced']:.{digits}f}" + ("" if low is None else f" ({low:.{digits}f} to {high:.{digits}f})")


def _cost(about: dict) -> str:
    """Processor time of the run, where it was recorded."""
    spent = sum(one["processor_seconds"] for one in about.get("costs", []))
    return f", {spent:,.0f} s of processor time," if spent else ""


def seeds() -> str:
    """The synthetic cohort under several seeds, and Table 3's whole networks beside the baseline, in Markdown."""
    found = json.loads((MEASURED / "seeds.json").read_text(encoding="utf-8"))
    spent = found["processor seconds"]
    told = ", ".join(f"{seconds:,.0f} s (seed {seed})" for seed, seconds in spent.items())
    over = "mean of seeds " + ", ".join(map(str, found["mean over"]))
    lines = [
        f"Last begun {found['begun']}; processor time {told}.",
        "",
        f"| | aim | {over} | {' | '.join(f'seed {seed} (95% interval over patients)' for seed in spent)} |",
        "|---|---|---|" + "---|" * len(spent),
    ]
    for one in found["values"].values():
        digits = 1 if one["label"].endswith("%") else 2
        cells = [_with_interval(seed, digits) for seed in one["seeds"].values()]
        lines.append(f"| {one['label']} | {one['aim']} | {one['mean']:.{digits}f} | {' | '.join(cells)} |")
    third = found["table 3"]
    networks = sorted({name.split(".")[1] for name in third if "." in name})
    columns = [f"{how}.{{}}.{blocks}" for how in ("hold_out", "five_folds") for blocks in BLOCKS]
    columns.append("hold_out.{}.testing")
    baseline = f"{third['baseline, testing']['mean']:.1f}"
    heads = [f"{how}: {BLOCKS[0]}".replace("_", " ") for how in ("hold-out", "folds")]
    others = " | ".join(BLOCKS[1:]).replace("_", " ")
    lines += [
        "",
        f"Table 3, accuracy in %, {over}; the last column is the whole network on testing cells, where the "
        f"colour-and-size baseline has {baseline}:",
        "",
        f"| miniature of | {heads[0]} | {others} | {heads[1]} | {others} | testing |",
        "|---|" + "---|" * len(columns),
    ]
    for name in networks:
        means = [f"{third[column.format(name)]['mean']:.1f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(means)} |")
    return "\n".join(lines)


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


def scale() -> str:
    """Seconds and memory of every step by the number of cells, in Markdown."""
    measured = json.loads((MEASURED / "scale.json").read_text(encoding="utf-8"))
    sizes, slopes = measured["sizes"], measured["slope"]
    lines = [
        f"{measured['cores']} cores, {measured['date']}; processor seconds, and peak memory in MB.",
        "",
        "| step | " + " | ".join(f"{int(cells):,} cells, s | MB" for cells in sizes) + " | slope |",
        "|---|" + "---|" * (2 * len(sizes) + 1),
    ]
    for name, one in slopes.items():
        cells = [_seconds_and_memory(steps.get(name, {})) for steps in sizes.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {'' if one is None else one} |")
    return "\n".join(lines)


def gpu() -> str:
    """The kit on a card beside a plain loop and the matrix product; Table 3 predicted and measured; in Markdown."""
    found = json.loads((MEASURED / "gpu.json").read_text(encoding="utf-8"))
    settings, device, third = found["settings"], found["device"], found["table_3"]
    on_cpu = device["kind"] == "cpu"
    threads = f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}"
    what = (
        f"**Not a GPU:** {threads} of a processor ({device['name']}), by its own seconds" if on_cpu else device["name"]
    )
    lines = [
        f"{what}; {settings['size']} pixels, batch {settings['batch']}, {settings['predicted']} in prediction; "
        f"torch {found['torch']}, {found['date']}, {found['minutes']:.0f} minutes.",
        "",
        "| network | precision | layout | training, images/s: kit | plain loop | ratio | % of product | memory, GB "
        "| prediction, images/s: kit | plain loop | ratio | % of product |",
        "|---|---|---|" + "---|" * 9,
    ]
    for row in found["rows"]:
        training = row["training"]
        cells = [*_beside_plain(training), _number(training["kit_memory_gb"]), *_beside_plain(row["prediction"])]
        chosen = " (the kit's)" if row["layout"] == row["the_kit_chooses"] else ""
        lines.append(f"| {row['network']} | {row['precision']} | {row['layout']}{chosen} | {' | '.join(cells)} |")
    rates = {row["precision"]: row["matmul"] for row in found["rows"]}
    told = [f"{rate / 1e12:.3g} TFLOP/s in {precision}" for precision, rate in rates.items()]
    lines += ["", f"A large matrix product: {', '.join(told)}."]
    if found["busy"]:
        lines[-1] += " Other programs were at work."
    if third["units"]:
        networks = ", ".join(third["networks"])
        lines += [
            "",
            f"Table 3 at {settings['iterations']} of {settings['whole']} iterations, the cohort at fraction "
            f"{settings['fraction']:g}, {settings['precision']}, {networks}: {third['units']} of "
            f"{third['units_asked']} units ({third['trainings']} trainings), predicted {third['predicted']:.0f} s, "
            f"measured {third['seconds']:.0f} s. Of the whole, predicted {third['predicted_whole'] / 60:.0f} minutes"
            + (
                f", by what was measured {third['measured_whole'] / 60:.0f} at most."
                if third["measured_whole"]
                else "."
            ),
        ]
    if left := found["left_out"] + third["left_out"]:
        lines += ["", f"Left out, for the time given: {', '.join(left)}."]
    if drawn := found.get("cohort"):
        seconds = "; ".join(f"{name} {drawn[name]:.1f}" for name in drawn if name.endswith(", s"))
        where = "on the device" if drawn["resident"] else "which the device had no room for"
        lines += [
            "",
            f"The synthetic cohort, {drawn['images']:,} images, {drawn['bytes'] / 1e9:.2f} GB {where}: {seconds}.",
        ]
    return "\n".join(lines)


def _beside_plain(found: dict) -> list[str]:
    kit, plain, share = found["kit"], found["plain"], found["share_of_matmul"]
    ratio = kit / plain if kit and plain else None
    return [*map(_number, (kit, plain, ratio, share and 100 * share))]


def _seconds_and_memory(found: dict) -> str:
    if "processor" not in found:
        return "not measured | "
    return f"{found['processor']:.1f} | {found['peak']:,}"


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
    _replace(RESULTS, "seeds", lambda _: seeds())
    own = [part.partition(f"\n\n{FROZEN}")[0] for part in re.split(r"\n+(?=### )", every) if part.startswith(IN_README)]
    short = [line for part in own for line in part.splitlines() if not any(name in line for name in ELSEWHERE)]
    _replace(README, "results", lambda before: "\n".join(short) or before)
    _replace(SPEED, "speed", lambda _: speed())
    _replace(SPEED, "scale", lambda _: scale())
    _replace(SPEED, "gpu", lambda _: gpu())


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
