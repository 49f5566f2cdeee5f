"""What a run leaves: items (a table or figure with its values), provenance, results.json (design contracts 3 and 4)."""

from __future__ import annotations

import datetime
import html
import importlib.metadata
import json
import math
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alnet_lib import paper
from alnet_lib.files import write_json

PACKAGES = (
    "torch", "torchvision", "pretrainedmodels", "numpy", "pandas", "scikit-learn", "scipy", "statsmodels", "pillow",
    "opencv-python-headless", "matplotlib", "seaborn", "papermill", "nbconvert", "snakemake",
)  # fmt: skip


@dataclass(frozen=True)
class Value:
    """One number. key: the record's id of what the paper printed, or a name of our own for what it did not print.

    published: as the paper printed it. recomputed: what follows by arithmetic from its other printed numbers.
    reproduced: what this run measured. ci_low, ci_high: 95% interval of `reproduced`. unit: `%`, `images`, `min` ...
    """

    key: str
    unit: str = ""
    published: float | None = None
    recomputed: float | None = None
    reproduced: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None

    @classmethod
    def of(cls, id: str, reproduced: float, low: float | None = None, high: float | None = None) -> Value:
        """A number that the paper printed, by the record's id, with what this run measured in the record's unit.

        Raises
        ------
        KeyError
            the paper printed nothing by that id.
        """
        line = paper.record().loc[id]
        return cls(id, line["unit"], line["value"], reproduced=float(reproduced), ci_low=low, ci_high=high)


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper (ids of design contract 3), or one beyond it (`extra_...`)."""

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


def plain(content: Any) -> Any:
    """The content as JSON has it: numpy numbers as Python's, NaN and infinity as None."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def write_item(run_dir: Path, item: Item) -> None:
    """Write <run>/items/<id>.json."""
    write_json(run_dir / "items" / f"{item.id}.json", plain(asdict(item)))


def read_items(run_dir: Path) -> list[dict[str, Any]]:
    """Every item written so far: the paper's in its order, then those beyond it by name."""
    items = [json.loads(path.read_text(encoding="utf-8")) for path in (run_dir / "items").glob("*.json")]
    order = {id: position for position, id in enumerate(paper.ITEMS)}
    return sorted(items, key=lambda item: (order.get(item["id"], len(order)), item["notebook"], item["id"]))


def forget(run_dir: Path, notebook: str) -> None:
    """Remove the items of a notebook that is about to run again, so that none outlives the code that made it."""
    for item in read_items(run_dir):
        if item["notebook"] == notebook:
            (run_dir / "items" / f"{item['id']}.json").unlink(missing_ok=True)


def provenance(*, profile: dict, cohort: dict, device: str, precision: str, seed: int) -> dict[str, Any]:
    """Where a run's numbers come from; no name of a host, a user or a folder is in it."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "git_commit": git_commit(),
        "alnet_lib": importlib.metadata.version("alnet-lib"),
        "packages": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "precision": precision,
        "seed": seed,
        "profile": profile,
        "cohort": cohort,
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def git_commit() -> str | None:
    """The commit of the checkout that this library lies in, with `-dirty` when tracked files differ from it."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def write_provenance(run_dir: Path, **about: Any) -> None:
    """Write <run>/provenance.json; see `provenance` for the arguments."""
    write_json(run_dir / "provenance.json", plain(provenance(**about)))


def notebook_seconds(run_dir: Path) -> dict[str, float]:
    """Seconds that papermill took for each executed notebook of the run."""
    seconds = {}
    for path in sorted((run_dir / "notebooks").glob("*.ipynb")):
        about = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {})
        if about.get("duration"):
            seconds[path.stem] = round(about["duration"], 1)
    return seconds


def collect(run_dir: Path) -> dict[str, Any]:
    """Merge items and provenance into <run>/results.json; the paper's items that nobody made are unavailable."""
    items = {item["id"]: item for item in read_items(run_dir)}
    for id, (title, kind, notebook) in paper.ITEMS.items():
        if id not in items:
            absent = Item(id, title, kind, "unavailable", f"notebook {notebook} has not run", notebook)
            items[id] = plain(asdict(absent))
    follows = paper.recomputed()
    for value in (value for item in items.values() for value in item["values"]):
        value["recomputed"] = follows.get(value["key"], value["recomputed"])
    order = [*paper.ITEMS, *(id for id in items if id not in paper.ITEMS)]
    file = run_dir / "provenance.json"
    about = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    about["seconds"] = notebook_seconds(run_dir)
    content = {"provenance": about, "items": [items[id] for id in order]}
    write_json(run_dir / "results.json", plain(content))
    return content


def show_figure(png: bytes, *, alt: str, id: str, caption: str) -> Any:
    """What a notebook displays for a figure: the picture with its alternative text, anchor and caption."""
    import base64

    from IPython.display import HTML

    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return HTML(
        f'<figure id="{html.escape(id)}"><img src="{source}" alt="{html.escape(alt)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def show_unavailable(id: str, reason: str, *, title: str = "") -> Any:
    """What a notebook displays for an item that this cohort cannot give."""
    from IPython.display import HTML

    name = f"{label(id)}: {paper.ITEMS[id][0]}" if id in paper.ITEMS else title or label(id)
    return HTML(
        f'<p class="unavailable" id="{html.escape(id)}"><strong>{html.escape(name)}</strong> '
        f"is not available for this cohort: {html.escape(reason)}</p>"
    )


def label(id: str) -> str:
    """`table_07a` -> `Table 7A`, `figure_04` -> `Figure 4`; names of our own keep their words."""
    kind, _, number = id.partition("_")
    if kind in ("table", "figure") and number:
        return f"{kind.capitalize()} {number.lstrip('0').upper()}"
    return id.removeprefix("extra_").replace("_", " ").capitalize()
