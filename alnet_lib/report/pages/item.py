"""The page of a table or figure of the paper: each printed number beside what the run measured, and the verdict."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup
from nbconvert.filters import Highlight2HTML

from alnet_lib.core.files import atomic_path
from alnet_lib.core.integrity.reading import reading
from alnet_lib.evaluation.smear_level import SMEAR_CLASSES
from alnet_lib.figures import display
from alnet_lib.figures.tables import html_table
from alnet_lib.paper import amount, in_words, measured, part_in_words
from alnet_lib.paper.scorecard import ABOUT, BY_DESIGN, COLUMNS, OTHER_COHORT, OWN_COHORT, VERDICTS
from alnet_lib.report.pages import notebook

if TYPE_CHECKING:
    import nbformat

SIGNS = dict(zip(VERDICTS, "✓✗◇○–·", strict=True))
"""Verdict -> its sign; the word always stands beside it."""

IN_GALLERY = {
    "table_07a": ("its cells", "module=1"),
    "table_07b": ("its cells", "module=2"),
    "table_09a": ("its smears", "split=test"),
    "table_09b": ("its smears", "split=test&vote=blast"),
    "extra_figure_module_1": ("its cells", "module=1"),
    "extra_figure_errors": ("wrong cells, the surest first", "split=test&correct=no&order=falling"),
    "extra_table_end_to_end": ("its smears", "split=test"),
    "extra_table_external_cells": ("its cells", "split=external"),
    "extra_figure_external_smears": ("its smears", "split=external"),
    "extra_table_external_smears": ("its smears", "split=external"),
}
"""Id of an item -> what the gallery shows of it, and the filter that shows these."""

GALLERY = "gallery.html"
"""The gallery's page."""

FOR_ALL = {*OTHER_COHORT.values(), OWN_COHORT, BY_DESIGN}
"""Reasons of a verdict that hold for many numbers of a run, and are said once."""

FOLDER = "compared"
"""In a run: the numbers of each page as CSV."""

_NUMBERS = ["published", "reproduced", "ci_low", "ci_high", "n_patients", "difference"]


def anchor(id: str) -> str:
    """Give the id, on its page, of a number by the record's id; `CD10+` and `CD10-` stay apart."""
    signed = re.sub(r"[+-](?=\.)", lambda sign: "_plus" if sign[0] == "+" else "_minus", id)
    return re.sub(r"\W+", "-", signed).strip("-")


def places_of(id: str) -> set[str]:
    """Give the places of the record that belong to an item: the table itself, its caption and footnotes."""
    label = display.label(id)
    return {label, *(f"{name} {part}" for name in (label, label.rstrip("AB")) for part in ("caption", "footnote"))}


def of(item: Mapping[str, Any], card: pd.DataFrame) -> pd.DataFrame:
    """Take from the scorecard the numbers that an item's page shows.

    Parameters
    ----------
    item : mapping
        Of results.json.
    card : DataFrame
        Of `paper.scorecard`, index `id`.

    Returns
    -------
    DataFrame
        Rows of `card`: those printed in the table or figure, its caption and footnotes, then those of the text that
        the same notebook cell measures.
    """
    measured_here = {value["key"] for value in item["values"]}
    printed = card["place"].isin(places_of(item["id"]))
    return pd.concat([card[printed], card[~printed & card["id"].isin(measured_here)]])


def pages_of(items: list[Mapping[str, Any]], card: pd.DataFrame, pages: Collection[str]) -> dict[str, str]:
    """Say on which page every printed number has its row.

    Parameters
    ----------
    items, card, pages
        See `every`.

    Returns
    -------
    dict of str to str
        Id of the record to an address in the report's folder: of the paper's tables and figures their own page, of
        others the notebook's.
    """
    known: dict[str, str] = {}
    for item in (item for item in items if f"{item['id']}.html" in pages):
        for id in of(item, card).index:
            known.setdefault(id, f"{item['id']}.html#{anchor(id)}")
    for item in (item for item in items if f"{item['notebook']}.html" in pages):
        for value in item["values"]:
            known.setdefault(value["key"], f"{item['notebook']}.html#{item['id']}")
    return known


