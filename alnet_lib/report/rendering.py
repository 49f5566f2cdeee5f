"""One HTML report of a run, from results.json and the executed notebooks; opens from disk, asks no network."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from alnet_lib.core.files import write_text
from alnet_lib.figures import display
from alnet_lib.paper.items import ITEMS
from alnet_lib.report import cautions, checklists, safety
from alnet_lib.report.gallery import contents as gallery
from alnet_lib.report.gallery.pictures import SIDE
from alnet_lib.report.pages import files, folder, headline, index, notebook
from alnet_lib.report.pages import item as item_page
from alnet_lib.report.pages.item import GALLERY
from alnet_lib.workflow import recorder
from alnet_lib.workflow.damage import examination

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
        Heading, and its name in the navigation; empty for the page of a single table or figure.
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

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        Something in the run is damaged; the message names it and the command that has it made again.
    """
    examination.require_sound(run_dir)
    content = recorder.collect(run_dir)
    about = _complete(content["provenance"])
    notebooks = {
        path.stem: notebook.executed(path, sources) for path in sorted((run_dir / "notebooks").glob("*.ipynb"))
    }
    pages = [Page("", "index.html", "Index", "Index")]
    pages += [
        Page(
            name,
            f"{name}.html",
            notebook.title(ran) or name,
            name[:2] + " " + name[3:].replace("_", " "),
            about["seconds"].get(name),
        )
        for name, ran in notebooks.items()
    ]
    environment, out = safety.environment(), run_dir / "report"
    if shown := gallery.contents(run_dir, out):
        pages.append(Page("", GALLERY, "Gallery", "Gallery"))
    pages.append(Page("", "checklists.html", "Reporting guidelines", "Guidelines"))
    items = [item for item in content["items"] if item["id"] in ITEMS]
    card = index.scored(run_dir, content, about["cohort"]["kind"])
    if card is not None:
        pages.append(Page("", "numbers.html", "All printed numbers", "Numbers"))
        compared = [item_page.write_compared(run_dir, item, card) for item in items]
    pages += [Page("", f"{item['id']}.html", f"{display.label(item['id'])}: {item['title']}", "") for item in items]
    there = [page.file for page in pages]
    bodies = {"checklists.html": checklists.page(run_dir, content, there)}
    lying = files.copied(
        run_dir, out, [*_wanted(content, notebooks), *([] if card is None else filter(None, compared))]
    )
    below = {item["id"]: item_page.below(item, card, lying, there) for item in content["items"]}
    bodies |= {f"{name}.html": notebook.body(ran, run_dir, lying, below) for name, ran in notebooks.items()}
    if shown:
        bodies[GALLERY] = environment.get_template("gallery.html.j2").render(gallery=shown, side=SIDE)
    template = environment.get_template("item.html.j2")
    for item in items:
        shown_there = item_page.content(item, card, notebooks.get(item["notebook"]), run_dir, lying, there)
        strip = [] if card is None else index.strip(item_page.of(item, card)["verdict"])
        state = index.item_state(run_dir, item, about)
        bodies[f"{item['id']}.html"] = template.render(item=item, strip=strip, **state, **shown_there)
    if card is not None:
        numbers = item_page.every(content["items"], card, there)
        bodies["numbers.html"] = environment.get_template("numbers.html.j2").render(**numbers)
    first = index.content(run_dir, content, about, there, lying, card)
    bodies["index.html"] = environment.get_template("index.html.j2").render(
        **first,
        cohort=about["cohort"],
        profile=about["profile"]["name"],
        about=about,
        notebooks=[page for page in pages if page.name],
        gallery=bool(shown),
    )
    bodies = {file: safety.sanitised(body, form=file in FILTERED) for file, body in bodies.items()}
    # Made by the kit's own templates, in which every text is escaped; the sanitiser keeps no such picture and no form.
    plot = environment.get_template("forest.html.j2").render(plot=headline.forest(first["headlines"]))
    bodies["index.html"] = bodies["index.html"].replace(PLOT, plot, 1)
    if shown:
        tools = environment.get_template("gallery_tools.html.j2").render(gallery=shown)
        bodies[GALLERY] = bodies[GALLERY].replace(TOOLS, tools, 1)
    caution = cautions.caution(run_dir)
    # The index comes last: it is the sign of a finished report.
    for position in [*range(1, len(pages)), 0]:
        page = pages[position]
        title, body = _headed(bodies[page.file])
        text = environment.get_template("page.html.j2").render(
            **(safety.head("gallery") if page.file == GALLERY else safety.head()),
            title=page.title,
            heading=Markup(title) if title else page.title,
            file=page.file,
            pages=pages,
            body=Markup(body),
            contents=_contents(body) if page.file != GALLERY else [],
            source=lying.get(f"notebooks/{page.name}.ipynb", ""),
            previous=pages[position - 1] if position else None,
            next=pages[position + 1] if position + 1 < len(pages) else None,
            cohort=about["cohort"],
            caution=caution,
            kind_line=KIND_LINES.get(about["cohort"]["kind"], "Cohort of unknown kind."),
            profile=about["profile"]["name"],
            about=about,
            seconds=page.seconds,
        )
        if page.file == "index.html":
            folder.write_crate(out, about, content["items"], first["licences"])
        write_text(out / page.file, safety.tidy(text))
    return out / "index.html"


FILTERED = (GALLERY, "numbers.html")
"""Pages with selects."""

PLOT = '<div id="forest-plot"></div>'
"""Where the forest plot comes to stand on the first page."""

TOOLS = '<div id="gallery-tools-place"></div>'
"""Where the filter and panels of the gallery come to stand."""


def _wanted(content: dict[str, Any], notebooks: Iterable[str]) -> list[str]:
    """Names of the files that pages link to or show."""
    lists = [f"checklists/{name}.csv" for name in checklists.NAMES]
    items = [name for item in content["items"] for name in item["files"]]
    return ["results.json", "provenance.json", *lists, *items, *(f"notebooks/{name}.ipynb" for name in notebooks)]


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


def _headed(body: str) -> tuple[str, str]:
    """The first h1 of a body without its tags, and the body without it; further ones become h2."""
    found = re.search(r"<h1[^>]*>(.*?)</h1>", body, flags=re.DOTALL)
    if found is None:
        return "", _focusable(body)
    rest = body[: found.start()] + body[found.end() :]
    return found[1], _focusable(re.sub(r"<(/?)h1(?=[ >])", r"<\1h2", rest))


def _focusable(body: str) -> str:
    # Long lines of code scroll in their own box, which the keyboard must reach.
    return body.replace("<pre>", '<pre tabindex="0">')


def _contents(body: str) -> list[tuple[str, str]]:
    found = re.findall(r'<h2[^>]*\bid="([^"]+)"[^>]*>(.*?)</h2>', body, flags=re.DOTALL)
    return [(html.unescape(id), html.unescape(re.sub(r"<[^>]+>", "", text)).strip()) for id, text in found]
