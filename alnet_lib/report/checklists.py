"""Reporting guidelines (CLAIM, TRIPOD+AI, STARD-AI) as far as a run can fill them, from its results.json.

The items, in our own words, and what answers each are data (`paper/data/checklists`); docs/checklists.md says where
they were read and which are left out. An answer is a key into what a run knows: `item:` a table or figure, `value:` one
of its numbers, `provenance:` where it comes from, `source:` what the adapter of its images knows, `text:` a sentence
about the kit with settings of the run in it; or it is `author`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import alnet_lib.paper
from alnet_lib.cohorts.building import SOURCES
from alnet_lib.core.files import atomic_path
from alnet_lib.figures import display, tables
from alnet_lib.paper.items import NOTEBOOKS
from alnet_lib.report import safety

NAMES = ("claim", "tripod_ai", "stard_ai")
AUTHOR = "author"
NOT_MEASURED, NOT_RECORDED = "not measured in this run", "not recorded in this run"

_DATA = Path(alnet_lib.paper.__file__).with_name("data") / "checklists"
_ORDER = ("run", "run and author", "run in part", "run in part and author", AUTHOR, "not in this run")
_PATH = re.compile(r"\{([\w.]+)(\??)\}")


@dataclass(frozen=True)
class Answer:
    """What the run says to an item.

    Attributes
    ----------
    text : str
        Plain text, not escaped.
    link : str
        Address in the report's folder, empty where there is none.
    known : bool
        Whether the run knows it.
    """

    text: str
    link: str = ""
    known: bool = True


@dataclass(frozen=True)
class Row:
    """An item of a guideline and its answers.

    Attributes
    ----------
    number, section, item : str
        The guideline's number; section and item in our words.
    by : str
        `run` or `run in part` (some answers are missing in this run), either `and author` where something remains;
        `author`; `not in this run`.
    answers : tuple of Answer
        Empty where only the author can answer.
    remains : str
        What the author has to add.
    """

    number: str
    section: str
    item: str
    by: str
    answers: tuple[Answer, ...] = ()
    remains: str = ""


@cache
def definition(name: str) -> dict[str, Any]:
    """Read a guideline's items, or with `known` the sentences and labels that answers refer to.

    Parameters
    ----------
    name : str
        One of NAMES, or `known`.

    Returns
    -------
    dict
        guideline, full_name, year, citation, doi, read, left_out (each with number and why), items (each with number,
        section, item, answer, and where needed remains and synthetic).
    """
    content: dict[str, Any] = yaml.safe_load((_DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def rows(name: str, results: Mapping[str, Any], pages: Collection[str] | None = None) -> list[Row]:
    """Answer the items of one guideline.

    Parameters
    ----------
    name : str
        One of NAMES.
    results : mapping
        Content of a results.json; provenance and items may be incomplete.
    pages : collection of str, optional
        Files of the report that links may lead to; default the pages of the notebooks that results name.

    Returns
    -------
    list of Row
        In the guideline's order.
    """
    knows = _Knowledge(results, pages)
    return [_row(entry, knows) for entry in definition(name)["items"]]


def fill(results: Mapping[str, Any], pages: Collection[str] | None = None) -> dict[str, pd.DataFrame]:
    """Fill all guidelines.

    Parameters
    ----------
    results, pages
        See `rows`.

    Returns
    -------
    dict of str to DataFrame
        Name to one row an item: number, section, item, guideline, year, doi, answered by, answer, links (from the run
        directory), remains for the author.
    """
    return {name: _frame(name, rows(name, results, pages)) for name in NAMES}


def page(run_dir: Path, results: Mapping[str, Any], pages: Collection[str] | None = None) -> str:
    """Write <run>/checklists/<name>.csv and give the body of the report's page.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    results, pages
        See `rows`.

    Returns
    -------
    str
        HTML, every text escaped.
    """
    shown = []
    for name in NAMES:
        answered = rows(name, results, pages)
        with atomic_path(run_dir / "checklists" / f"{name}.csv") as temporary:
            _frame(name, answered).to_csv(temporary, index=False)
        counts = dict(sorted(Counter(row.by for row in answered).items(), key=lambda count: _ORDER.index(count[0])))
        shown.append(definition(name) | {"name": name, "rows": answered, "counts": counts})
    synthetic = _path(results.get("provenance", {}), "cohort.kind") == "synthetic"
    return safety.environment().from_string(_TEMPLATE).render(guidelines=shown, synthetic=synthetic)


def _frame(name: str, answered: list[Row]) -> pd.DataFrame:
    about = definition(name)
    return pd.DataFrame(
        {
            "number": row.number,
            "section": row.section,
            "item": row.item,
            "guideline": about["guideline"],
            "year": about["year"],
            "doi": about["doi"],
            "answered by": row.by,
            "answer": " | ".join(answer.text for answer in row.answers) or AUTHOR,
            "links": " | ".join(f"report/{answer.link}" for answer in row.answers if answer.link),
            "remains for the author": row.remains,
        }
        for row in answered
    )


def _row(entry: dict[str, Any], knows: _Knowledge) -> Row:
    keys, remains = entry["answer"], entry.get("remains", "")
    if "synthetic" in entry and knows.path("cohort.kind") == "synthetic":
        keys, remains = entry["synthetic"], ""
    if keys == AUTHOR:
        return Row(entry["number"], entry["section"], entry["item"], AUTHOR, (), remains)
    answers = tuple(knows.answer(key) for key in keys)
    known = [answer.known for answer in answers]
    by = ("run" if all(known) else "run in part") + (" and author" if remains else "")
    by = by if any(known) else "not in this run"
    return Row(entry["number"], entry["section"], entry["item"], by, answers, remains)


class _Knowledge:
    """What a results.json says, by the keys of the definitions."""

    def __init__(self, results: Mapping[str, Any], pages: Collection[str] | None) -> None:
        self.about = results.get("provenance", {})
        self.items = {item["id"]: item for item in results.get("items", [])}
        self.values = {value["key"]: (item, value) for item in self.items.values() for value in item["values"]}
        ran = {item["notebook"] for item in self.items.values() if item["status"] == "reproduced"}
        self.pages = {f"{name}.html" for name in ran.intersection(NOTEBOOKS)} if pages is None else set(pages)

    def path(self, path: str) -> Any:
        return _path(self.about, path)

    def answer(self, key: str) -> Answer:
        kind, _, name = key.partition(":")
        found: Answer = getattr(self, f"_{kind}")(name)
        return found

    def _link(self, item: Mapping[str, Any]) -> str:
        file = f"{item['notebook']}.html"
        return f"{file}#{item['id']}" if file in self.pages else ""

    def _item(self, id: str) -> Answer:
        item = self.items.get(id)
        if item is None:
            return Answer(f"{id}: {NOT_MEASURED}", known=False)
        title = item["title"] if id.startswith("extra_") else f"{display.label(id)}: {item['title']}"
        if item["status"] != "reproduced":
            return Answer(f"{title}: {NOT_MEASURED} ({item['reason']})", self._link(item), known=False)
        return Answer(f"{title}. {item['caption']}".strip(), self._link(item))

    def _value(self, key: str) -> Answer:
        label = definition("known")["values"][key]
        item, value = self.values.get(key, ({}, {}))
        if value.get("reproduced") is None:
            return Answer(f"{label}: {NOT_MEASURED}", known=False)
        return Answer(f"{label}: {_number(value)}", self._link(item))

    def _provenance(self, path: str) -> Answer:
        label, value = definition("known")["provenance"][path], self.path(path)
        known = value not in (None, "", {})
        return Answer(f"{label}: {_words(value) if known else NOT_RECORDED}", known=known)

    def _source(self, field: str) -> Answer:
        label = definition("known")["source"][field]
        names = str(self.path("cohort.name") or "").split("+")
        # Of a cohort of the user's own the adapter knows nothing but its layout.
        known = [SOURCES[name] for name in names if name in SOURCES and SOURCES[name].kind != "private"]
        said = [(source.name, getattr(source, field)) for source in known if getattr(source, field)]
        if not said:
            return Answer(f"{label}: {NOT_RECORDED}", known=False)
        only = len(names) == 1
        return Answer(f"{label}: " + "; ".join(text if only else f"{name}: {text}" for name, text in said))

    def _text(self, name: str) -> Answer:
        sentence = definition("known")["texts"][name]
        missing = [path for path, optional in _PATH.findall(sentence) if not optional and self.path(path) is None]
        if missing:
            return Answer(f"{', '.join(missing)}: {NOT_RECORDED}", known=False)
        return Answer(_PATH.sub(lambda match: _words(self.path(match[1])), sentence))


def _path(about: Any, path: str) -> Any:
    for part in path.split("."):
        about = about.get(part) if isinstance(about, Mapping) else None
    return about


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    # No thousands separators: a seed is no quantity.
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else tables.text(value) or "unknown"


def _number(value: Mapping[str, Any]) -> str:
    unit, digits = value["unit"], 1 if value["unit"] else 2
    estimate = f"{value['reproduced']:.{digits}f}" + ("%" if unit == "%" else f" {unit}" if unit else "")
    low, high, patients = value.get("ci_low"), value.get("ci_high"), value.get("n_patients")
    over = [] if patients is None else [f"{patients} patients"]
    if low is None or high is None:
        return f"{estimate} ({', '.join([*over, 'no interval'])})"
    about = ", ".join(["95% interval", *filter(None, [value.get("interval")]), *over])
    return f"{estimate} ({about}: {low:.{digits}f} to {high:.{digits}f})"


_TEMPLATE = """\
<h1>Reporting guidelines, as far as this run fills them</h1>
<p class="lead">Three lists of what a report on such a system should say. Each item stands here in our own words; its
number leads to the exact wording in the guideline. Where the run knows an answer it stands beside the item, with a link
to the table or figure; the rest is for the author of a report. A filled line says that something is reported, not that
it is good.</p>
{% if synthetic %}<p class="lead">The images of this run are synthetic: its lists show how they are filled and describe
no study of patients.</p>
{% endif %}{% for guide in guidelines %}<h2 id="{{ guide.name }}">{{ guide.guideline }}</h2>
<p>{{ guide.full_name }}. {{ guide.citation }} ({{ guide.year }}), DOI {{ guide.doi }}. Of {{ guide.rows|length }}
entries: {% for by, count in guide.counts.items() %}{{ by }} {{ count }}{{ ', ' if not loop.last }}{% endfor %}.
<a href="files/checklists/{{ guide.name }}.csv">CSV</a></p>
<p>Read: {{ guide.read }}. Left out: {% for part in guide.left_out %}{{ part.number }}: {{ part.why }}{{
'; ' if not loop.last }}{% else %}nothing{% endfor %}.</p>
<section class="table-scroll" tabindex="0" aria-label="{{ guide.guideline }}"><table class="data">
<caption>{{ guide.guideline }} ({{ guide.year }}, DOI {{ guide.doi }}), answered by this run or left to the
author.</caption>
<colgroup>{% for width in (6, 24, 12, 40, 18) %}<col class="w{{ width }}">{% endfor %}</colgroup>
<thead><tr>{% for name in ('Number', 'Item', 'Answered by', 'Answer', 'Remains for the author') -%}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in guide.rows %}<tr id="{{ guide.name }}-{{ row.number }}"><th scope="row">{{ row.number }}</th>
<td>{{ row.section }}: {{ row.item }}</td><td>{{ row.by }}</td>
<td>{% for answer in row.answers %}{% if answer.link %}<a href="{{ answer.link }}">{{ answer.text }}</a>{% else %}{{
answer.text }}{% endif %}{{ '' if loop.last else '<br>'|safe }}{% else %}author{% endfor %}</td>
<td>{{ row.remains }}</td></tr>
{% endfor %}</tbody></table></section>
{% endfor %}"""