def write_compared(run_dir: Path, item: Mapping[str, Any], card: pd.DataFrame) -> str:
    """Write <run>/compared/<id>.csv: the numbers of an item's page, as numbers.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    item, card
        See `of`.

    Returns
    -------
    str
        Name of the file, relative to the run; empty where the paper prints no number there.
    """
    rows = of(item, card)
    if not len(rows):
        return ""
    name = f"{FOLDER}/{item['id']}.csv"
    columns = ["id", "place", "row", "column", "unit", *_NUMBERS, "interval", "verdict", "near", "note"]
    with atomic_path(run_dir / name) as temporary:
        rows[columns].to_csv(temporary, index=False, lineterminator="\n")
    return name


def content(
    item: Mapping[str, Any], card: pd.DataFrame | None, ran: nbformat.NotebookNode | None, run_dir: Path,
    files: Mapping[str, str], pages: Collection[str],
) -> dict[str, Any]:  # fmt: skip
    """Gather what the template `item.html.j2` needs.

    Parameters
    ----------
    item : mapping
        Of results.json.
    card : DataFrame or None
        Of `paper.scorecard`, index `id`; None where the kind of the cohort is not known.
    ran : NotebookNode or None
        The executed notebook that made the item.
    run_dir : Path
        A run directory.
    files : mapping of str to str
        Of `files.copied`.
    pages : collection of str
        Files of the report that links may lead to.

    Returns
    -------
    dict
        Texts are not escaped; `table`, `unprinted`, `code` and `size` are HTML.
    """
    rows = pd.DataFrame(columns=list(COLUMNS)) if card is None else of(item, card)
    gallery = IN_GALLERY.get(item["id"], ("", ""))[0] if GALLERY in pages else ""
    picture = next((name for name in item["files"] if name.endswith(".png") and name in files), "")
    wanted = [f"{FOLDER}/{item['id']}.csv", *item["files"]]
    names = {"csv": "this run's table, CSV", "svg": "SVG", "webp": "WebP"}
    return {
        "label": display.label(item["id"]),
        "rows": [row(line, display.label(item["id"]), gallery) for line in rows.to_dict("records")],
        "grid": _grid(rows[rows["place"].eq(display.label(item["id"]))], gallery),
        "reasons": sorted({note for note in rows["note"] if note in FOR_ALL}),
        "gallery": gallery,
        "picture": files.get(picture, ""),
        "size": Markup(notebook.size((run_dir / picture).read_bytes())) if picture else "",
        "table": table(run_dir, item),
        "unprinted": numbers(item, card, printed=False),
        "code": code(ran, item["id"]),
        "downloads": [
            (
                "each number with its verdict, CSV"
                if name.startswith(FOLDER)
                else names[files[name].rpartition(".")[2]],
                files[name],
            )
            for name in wanted
            if name in files
        ],
        "notebook_page": f"{item['notebook']}.html" if f"{item['notebook']}.html" in pages else "",
    }


