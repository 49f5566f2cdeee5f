"""One HTML report of a run, from results.json and the executed notebooks; opens from disk, asks no network."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from markupsafe import Markup
from nbconvert import HTMLExporter

from alnet_lib.core.files import write_text
from alnet_lib.core.vocabulary import KINDS
from alnet_lib.figures import display
from alnet_lib.figures.tables import html_table
from alnet_lib.paper import by_verdict, coverage, in_words, measured, scorecard
from alnet_lib.paper.items import ITEMS
from alnet_lib.report import cautions, checklists, gallery, safety
from alnet_lib.workflow import recorder

KIND_LINES = {
    "synthetic": "Synthetic cohort: made by a program, not from patients.",
    "public": "Public cohort of patients' images.",
    "private": "Private cohort.",
}


@dataclass(frozen=True)
class Page:
    """A page of the report.

    Attributes
    ----------
    name : str
        Of its notebook, empty for index, gallery and guidelines.
    file : str
        In the report's folder.
    title, short : str
        Heading, and its name in the navigation.
    seconds : float or None
        That the notebook took.
    """

    name: str
    file: str
    title: str
    short: str
    seconds: float | None = None


def render(run_dir: Path, *, sources: Path | None = None) -> Path:
    """Write results.json and <run>/report/.

    Parameters
    ----------
    run_dir : Path
        A run directory; what is missing in it is shown as unavailable.
    sources : Path, optional
        Folder of the notebooks' sources: prose is taken from there where the code cells are those that ran, so that
        changed prose needs no new run.

    Returns
    -------
    Path
        Of the report's index.html.
    """
    content = recorder.collect(run_dir)
    about = _complete(content["provenance"])
    notebooks = {path.stem: _refreshed(path, sources) for path in sorted((run_dir / "notebooks").glob("*.ipynb"))}
    pages = [Page("", "index.html", "Index", "Index")]
    pages += [
        Page(
            name,
            f"{name}.html",
            _title(notebook) or name,
            name[:2] + " " + name[3:].replace("_", " "),
            about["seconds"].get(name),
        )
        for name, notebook in notebooks.items()
    ]
    environment = safety.environment()
    if shown := gallery.contents(run_dir):
        pages.append(Page("", "gallery.html", "Gallery", "Gallery"))
    pages.append(Page("", "checklists.html", "Reporting guidelines", "Guidelines"))
    bodies = {page.file: _notebook_body(notebooks[page.name]) for page in pages if page.name}
    if shown:
        bodies["gallery.html"] = environment.get_template("gallery.html.j2").render(gallery=shown)
    bodies["checklists.html"] = checklists.page(run_dir, content, [page.file for page in pages])
    bodies["index.html"] = environment.get_template("index.html.j2").render(
        **_index(run_dir, content, about, pages), cohort=about["cohort"], profile=about["profile"]["name"]
    )
    bodies = {file: safety.sanitised(body, form=file == "gallery.html") for file, body in bodies.items()}
    caution, head = cautions.caution(run_dir), safety.head()
    out = run_dir / "report"
    # The index comes last: it is the sign of a finished report.
    for position in [*range(1, len(pages)), 0]:
        page = pages[position]
        text = environment.get_template("page.html.j2").render(
            **head,
            title=page.title,
            file=page.file,
            pages=pages,
            body=Markup(bodies[page.file]),
            contents=_contents(bodies[page.file]) if page.file != "gallery.html" else [],
            has_code=bool(page.name),
            previous=pages[position - 1] if position else None,
            next=pages[position + 1] if position + 1 < len(pages) else None,
            cohort=about["cohort"],
            caution=caution,
            kind_line=KIND_LINES.get(about["cohort"]["kind"], "Cohort of unknown kind."),
            profile=about["profile"]["name"],
            about=about,
            seconds=page.seconds,
        )
        write_text(out / page.file, text)
    return out / "index.html"


def _complete(about: dict[str, Any]) -> dict[str, Any]:
    """Provenance with a word for everything that a run without notebook 01 lacks."""
    missing = "unknown"
    empty = {
        "cohort": {"name": missing, "kind": missing, "images": 0, "smears": 0, "patients": 0},
        "profile": {"name": missing},
        "packages": {"torch": missing},
        "seconds": {},
    }
    names = ("seed", "git_commit", "alnet_lib", "python", "platform", "device", "precision")
    return dict.fromkeys(names, missing) | empty | about


def _refreshed(path: Path, sources: Path | None) -> nbformat.NotebookNode:
    executed = nbformat.read(path, as_version=4)
    source = sources / path.name if sources else None
    if source is None or not source.is_file():
        return executed
    original = nbformat.read(source, as_version=4)
    ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    same = [c.source for c in ran if c.cell_type == "code"] == [
        c.source for c in original.cells if c.cell_type == "code"
    ]
    if same and len(ran) == len(original.cells):
        for cell, fresh in zip(ran, original.cells, strict=True):
            if cell.cell_type == fresh.cell_type == "markdown":
                cell.source = fresh.source
    return executed


def _title(notebook: nbformat.NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.match(r"#\s+(.+)", cell.source)):
            return match[1].strip()
    return ""


def _notebook_body(notebook: nbformat.NotebookNode) -> str:
    exporter = HTMLExporter(
        template_name="alnet", extra_template_basedirs=[str(safety.TEMPLATES)], exclude_anchor_links=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    return _HEADING.sub(lambda m: f'<h{m[1]} id="{_slug(m[2])}">{m[2]}</h{m[1]}>', body)


_HEADING = re.compile(r"<h([1-4])>(.*?)</h\1>", flags=re.DOTALL)


def _slug(text: str) -> str:
    words = re.sub(r"<[^>]+>|&\w+;", "", text).lower()
    return re.sub(r"[^\w]+", "-", words).strip("-")


def _contents(body: str) -> list[tuple[str, str]]:
    found = re.findall(r'<h2[^>]*\bid="([^"]+)"[^>]*>(.*?)</h2>', body, flags=re.DOTALL)
    return [(html.unescape(id), html.unescape(re.sub(r"<[^>]+>", "", text)).strip()) for id, text in found]


def _index(run_dir: Path, content: dict, about: dict, pages: list[Page]) -> dict[str, Any]:
    there = {page.name for page in pages}
    card = _card(run_dir, content, about)
    items: list[dict[str, Any]] = []
    extras: list[dict[str, Any]] = []
    for item in content["items"]:
        shown = item | {"label": display.label(item["id"]), "page": f"{item['notebook']}.html"}
        shown["page"] = shown["page"] if item["notebook"] in there else ""
        shown["thumbnail"] = next((file for file in item["files"] if file.endswith(".png")), "")
        shown["table"] = _inline(run_dir, item)
        shown["numbers"] = _numbers(item, card)
        shown["state"] = _state(run_dir, item)
        shown["command"] = _command(about, item["notebook"]) if shown["state"] == "not-run" else ""
        (items if item["id"] in ITEMS else extras).append(shown)
    values = _values(content["items"])
    states = [item["state"] for item in items]
    verdicts = None if card is None else by_verdict(card)
    return {
        "items": items,
        "extras": extras,
        "total": len(items),
        "made": states.count("reproduced"),
        "absent": states.count("unavailable"),
        "waiting": states.count("not-run"),
        "counts": None if card is None else coverage(card),
        "verdicts": "" if verdicts is None else Markup(html_table(verdicts, caption=_VERDICTS)),
        "n_values": int(pd.to_numeric(values["reproduced"], errors="coerce").notna().sum()),
        "values": Markup(html_table(values, caption="Values of results.json", index=False)),
        "notebooks": [page for page in pages if page.name],
        "gallery": any(page.file == "gallery.html" for page in pages),
        "provenance": Markup(html_table(_provenance(about), caption="Where these numbers come from", index=False)),
    }


_VERDICTS = "Every number that the paper prints, by verdict and by what it is about."


def _card(run_dir: Path, content: dict, about: dict) -> pd.DataFrame | None:
    """The scorecard by id; None where the kind of the cohort is not known yet."""
    kind = about["cohort"]["kind"]
    made = [item for item in content["items"] if _state(run_dir, item) != "not-run"]
    return scorecard(made, kind).set_index("id", drop=False) if kind in KINDS else None


def _state(run_dir: Path, item: dict) -> str:
    """`reproduced`, `unavailable` (on this cohort, under this profile), or `not-run`: its notebook has not."""
    return item["status"] if recorder.path(run_dir, item["id"]).is_file() else "not-run"


def _command(about: dict, notebook: str) -> str:
    name, profile = about["cohort"]["name"], about["profile"]["name"]
    chosen = "" if "unknown" in (name, profile) else f" --cohort {name} --profile {profile}"
    data = " --data FOLDER" if about["cohort"]["kind"] in ("public", "private") else ""
    return f"alnet reproduce{chosen}{data} --until {notebook}"


def _numbers(item: dict, card: pd.DataFrame | None) -> Markup | str:
    """An item's values: printed, measured with interval and patients, verdict."""
    rows = []
    for value in item["values"]:
        line = card.loc[value["key"]] if card is not None and value["key"] in card.index else None
        name = re.sub(r"[._]+", " ", value["key"]) if line is None else in_words(*line[["place", "row", "column"]])
        rows.append(
            {"number": name, "unit": value["unit"], "published": value["published"],
             "this run (95% interval over patients)": measured(value), "interval": value.get("interval", ""),
             "verdict": "" if line is None else line["verdict"]}
        )  # fmt: skip
    if not rows:
        return ""
    frame = pd.DataFrame(rows).astype({"published": float}).replace("", None).dropna(axis="columns", how="all")
    return Markup(html_table(frame, caption=f"{item['title']}: its numbers.", index=False))


