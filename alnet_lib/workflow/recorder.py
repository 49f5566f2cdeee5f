"""What a run leaves: items (a table or figure with its values), provenance, results.json (design contracts 3 and 4)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alnet_lib.core.files import plain, write_json
from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import Damaged, reading
from alnet_lib.paper.audit import recomputed
from alnet_lib.paper.items import ITEMS
from alnet_lib.workflow.damage import examination
from alnet_lib.workflow.plan.measured import beside_the_plan
from alnet_lib.workflow.provenance import costs, notebook_seconds

if TYPE_CHECKING:
    from alnet_lib.paper.values import Value


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper, or one beyond it (`extra_...`), as a run records it.

    Attributes
    ----------
    id, title, kind : str
        See `paper.items`; kind is `table` or `figure`.
    status : str
        `reproduced` or `unavailable`.
    reason : str
        Why it is unavailable.
    notebook : str
        What makes it.
    files : tuple of str
        Relative to the run directory.
    values : tuple of Value
        Its numbers; NaN becomes null in the file.
    caption, alt : str
        Caption, and a figure's text alternative.
    """

    id: str
    title: str
    kind: str
    status: str
    reason: str = ""
    notebook: str = ""
    files: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    caption: str = ""
    alt: str = ""


def write_item(run_dir: Path, item: Item) -> None:
    """Write <run>/items/<id>.json.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    item : Item
        What to record; an earlier record of that id is replaced.
    """
    write_json(path(run_dir, item.id), plain(asdict(item)))


def path(run_dir: Path, id: str) -> Path:
    """Give the file of an item, there once its notebook has made it or found it unavailable.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    id : str
        Of the item.
    """
    return run_dir / "items" / f"{id}.json"


def read_items(run_dir: Path) -> list[dict[str, Any]]:
    """Read every item written so far.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    list of dict
        The paper's items in its order, then those beyond it by notebook and id.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        An item that is not what was written; the message names it.
    """
    items = [item for file in _item_files(run_dir) if (item := _item(file))]
    order = {id: position for position, id in enumerate(ITEMS)}
    return sorted(items, key=lambda item: (order.get(item["id"], len(order)), item["notebook"], item["id"]))


def _item_files(run_dir: Path) -> list[Path]:
    # What begins with a dot is being written, or was left by a killed run.
    return sorted((run_dir / "items").glob("[!.]*.json"))


def _item(file: Path) -> dict[str, Any]:
    """Read an item; empty where it has gone meanwhile: notebooks side by side forget theirs at the same time."""
    try:
        with reading(file):
            item = json.loads(file.read_text(encoding="utf-8"))
            return item | {key: item[key] for key in ("id", "notebook", "values", "files")}
    except FileNotFoundError:
        return {}


def forget(run_dir: Path, notebook: str) -> None:
    """Remove the items of a notebook that is about to run again, so that none outlives the code that made it.

    A damaged item is put aside, and where another notebook made it, that one is to run again too.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    notebook : str
        Name without its ending.
    """
    for file in _item_files(run_dir):
        try:
            if _item(file).get("notebook") == notebook:
                index.remove(file)
        except Damaged as error:
            print(f"{error}\n{examination.put_aside_one(run_dir, file, at_work=notebook)}", file=sys.stderr)


def collect(run_dir: Path) -> dict[str, Any]:
    """Merge items and provenance into <run>/results.json.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    dict
        What was written: `provenance` and `items`; items of the paper that no notebook made are unavailable.
    """
    items = {item["id"]: item for item in read_items(run_dir)}
    for id, known in ITEMS.items():
        if id not in items:
            reason = f"notebook {known.notebook} has not run"
            absent = Item(id, known.title, known.kind, "unavailable", reason, known.notebook)
            items[id] = plain(asdict(absent))
    follows = recomputed()
    for value in (value for item in items.values() for value in item["values"]):
        value["recomputed"] = follows.get(value["key"], value["recomputed"])
    order = [*ITEMS, *(id for id in items if id not in ITEMS)]
    file = run_dir / "provenance.json"
    about: dict[str, Any] = {}
    if file.is_file():
        with reading(file):
            about = json.loads(file.read_text(encoding="utf-8"))
    about |= {"seconds": notebook_seconds(run_dir), "costs": costs(run_dir)}
    if planned := beside_the_plan(run_dir):
        about["plan"] = planned
    content = {"provenance": about, "items": [items[id] for id in order]}
    write_json(run_dir / "results.json", plain(content))
    return content