def below(item: Mapping[str, Any], card: pd.DataFrame | None, files: Mapping[str, str], pages: Collection[str]) -> str:
    """Write what stands below a table or figure on its notebook's page.

    Parameters
    ----------
    item : mapping
        Of results.json.
    card : DataFrame or None
        Of `paper.scorecard`, index `id`.
    files : mapping of str to str
        Of `files.copied`.
    pages : collection of str
        Files of the report that links may lead to.

    Returns
    -------
    str
        HTML: links to the item's page, files and place in the gallery and, where it has no page of its own, the
        numbers of it that the paper printed.
    """
    own = f"{item['id']}.html" if f"{item['id']}.html" in pages else ""
    compared = card is not None and len(of(item, card)) > 0
    known = {"Beside the printed numbers" if compared else "Its page": own}
    known |= {files[name].rpartition(".")[2].upper(): files[name] for name in item["files"] if name in files}
    if item["id"] in IN_GALLERY and GALLERY in pages:
        what, state = IN_GALLERY[item["id"]]
        known[f"{what[:1].upper()}{what[1:]}, in the gallery"] = f"{GALLERY}#{state}"
    links = [Markup('<a href="{}">{}</a>').format(address, name) for name, address in known.items() if address]
    html = f'<p class="files">{" · ".join(links)}</p>' if links else ""
    if compared and not own:
        label, table = Markup.escape(item["title"]), numbers(item, card, others=False)
        box = f'<section class="table-scroll" tabindex="0" aria-label="{label}, printed">{table}</section>'
        html += f"<details><summary>Beside the printed numbers</summary>{box}</details>"
    return html


def row(line: Mapping[str, Any], own: str = "", gallery: str = "") -> dict[str, Any]:
    """Give what a row of a page shows of a printed number.

    Parameters
    ----------
    line : mapping
        A row of `index.scored`.
    own : str
        Place whose name is left out of the number's.
    gallery : str
        What the gallery shows of the row's table; empty for nothing.

    Returns
    -------
    dict
        Texts, not escaped.
    """
    differs = pd.notna(line["difference"])
    return {
        "anchor": anchor(line["id"]),
        "name": in_words(line["place"], line["row"], line["column"]).removeprefix(f"{own}: "),
        "unit": "%" if line["unit"] == "%" else f" {line['unit']}".rstrip(),
        "printed": line["printed"],
        "measured": measured(line),
        "difference": _signed(line["difference"], line["unit"]) if differs else "",
        "verdict": line["verdict"],
        "sign": SIGNS[line["verdict"]],
        "note": "" if line["note"] in FOR_ALL else line["note"],
        "total": line["row"] == "total",
        "about": line["about"],
        "gallery": _in_gallery(line, gallery),
    }  # fmt: skip


def every(items: list[Mapping[str, Any]], card: pd.DataFrame, pages: Collection[str]) -> dict[str, Any]:
    """Gather what the template `numbers.html.j2` needs.

    Parameters
    ----------
    items : list of mapping
        All items of results.json.
    card : DataFrame
        Of `paper.scorecard`, index `id`.
    pages : collection of str
        Files of the report that links may lead to.

    Returns
    -------
    dict
        Every printed number, and what they can be filtered by.
    """
    where = pages_of(items, card, pages)
    rows = [row(line) | {"link": where.get(line["id"], "")} for line in card.to_dict("records")]
    there = set(card["verdict"])
    return {
        "rows": rows, "about": list(ABOUT.items()), "named": ABOUT, "verdicts": [v for v in VERDICTS if v in there],
        "reasons": sorted({note for note in card["note"] if note in FOR_ALL}),
    }  # fmt: skip


def _signed(difference: float, unit: str) -> str:
    written = amount(difference, unit).split(" ")[0]
    return written if re.search("[1-9]", written) else "0"


def _in_gallery(line: Mapping[str, Any], gallery: str) -> str:
    """Address of what a cell of a confusion matrix counts; empty where this is nothing."""
    table = line["id"].partition(".")[0]
    if not gallery or table not in IN_GALLERY or not line["reproduced"] > 0 or line["column"] == "percent":
        return ""
    known, state = (line["row"], line["column"]), f"{GALLERY}#{IN_GALLERY[table][1]}"
    if table == "table_09a":
        return f"{state}&label={_SMEAR_CLASS[known[0]]}&vote={_SMEAR_CLASS[known[1]]}"
    if table == "table_09b":
        return f"{state}&diagnosis={known[0]}&verdict={'unknown' if known[1] == 'UNK' else known[1]}"
    return f"{state}&reference={known[0]}&predicted={known[1]}"


_SMEAR_CLASS = {printed: name for name, printed in SMEAR_CLASSES.items()}


