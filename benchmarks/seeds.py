"""The synthetic cohort under several seeds: `python benchmarks/seeds.py RUN RUN ...`.

A seed draws another cohort, with other patients, and trains everything on it anew. The runs must have the same profile
but for its seed. For the main results, each run's value with its interval over patients, the mean over the seeds that
are not the profile's own, since the aims were set for those, and the aim; for Table 3, each whole network beside the
colour-and-size baseline. Writes benchmarks/results/seeds.json, from which benchmarks/readme.py writes the table in
docs/results.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from alnet_lib.core.files import plain, write_json
from alnet_lib.core.profile import Profile

RESULTS = Path(__file__).parent / "results" / "seeds.json"
AIMS = {
    "text.module_1.accuracy": ("module 1, accuracy on testing cells, %", ">= 90"),
    "text.module_2.accuracy": ("module 2, accuracy on testing cells, %", ">= 88"),
    "end_to_end.accuracy": ("smears with the correct final diagnosis, %", ">= 90"),
    "text.external.module_1.accuracy": ("blasts of the external split, module 1, %", ">= 75"),
    "external.smears.accuracy": ("smears of the external split with the correct final diagnosis, %", ">= 70"),
    "calibration.module_1.external.ece": (
        "module 1, expected calibration error on the external split",
        "<= 0.10",
    ),
}
"""Value -> what it is, and what was aimed at for the mean over seeds that are not the profile's own."""

OWN = Profile.load("quick").seed
"""The profile's seed."""

BASELINE = "floor.six_groups.accuracy"


def values_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every value of a run by its key."""
    return {value["key"]: value for item in content["items"] for value in item["values"]}


def settings(content: dict[str, Any]) -> dict[str, Any]:
    """The profile without its name and seed."""
    return {key: value for key, value in content["provenance"]["profile"].items() if key not in ("name", "seed")}


def row(runs: dict[int, dict[str, dict[str, Any]]], key: str) -> dict[str, Any]:
    """One value under each seed, and its mean over the other seeds than the profile's."""
    seeds = {
        str(seed): {name: values[key][name] for name in ("reproduced", "ci_low", "ci_high", "n_patients")}
        for seed, values in runs.items()
    }
    return {"seeds": seeds, "mean": float(np.mean([seeds[str(seed)]["reproduced"] for seed in others(runs)]))}


def others(seeds: Iterable[int]) -> list[int]:
    """All seeds but that of the profile itself; all where there is no other."""
    return [seed for seed in seeds if seed != OWN] or [*seeds]


def table_3(runs: dict[int, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Accuracy of each network by fine-tuned blocks, as mean over seeds, and of the baseline, in per cent."""
    keys = [key for key in next(iter(runs.values())) if key.startswith("table_03.") and "_sd." not in key]
    asked = [key for key in keys if key.rsplit(".", 1)[1].split("_")[0] in ("last", "whole", "testing")]
    rows = {key.removeprefix("table_03."): row(runs, key) for key in asked}
    return {"baseline, testing": row(runs, BASELINE)} | rows


def main(folders: list[Path], out: Path) -> None:
    """Read the runs, compare their profiles, write the results.

    Raises
    ------
    ValueError
        The runs are of several profiles or cohorts, or two have one seed.
    """
    contents = [json.loads((folder / "results.json").read_text(encoding="utf-8")) for folder in folders]
    if any(settings(one) != settings(contents[0]) for one in contents):
        raise ValueError("the runs have several profiles")
    cohorts = {one["provenance"]["cohort"]["name"] for one in contents}
    runs = {one["provenance"]["seed"]: values_of(one) for one in contents}
    if len(cohorts) > 1 or len(runs) < len(contents):
        raise ValueError(f"runs of one cohort under different seeds are compared, not {cohorts}, {sorted(runs)}")
    found = {
        "cohort": cohorts.pop(),
        "begun": sorted(one["provenance"]["begun"][:10] for one in contents)[-1],
        "processor seconds": {
            str(one["provenance"]["seed"]): sum(cost["processor_seconds"] for cost in one["provenance"]["costs"])
            for one in contents
        },
        "mean over": others(runs),
        "values": {key: row(runs, key) | {"label": label, "aim": aim} for key, (label, aim) in AIMS.items()},
        "table 3": table_3(runs),
    }
    write_json(out, plain(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    main(given.runs, given.out)
