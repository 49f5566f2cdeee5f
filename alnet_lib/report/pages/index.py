"""What the first page shows: the run, its headline numbers, every item with its verdicts, and where it comes from."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.vocabulary import KINDS
from alnet_lib.figures import display
from alnet_lib.figures.tables import html_table
from alnet_lib.paper import by_verdict, coverage, findings, findings_in_words, open_points, record, scorecard
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.scorecard import VERDICTS
from alnet_lib.report.pages import folder, headline
from alnet_lib.report.pages import item as item_page
from alnet_lib.workflow import recorder
from alnet_lib.workflow.plan import wording

_VERDICTS = "Every number that the paper prints, by verdict and by what it is about."


def content(
    run_dir: Path,
    results: Mapping[str, Any],
    about: Mapping[str, Any],
    pages: list[str],
    files: Mapping[str, str],
    card: pd.DataFrame | None,
) -> dict[str, Any]:
    """Gather what the template `index.html.j2` needs.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    results : mapping
        Content of its results.json.
    about : mapping
        Its provenance, complete.
    pages : list of str
        Files of the report that links may lead to.
    files : mapping of str to str
        Of `files.copied`.
    card : DataFrame or None
        Of `scored`.

    Returns
    -------
    dict
        Texts are not escaped, tables are.
    """
    kind = about["cohort"]["kind"]
    every = [_shown(run_dir, item, about, pages, files, card) for item in results["items"]]
    items = [item for item in every if item["id"] in ITEMS]
    states = [item["state"] for item in items]
    known = {item["id"]: item for item in every}
    rows = [] if card is None else headline.headlines(results["items"], card, pages)
    return {
        "items": items,
        "extras": [item for item in every if item["id"] not in ITEMS],
        "total": len(items),
        "made": states.count("reproduced"),
        "absent": [item for item in items if item["state"] == "unavailable"],
        "missing": _missing(items),
        "command": _command(about, max((item["notebook"] for item in items if item["state"] == "not-run"), default="")),
        "headlines": rows,
        "sentences": [] if card is None else headline.three_sentences(rows, card, kind),
        "counts": None if card is None else coverage(card),
        "strip": [] if card is None else strip(card["verdict"]),
        "verdicts": "" if card is None else Markup(html_table(by_verdict(card), caption=_VERDICTS)),
        "audit": findings().facts,
        "affecting": Markup(html_table(_affecting(), caption=_AFFECTING, index=False)),
        "open_points": len(open_points()),
        "links": {id: f"{known[id]['page']}#{id}" for id in _REGISTERS if id in known and known[id]["page"]},
        "provenance": Markup(html_table(_provenance(about), caption="Where these numbers come from", index=False)),
        "plan": Markup(html_table(wording.table(about["plan"]), caption=_PLAN, index=False)) if "plan" in about else "",
        "licences": _licences(run_dir, about),
        "files": files,
        "citations": _citations(about),
        "paper": folder.PAPER,
        "repository": repository(),
        "licence": folder.LICENCE,
    }


_REGISTERS = ("extra_table_audit", "extra_table_open_points", "extra_table_scorecard")
_AFFECTING = "Printed numbers that do not agree with the paper's other numbers, where a conclusion rests on them."


_PLAN = "What each step was expected to take where nothing else runs (an estimate), and what its last execution took."


def scored(run_dir: Path, results: Mapping[str, Any], kind: str) -> pd.DataFrame | None:
    """Judge every printed number.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    results : mapping
        Content of its results.json.
    kind : str
        The cohort's.

    Returns
    -------
    DataFrame or None
        `paper.scorecard` by id, with `printed` (as it stands in the paper, without footnote marks); None where the kind
        of the cohort is not known yet.
    """
    if kind not in KINDS:
        return None
    made = [item for item in results["items"] if _state(run_dir, item) != "not-run"]
    card = scorecard(made, kind).set_index("id", drop=False)
    return card.assign(printed=record()["printed"].str.rstrip("*+"))


def item_state(run_dir: Path, item: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, str]:
    """Give what an item's page says first: its `state`, and the `command` that makes it where it has not run."""
    state = _state(run_dir, item)
    return {"state": state, "command": _command(about, item["notebook"]) if state == "not-run" else ""}


def _state(run_dir: Path, item: Mapping[str, Any]) -> str:
    """`reproduced`, `unavailable` (on this cohort, under this profile), or `not-run`: its notebook has not."""
    return str(item["status"]) if recorder.path(run_dir, item["id"]).is_file() else "not-run"


