"""One unit of the backbone comparison as a job of its own: `python -m alnet_lib.units`, which the Snakefile calls."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml

from alnet_lib import comparison
from alnet_lib.files import write_json
from alnet_lib.run import Run


def main(arguments: list[str] | None = None) -> int:
    """Train what the unit lacks, then write its marker; 0 when all of it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=Path, required=True, help="the run's parameters.yaml")
    parser.add_argument("--unit", required=True, help="<backbone>/<evaluation>, e.g. vgg16/fold-1")
    parser.add_argument("--threads", type=int, default=0, help="processors for this unit; 0 leaves it to torch")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    run = Run.open("02_backbone_comparison", **yaml.safe_load(given.parameters.read_text(encoding="utf-8")))
    backbone, evaluation = given.unit.split("/")
    if comparison.possible(run):
        rows = comparison.train_unit(run, backbone, evaluation)
        kept = rows[["backbone", "evaluation", "depth", "validation_accuracy", "testing_accuracy", "key"]]
        content = kept.astype(object).where(kept.notna(), None).to_dict("records")
    else:
        content = []
    write_json(run.dir / "comparison" / f"{backbone}-{evaluation}.json", {"unit": given.unit, "trainings": content})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
