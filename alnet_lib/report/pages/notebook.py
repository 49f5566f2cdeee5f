"""The page of an executed notebook: its findings first, then the way there."""

from __future__ import annotations

import base64
import copy
import json
import re
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from alnet_lib.core.integrity.reading import reading
from alnet_lib.report import safety

FOUND = "What was found"
"""Heading of a notebook's last section, whose outputs are shown first."""

_HEADING = re.compile(r"<h([1-4])>(.*?)</h\1>", flags=re.DOTALL)
_FOLDERS = re.compile(r"^(data|run_dir) = .+$", flags=re.MULTILINE)
_PICTURE = re.compile(r'(<figure id="(\w+)"><img [^>]*?src=")data:image/png;base64,([^"]+)"')
_CELL_ID = re.compile(r' id="cell-id=[^"]*"')
_SHOWN = re.compile(
    r'<figure id="(?P<figure>\w+)">.*?</figure>'
    r'|<table class="data" id="(?P<table>\w+)">.*?</table></(?:div|section)>',
    flags=re.DOTALL,
)


def executed(path: Path, sources: Path | None) -> nbformat.NotebookNode:
    """Read an executed notebook, with the prose of its source where the code cells are those that ran.

    Parameters
    ----------
    path : Path
        The executed notebook.
    sources : Path or None
        Folder of the notebooks' sources.

    Returns
    -------
    NotebookNode
        With its outputs.
    """
    with reading(path):
        notebook = _without_parameters(nbformat.read(path, as_version=4))
    source = sources / path.name if sources else None
    if source is None or not source.is_file():
        return notebook
    original = nbformat.read(source, as_version=4)
    ran = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    same = [c.source for c in ran if c.cell_type == "code"] == [
        c.source for c in original.cells if c.cell_type == "code"
    ]
    if same and len(ran) == len(original.cells):
        for cell, fresh in zip(ran, original.cells, strict=True):
            if cell.cell_type == fresh.cell_type == "markdown":
                cell.source = fresh.source
    return notebook


