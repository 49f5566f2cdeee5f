"""docs/cohorts.md, written from the adapters themselves (`python -m alnet_lib.cohorts`)."""

from __future__ import annotations

import inspect
from types import ModuleType

from alnet_lib.cohorts import ADAPTERS
from alnet_lib.cohorts.vocabulary import CELL_TYPES, DIAGNOSES, MANIFEST_COLUMNS, SPLITS

_COLUMNS = {
    "image_id": "unique name of the picture",
    "path": "file, relative to the manifest or to the data set's folder",
    "cell_type": ", ".join(f"`{name}`" for name in CELL_TYPES),
    "smear_id": "smear (slide); a smear is in one split only",
    "patient_id": "patient; may have several smears",
    "site": "hospital or source",
    "diagnosis": ", ".join(f"`{name}`" for name in DIAGNOSES),
    "subtype": "WHO subtype, may be empty",
    "split": ", ".join(f"`{name}`" for name in SPLITS),
}

_HEAD = """<!-- Written by `python -m alnet_lib.cohorts > docs/cohorts.md`; edit the adapters, not this file. -->

# Cohorts

A cohort is one table, the manifest, with a row for each cell image. Adapters turn a source, untouched, into that table;
everything else only reads the table. `alnet cohort list` prints what the kit knows,
`alnet cohort build NAME OUT --data DIR` writes `OUT/manifest.parquet`,
`make reproduce COHORT=NAME DATA=DIR` runs the whole chain on it.

## The manifest

| column | content |
|---|---|
"""

_OPTIONAL = """
Optional columns: `immature` (true for the cells that raise suspicion: only they vote), `smear_known` (false for cells
of an unknown smear: they count for cell-level results, never for the vote), `centre_x`, `centre_y`, `view` and
`view_height` (pixels: where in the file the cell lies, and how many pixels are as wide and as high as a CellaVision
picture, 36 micrometres, so that cells of all sources have one scale; notebook 01 measures it). A cell without a label
(empty `cell_type`) counts for the vote only. Any further column is kept.

## Several sources as one

`COHORT=pbc+jhu_apl DATA=pbc=DIR,jhu_apl=DIR` joins manifests; `source` keeps where a row comes from, and the
beginning of a name is enough. Source predicts class in any such mixture: notebook 01 measures how far the source, the
background and the mean colour alone tell the classes, notebook 03 prints it beside the network's accuracy, and beyond
the level of warning every page of the report says so.

`--split patient` (or `split: patient` in a profile) puts all smears of a patient on one side of the split, whatever
the source says.
"""

_OWN = """
## Your own images

Put a `manifest.csv` (or `.parquet`) into a folder beside the pictures, or name it as DATA. Mandatory columns are
`path`, `cell_type`, `smear_id` and `diagnosis`; a missing `patient_id` becomes the smear, a missing `split` `train`.
Then `alnet cohort build folder OUT --data FOLDER` validates it: every unknown word, missing or unreadable file, picture
that occurs twice and smear on both sides of a split is reported, by row and file, before anything trains.

Without a manifest the folders themselves tell: `<cell type>/<file>`, or `<patient>/<smear>/<cell type>/<file>`.

Your own names of cells are translated by a `mapping.csv` beside the manifest or in the folder: columns `name` (yours)
and `cell_type` (one of the above; empty leaves such cells out, counted).

Pictures are RGB, 8 bits a channel. An opaque alpha channel is dropped; greyscale, CMYK, 16-bit and truncated files are
refused by name (`--allow-truncated`, or `allow_truncated: true` in the profile, uses truncated JPEG files, named and
counted).
"""


def _counts(module: ModuleType) -> str:
    return ", ".join(f"`{name}` {n:,}" for name, n in getattr(module, "COUNTS", {}).items())


def section(module: ModuleType) -> str:
    """What one adapter knows about its source, as Markdown."""
    lines = [f"\n## `{module.NAME}`\n", inspect.getdoc(module) or "", ""]
    facts = {
        "kind": module.KIND, "images": module.IMAGES, "from": module.SOURCE,
        "download": getattr(module, "DOWNLOAD", ""), "licence": module.LICENCE,
        "citation": module.CITATION, "layout": f"`{module.LAYOUT}`" if hasattr(module, "LAYOUT") else "",
        "counts checked": getattr(module, "CHECKED", _counts(module)),
        "scale": getattr(module, "SCALE", ""), "identifiers": getattr(module, "IDENTIFIERS", ""),
        "oddities": getattr(module, "ODDITIES", ""),
    }  # fmt: skip
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items() if value]
    if mapping := getattr(module, "MAPPING", None):
        immature = {f"{kind}, {who} patient": target for (who, kind), target in getattr(module, "IMMATURE", {}).items()}
        targets = {source: f"`{target}`" for source, target in (mapping | immature).items()}
        lines += ["", "| in the source | cell type here | why |", "|---|---|---|"]
        lines += [f"| {source} | {targets.get(source, 'left out')} | {why} |" for source, why in module.WHY.items()]
    if diagnoses := getattr(module, "DIAGNOSIS", None):
        lines += ["", "| in the source | diagnosis here |", "|---|---|"]
        lines += [f"| {source} | `{target}` |" for source, target in diagnoses.items()]
    return "\n".join(lines) + "\n"


def document() -> str:
    """The whole of docs/cohorts.md."""
    columns = "".join(f"| `{name}` | {_COLUMNS[name]} |\n" for name in MANIFEST_COLUMNS)
    return _HEAD + columns + _OPTIONAL + _OWN + "".join(section(module) for module in ADAPTERS.values())
