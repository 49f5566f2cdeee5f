"""docs/cohorts.md, written from the schema and the sources themselves (`python -m alnet_lib.cohorts`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alnet_lib.cohorts.building import listed
from alnet_lib.cohorts.schema import manifest_schema

if TYPE_CHECKING:
    from alnet_lib.cohorts.adapters.source import Source

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
Optional columns:

| column | content |
|---|---|
"""


_MORE = """
A cell without a label (empty `cell_type`) counts for the vote only. Any further column is kept.

## Several sources as one

`COHORT=pbc+jhu_apl DATA=pbc=DIR,jhu_apl=DIR` joins manifests; `source` keeps where a row comes from, and the
beginning of a name is enough. Source predicts class in any such mixture: notebook 01 measures how well the source, the
background and the mean colour alone predict the class, notebook 03 prints it beside the network's accuracy, and where
it is too high every page of the report says so.

`--split patient` (or `split: patient` in a profile) puts all smears of a patient on one side of the split, whatever
the source says.
"""


_OWN = """
## Your own images

Put a `manifest.csv` (or `.parquet`) into a folder beside the images, or name it as DATA. Mandatory columns are
`path`, `cell_type`, `smear_id` and `diagnosis`; a missing `patient_id` becomes the smear, a missing `split` `train`.
Then `alnet cohort build folder OUT --data FOLDER` validates it: every unknown word, missing or unreadable file, image
that occurs twice and smear on both sides of a split is reported, by row and file, before anything trains.

Without a manifest the names of the folders count: `<cell type>/<file>`, or `<patient>/<smear>/<cell type>/<file>`.

Your own names of cells are translated by a `mapping.csv` beside the manifest or in the folder: columns `name` (yours)
and `cell_type` (one of the above; empty leaves such cells out, counted).

Images are RGB, 8 bits a channel. An opaque alpha channel is dropped; greyscale, CMYK, 16-bit and truncated files are
refused by name (`--allow-truncated`, or `allow_truncated: true` in the profile, uses truncated JPEG files, named and
counted).
"""


def _counts(source: Source) -> str:
    return ", ".join(f"`{name}` {n:,}" for name, n in source.counts.items())


def section(source: Source) -> str:
    """Write what is known of one source as Markdown.

    Parameters
    ----------
    source : Source
        A registered source.

    Returns
    -------
    str
        A section with tables of facts, labels and diagnoses.
    """
    lines = [f"\n## `{source.name}`\n", source.about.strip(), ""]
    facts = {
        "kind": source.kind, "images": source.images, "from": source.home, "download": source.download,
        "licence": source.licence, "citation": source.citation,
        "layout": f"`{source.layout}`" if source.layout else "", "counts checked": source.checked or _counts(source),
        "scale": source.scale, "identifiers": source.identifiers, "oddities": source.oddities,
    }  # fmt: skip
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items() if value]
    if source.mapping:
        immature = {f"{kind}, {diagnosis} patient": target for (diagnosis, kind), target in source.immature.items()}
        targets = {
            name: f"`{target}`" if target else "no label, votes"
            for name, target in ({**source.mapping, **immature}).items()
        }
        lines += ["", "| in the source | cell type here | why |", "|---|---|---|"]
        lines += [f"| {name} | {targets.get(name, 'left out')} | {why} |" for name, why in source.why.items()]
    if source.diagnosis:
        lines += ["", "| in the source | diagnosis here |", "|---|---|"]
        lines += [f"| {name} | `{target}` |" for name, target in source.diagnosis.items()]
    return "\n".join(lines) + "\n"


def document() -> str:
    """Write the whole of docs/cohorts.md.

    Returns
    -------
    str
        Markdown: the manifest's columns from the schema, the sources from the register.
    """
    rows = {True: "", False: ""}
    for name, column in manifest_schema().columns.items():
        rows[column.required] += f"| `{name}` | {column.description} |\n"
    sections = "".join(section(source) for source in listed())
    return _HEAD + rows[True] + _OPTIONAL + rows[False] + _MORE + _OWN + sections