def _shown(
    run_dir: Path,
    item: Mapping[str, Any],
    about: Mapping[str, Any],
    pages: list[str],
    files: Mapping[str, str],
    card: pd.DataFrame | None,
) -> dict[str, Any]:
    page = f"{item['notebook']}.html"
    lying = [(files[name].rsplit(".")[-1].upper(), files[name]) for name in item["files"] if name in files]
    own = None if card is None else item_page.of(item, card)
    return {
        **item,
        "label": display.label(item["id"]),
        "page": page if page in pages else "",
        "own": f"{item['id']}.html" if f"{item['id']}.html" in pages else "",
        **item_state(run_dir, item, about),
        "lying": lying,
        "thumbnail": next((address for kind, address in lying if kind == "WEBP"), ""),
        "numbers": item_page.numbers(item, card) if item["id"] not in ITEMS else "",
        "strip": [] if own is None else strip(own["verdict"]),
    }


def strip(verdicts: pd.Series) -> list[dict[str, Any]]:
    """Counts of verdicts, those that are evidence first; none of those that do not occur."""
    counts = verdicts.value_counts()
    found = [verdict for verdict in VERDICTS if counts.get(verdict, 0)]
    return [
        {"verdict": v, "sign": item_page.SIGNS[v], "count": int(counts[v]), "name": v.replace(" ", "-")} for v in found
    ]


def _missing(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Notebooks that have not run, each with the items that it would make."""
    waiting = [item for item in items if item["state"] == "not-run"]
    names = sorted({item["notebook"] for item in waiting})
    return [(name, ", ".join(item["label"] for item in waiting if item["notebook"] == name)) for name in names]


def _command(about: Mapping[str, Any], notebook: str) -> str:
    name, profile = about["cohort"]["name"], about["profile"]["name"]
    chosen = "" if "unknown" in (name, profile) else f" --cohort {name} --profile {profile}"
    data = " --data FOLDER" if about["cohort"]["kind"] in ("public", "private") else ""
    return f"alnet reproduce{chosen}{data} --until {notebook}"


def _affecting() -> pd.DataFrame:
    """The findings of the audit that affect a conclusion, in words."""
    found = findings().frame
    affecting = found[found["severity"].eq("affects a conclusion")]
    return findings_in_words(affecting, record()).drop(columns="severity")


def _provenance(about: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for key, value in about.items():
        if key == "plan":
            continue  # A table of its own.
        if isinstance(value, dict) and key != "profile":
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False)
        rows.append((key.replace("_", " "), str(value)))
    return pd.DataFrame(rows, columns=["what", "value"])


def _licences(run_dir: Path, about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is licensed how: the kit, the images, and the start of the networks by its name."""
    file, profile = run_dir / "cohort" / "cohort.json", about["profile"]
    sources = str(about["cohort"]["name"]).split("+")
    images = "; ".join(f"{name}: {SOURCES[name].licence}" for name in sources if name in SOURCES)
    if not images and file.is_file():
        with reading(file):
            images = json.loads(file.read_text(encoding="utf-8")).get("licence", "")
    kit = [("This kit, its tables, figures and pages", "MIT"), ("Images", images or "unknown")]
    if origins := about.get("starts"):
        each = [
            f"{one['network']}: {one['start']}" + (f" ({one['licence']})" if one["licence"] else "") for one in origins
        ]
        taught = sorted({f"{one['start']}: trained on {one['trained_on']}" for one in origins})
        said = f"{', '.join(each)}. {'; '.join(taught)}"
        return [*kit, ("Start of the networks", said)]
    # Older runs call it `weights`.
    start = profile.get("start", profile.get("weights", "unknown"))
    start = ", ".join(f"{name} {of}" for name, of in start.items()) if isinstance(start, dict) else str(start)
    said = f"{start}; `alnet starts describe` names its licence"
    return [
        *kit,
        ("Start of the networks", said if start not in ("none", "random") else "random weights, no licence"),
    ]


def repository() -> str:
    """Address of the kit's repository, as the installed package gives it; empty where it gives none."""
    try:
        known = importlib.metadata.metadata("alnet-lib").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    named = dict(one.partition(", ")[::2] for one in known)
    return named.get("Repository", "")


def _citations(about: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What can be cited, its address (empty where it has none), and its BibTeX entry."""
    version, commit = about["alnet_lib"], about["git_commit"] or "unknown"
    kit = f"""@software{{alnet_kit,
  author  = {{{{The developers of the ALNet reproduction kit}}}},
  title   = {{ALNet reproduction kit}},
  version = {{{version}}},
  note    = {{MIT licence; commit {commit}}}
}}"""
    return [("The paper", folder.PAPER, BIBTEX), ("This kit", repository(), kit)]


BIBTEX = """@article{boldu2021alnet,
  author  = {Boldú, Laura and Merino, Anna and Acevedo, Andrea and Molina, Angel and Rodellar, José},
  title   = {A deep learning model ({ALNet}) for the diagnosis of acute leukaemia lineage using peripheral blood cell
             images},
  journal = {Computer Methods and Programs in Biomedicine},
  volume  = {202},
  pages   = {105999},
  year    = {2021},
  doi     = {10.1016/j.cmpb.2021.105999}
}"""
"""BibTeX of the paper."""