def _without_parameters(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            # The report is handed on: the folders of the machine that made it are nobody's business.
            cell.source = _FOLDERS.sub(r'\1 = "..."', cell.source)
    return notebook


def handed_on(path: Path, run_dir: Path, addresses: Mapping[str, str]) -> str:
    """Write an executed notebook for the report's folder: it names no folder of the machine and is small.

    Parameters
    ----------
    path : Path
        The executed notebook; it stays as it is.
    run_dir : Path
        A run directory.
    addresses : mapping of str to str
        File of the run to where it lies, seen from the notebook, which shows its figures from there.

    Returns
    -------
    str
        JSON.
    """
    with reading(path):
        notebook = _without_parameters(nbformat.read(path, as_version=4))
    about = notebook.metadata.get("papermill", {})
    given = {name: str(about.get("parameters", {}).get(name, "")) for name in ("run_dir", "data")}
    folders = [given["run_dir"], *(part.split("=")[-1] for part in given["data"].split(","))]
    folders += [str(Path(about.get(name) or ".").parent) for name in ("input_path", "output_path")]
    folders += [str(run_dir), str(run_dir.resolve()), sys.prefix, str(Path.home())]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if isinstance(text := output.get("data", {}).get("text/html"), str):
                output.data["text/html"] = _beside(text, run_dir, addresses)
    written = nbformat.writes(notebook)
    for folder in sorted({folder for folder in folders if Path(folder).is_absolute()}, key=len, reverse=True):
        # Of a folder at the root only what lies in it: its name may be a word.
        end = "" if len(Path(folder).parts) > 2 else "/"
        written = written.replace(json.dumps(folder + end, ensure_ascii=False)[1:-1], "..." + end)
    return written


def title(notebook: nbformat.NotebookNode) -> str:
    """Give a notebook's first heading, empty where it has none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.match(r"#\s+(.+)", cell.source)):
            return match[1].strip()
    return ""


def body(
    notebook: nbformat.NotebookNode, run_dir: Path, files: Mapping[str, str], below: Mapping[str, str] | None = None
) -> str:
    """Write the body of a notebook's page; it is not sanitised yet.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook; it stays as it is.
    run_dir : Path
        A run directory.
    files : mapping of str to str
        Of `files.copied`; a figure that lies there is shown from there instead of standing in the page a second time.
    below : mapping of str to str, optional
        Id of a table or figure to the HTML that stands below it.

    Returns
    -------
    str
        HTML.
    """
    exporter = HTMLExporter(
        template_name="alnet", extra_template_basedirs=[str(safety.TEMPLATES)], exclude_anchor_links=True
    )
    text, _ = exporter.from_notebook_node(findings_first(notebook))
    text = _HEADING.sub(lambda m: f'<h{m[1]} id="{_slug(m[2])}">{m[2]}</h{m[1]}>', text)

    def leading(match: re.Match[str]) -> str:
        return match[0] + (below or {}).get(match["figure"] or match["table"], "")

    # nbconvert gives each cell an id with a sign that is not allowed in one, and nothing leads there.
    return _SHOWN.sub(leading, _beside(_CELL_ID.sub("", text), run_dir, files))


def _beside(text: str, run_dir: Path, addresses: Mapping[str, str]) -> str:
    """HTML whose figures are shown from where they lie, each under its address, instead of standing in it."""

    def shown(match: re.Match[str]) -> str:
        name, png = f"figures/{match[2]}.png", base64.b64decode(match[3])
        # Of an item whose notebook ran again only the newer picture is in the run's folder.
        same = name in addresses and png == (run_dir / name).read_bytes()
        return (f'{match[1]}{addresses[name]}"' if same else match[0]) + size(png)

    return _PICTURE.sub(shown, text)


_SCALE = 0.46
"""CSS pixels a pixel of a picture: one that is 180 mm wide at 300 dpi fills the column of text, and letters are of one
size on all."""


def size(png: bytes) -> str:
    """Give the attributes that show all figures at one scale.

    Parameters
    ----------
    png : bytes
        A figure, at 300 dpi.

    Returns
    -------
    str
        ` width="..." height="..."`; nothing where it is no PNG.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        return ""
    width, height = (round(_SCALE * side) for side in struct.unpack(">II", png[16:24]))
    return f' width="{max(width, 1)}" height="{max(height, 1)}"'


def findings_first(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Move the outputs of the last section behind the opening cell, and leave out progress and completion lines.

    Parameters
    ----------
    notebook : NotebookNode
        An executed notebook; it stays as it is.

    Returns
    -------
    NotebookNode
        A copy. Without outputs in a section `What was found` nothing is moved.
    """
    shown = copy.deepcopy(notebook)
    for cell in shown.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _aside(cell, output)]
    starts = [i for i, c in enumerate(shown.cells) if c.cell_type == "markdown" and _is_found(c.source)]
    last = starts[-1] if starts else len(shown.cells)
    made = [cell for cell in shown.cells[last:] if cell.cell_type == "code" and cell.outputs]
    if not made:
        return shown
    heading = nbformat.v4.new_markdown_cell("## Findings")
    first = nbformat.v4.new_code_cell("", outputs=[output for cell in made for output in cell.outputs])
    heading.id, first.id = "findings-heading", "findings-outputs"
    for cell in made:
        cell.outputs = []
    shown.cells[last].source += "\n\nThis stands [at the top of the page](#findings); here is the code that wrote it."
    opening = next((i + 1 for i, c in enumerate(shown.cells) if c.cell_type == "markdown"), 0)
    shown.cells[min(opening, last) : min(opening, last)] = [heading, first]
    return shown


def _is_found(source: str) -> bool:
    return re.match(rf"##\s+{FOUND}\s*$", source, flags=re.MULTILINE) is not None


def _aside(cell: nbformat.NotebookNode, output: nbformat.NotebookNode) -> bool:
    """Whether an output is a progress line (text that was displayed alone), or what `run.finish()` answers."""
    if list(output.get("data", {})) != ["text/plain"]:
        return False
    progress = re.search(r": [\d,]+ of [\d,]+", output.data["text/plain"]) is not None
    return (output.output_type == "display_data" and progress) or cell.source.strip() == "run.finish()"


def _slug(text: str) -> str:
    words = re.sub(r"<[^>]+>|&\w+;", "", text).lower()
    return re.sub(r"[^\w]+", "-", words).strip("-")
