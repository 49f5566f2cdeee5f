"""What the Snakefile asks: which files a step leaves, and a fingerprint of all that its results depend on.

Results depend on a notebook's code cells, not on its prose; on the library modules it uses; on the profile; and, for
the first step, on the files of the cohort. Imports nothing heavy: Snakemake reads this at every start.
"""

from __future__ import annotations

import json
from pathlib import Path

from alnet_lib import paper
from alnet_lib.files import cohort_folders, sha256
from alnet_lib.profile import Profile

LIBRARY = Path(__file__).resolve().parent
NOTEBOOKS_DIR = LIBRARY.parent / "notebooks"

_COMMON = ("alnet.py", "cohorts/vocabulary.py", "run.py", "results.py", "tables.py", "files.py", "profile.py")
_COHORT = ("cohorts/**/*.py", "cohorts/**/*.csv", "cohorts/**/*.yaml", "images.py")
_NETWORK = (
    "alnet.py",
    "augment.py",
    "backbones.py",
    "checkpoints.py",
    "frozen.py",
    "timm_backbones.py",
    "training.py",
    "weights.py",
)
_PLOTS = ("plots.py", "schemes.py", "alnet.mplstyle")
_STATISTICS = ("evaluation.py", "roc.py", "vote.py", "paper/**/*")

_CLASSICAL = ("classical.py", "handcrafted.py", "segmentation.py", "images.py")

USES: dict[str, tuple[str, ...]] = {
    "01_data_audit": (*_COMMON, *_COHORT, *_PLOTS, "audit.py", "confounds.py", "segmentation.py", "paper/**/*"),
    "02_backbone_comparison": (
        *_COMMON,
        *_NETWORK,
        *_PLOTS,
        *_STATISTICS,
        *_CLASSICAL,
        "comparison.py",
        "units.py",
        "range_test.py",
    ),
    "03_alnet_training": (*_COMMON, *_NETWORK, *_PLOTS, *_STATISTICS, "cells.py", "confounds.py"),
    "04_smear_roc": (*_COMMON, *_PLOTS, *_STATISTICS, "smears.py", "rigour.py", "calibration.py", "browse.py"),
    "05_external_validation": (
        *_COMMON,
        *_NETWORK,
        *_PLOTS,
        *_STATISTICS,
        *_CLASSICAL,
        "smears.py",
        "studies.py",
        "learned_vote.py",
        "cohorts/splitting.py",
    ),
    "06_feature_maps": (
        *_COMMON,
        *_NETWORK,
        *_PLOTS,
        "feature_maps.py",
        "maps.py",
        "attribution.py",
        "segmentation.py",
        "vote.py",
    ),
    "07_scorecard": (*_COMMON, *_PLOTS, *_STATISTICS, "cells.py", "classical.py"),
}
"""Library files behind each notebook, as patterns below alnet_lib/."""

RULES: dict[str, str] = {notebook: notebook[3:] for notebook in USES}
"""Snakemake's rule names: they may not begin with a digit."""


def outputs(notebook: str) -> list[str]:
    """Files below the run directory that a finished step leaves: a record of each of its items, and its marker."""
    items = [f"items/{id}.json" for id, (_, _, owner) in paper.ITEMS.items() if owner == notebook]
    return [*items, f"done/{notebook}.json"]


def units(*, cohort: str, profile: str) -> list[str]:
    """Markers of the comparison's units, where the profile makes each of them a job of its own."""
    plan = Profile.load(profile, cohort).comparison
    asked = [(backbone, name) for backbone in plan.backbones for name in plan.evaluations]
    return [f"comparison/{backbone}-{name}.json" for backbone, name in asked if plan.units]


def marker(notebook: str) -> str:
    """The completion marker of a step: a small file with a hash of its results."""
    return f"done/{notebook}.json"


def code_hash(notebook: Path) -> str:
    """SHA-256 of a notebook's code cells; prose and outputs do not count."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sha256(*("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))


def library_hash(notebook: str) -> str:
    """SHA-256 of the library files behind a notebook."""
    files = {path for pattern in USES[notebook] for path in LIBRARY.glob(pattern) if path.is_file()}
    kept = sorted(path for path in files if "__pycache__" not in path.parts)
    return sha256(*(part for path in kept for part in (path.relative_to(LIBRARY).as_posix(), path)))


def data_fingerprint(cohort: str, data: str) -> str:
    """SHA-256 of names, sizes and modification times of the files below the cohort's folder (of each, if several)."""
    roots = [Path(folder).expanduser() for folder in cohort_folders(cohort, data).values()]
    lines = []
    for root in roots:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                stat = path.stat()
                lines.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
    return sha256(*lines)


def fingerprint(notebook: str, *, cohort: str, profile: str, data: str) -> str:
    """One hash of all that a step's results depend on beside the results of earlier steps."""
    settings = Profile.load(profile, cohort).model_dump_json()
    parts = [code_hash(NOTEBOOKS_DIR / f"{notebook}.ipynb"), library_hash(notebook), settings]
    if notebook == "01_data_audit":
        parts.append(data_fingerprint(cohort, data))
    return sha256(*parts)


def prose_hash() -> str:
    """SHA-256 of all notebooks and of what renders them: the report is written again when prose changes."""
    renderers = [*LIBRARY.glob("templates/**/*"), *(LIBRARY / f"{name}.py" for name in ("report", "tables", "gallery"))]
    files = [path for path in [*NOTEBOOKS_DIR.glob("*.ipynb"), *renderers] if path.is_file()]
    return sha256(*sorted(files))