def _grid(rows: pd.DataFrame, gallery: str) -> dict[str, Any] | None:
    """The numbers in the paper's layout: rows and columns in its order, each cell printed and measured."""
    rows = rows[~rows["column"].eq("percent")]
    columns, names = list(dict.fromkeys(rows["column"])), list(dict.fromkeys(rows["row"]))
    if len(columns) < 2 or len(names) < 2 or len(rows) < 0.6 * len(columns) * len(names):
        return None
    cells = {(line["row"], line["column"]): line for line in rows.to_dict("records")}

    def shown(row: str) -> list[dict[str, Any] | None]:
        found = [cells.get((row, column)) for column in columns]
        return [
            line and {
                "printed": line["printed"], "here": measured({"reproduced": line["reproduced"], "unit": line["unit"]}),
                "sign": SIGNS[line["verdict"]], "verdict": line["verdict"], "diagonal": line["row"] == line["column"],
                "link": _in_gallery(line, gallery) or f"#{anchor(line['id'])}",
            }
            for line in found
        ]  # fmt: skip

    lines = [(" ".join(part_in_words(part) for part in row.split(".")), shown(row)) for row in names if row != "total"]
    total = [("total", shown("total"))] if "total" in names else []
    return {
        "columns": [part_in_words(name) for name in columns],
        "rows": lines,
        "total": total,
        "confusion": set(names) <= set(columns),
    }


def numbers(
    item: Mapping[str, Any], card: pd.DataFrame | None, *, printed: bool = True, others: bool = True
) -> Markup | str:
    """Write a table of an item's values: printed, measured with interval and patients, verdict.

    Parameters
    ----------
    item : mapping
        Of results.json.
    card : DataFrame or None
        Of `paper.scorecard`, index `id`.
    printed, others : bool
        With those that the paper printed, and with those that it did not.

    Returns
    -------
    Markup or str
        HTML; empty where there is no value.
    """
    rows = []
    for value in item["values"]:
        line = card.loc[value["key"]] if card is not None and value["key"] in card.index else None
        if not (others if line is None else printed):
            continue
        name = re.sub(r"[._]+", " ", value["key"]) if line is None else in_words(*line[["place", "row", "column"]])
        rows.append(
            {"number": name, "unit": value["unit"], "published": value["published"],
             "this run (95% interval over patients)": measured(value), "interval": value.get("interval", ""),
             "verdict": "" if line is None else f"{SIGNS[line['verdict']]} {line['verdict']}"}
        )  # fmt: skip
    if not rows:
        return ""
    frame = pd.DataFrame(rows).astype({"published": float}).replace("", None).dropna(axis="columns", how="all")
    return Markup(html_table(frame, caption=f"{item['title']}: its numbers.", index=False))


def table(run_dir: Path, item: Mapping[str, Any]) -> Markup | str:
    """Write the table that a run made, large numbers to one decimal, others to three; empty where there is none."""
    file = next((run_dir / name for name in item["files"] if name.endswith(".csv")), None)
    if item["kind"] != "table" or file is None or not file.is_file():
        return ""
    with reading(file):
        frame = pd.read_csv(file)
    large = frame.select_dtypes("number").abs().max() >= 10
    frame = frame.round({column: 1 if is_large else 3 for column, is_large in large.items()})
    frame.columns = ["" if str(column).startswith("Unnamed") else column for column in frame.columns]
    return Markup(html_table(frame, caption=item["caption"], index=False))


def code(ran: nbformat.NotebookNode | None, id: str) -> Markup | str:
    """Give the cell of an executed notebook that made an item, as HTML; empty where there is none."""
    sources = [cell.source for cell in (ran.cells if ran else ()) if cell.cell_type == "code"]
    found = next((source for source in sources if f'"{id}"' in source and "run." in source), "")
    return Markup(Highlight2HTML(pygments_lexer="ipython3")(found)) if found else ""