def _inline(run_dir: Path, item: dict) -> Markup | str:
    file = next((run_dir / name for name in item["files"] if name.endswith(".csv")), None)
    if item["kind"] != "table" or file is None or not file.is_file():
        return ""
    frame = pd.read_csv(file)
    frame.columns = ["" if str(column).startswith("Unnamed") else column for column in frame.columns]
    return Markup(html_table(frame, caption=item["caption"], index=False))


def _values(items: list[dict]) -> pd.DataFrame:
    numbers = ["published", "recomputed", "reproduced", "ci_low", "ci_high", "design_effect"]
    whole = ["n_patients", "n_smears", "n_cells"]
    columns = ["item", "key", "unit", *numbers[:-1], "interval", *whole, "design_effect"]
    rows = [{"item": display.label(item["id"]), **value} for item in items for value in item["values"]]
    frame = pd.DataFrame(rows, columns=columns)
    frame[numbers + whole] = frame[numbers + whole].astype(float).round(2)
    return frame.dropna(axis="columns", how="all") if len(frame) else frame


def _provenance(about: dict) -> pd.DataFrame:
    rows = []
    for key, value in about.items():
        if isinstance(value, dict):
            value = (
                json.dumps(value, ensure_ascii=False)
                if key == "profile"
                else ", ".join(f"{k} {v}" for k, v in value.items())
            )
        rows.append((key.replace("_", " "), str(value)))
    return pd.DataFrame(rows, columns=["what", "value"])
