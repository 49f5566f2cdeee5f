"""The explorer's controls and views as widgets: what is seen is drawn again, nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import ipywidgets

from alnet_lib.core.integrity.reading import Damaged
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.text import for_html, visible
from alnet_lib.figures.display import image_tag
from alnet_lib.figures.style import DescribedFigure
from alnet_lib.imaging.decoding import ImageError
from alnet_lib.networks import activations
from alnet_lib.report.explorer.session import ALL, OUTCOMES, Filter, Session

SMEAR, THRESHOLD, MAP, CELL, LAYERS, COMPARE = range(6)
TITLES = ("Smear", "Threshold", "Cell map", "Cell", "Feature maps", "Two runs")

OFFERED = 350
"""Smears in the list to choose from; a browser takes long over thousands. The filter chooses which."""

EXPECTED = (ImageError, Damaged, FileNotFoundError, KeyError, ValueError)
"""What a view may fail with and say so: pictures that have gone, a run without module 2, an empty selection."""


class Panel:
    """Widgets of an explorer.

    Parameters
    ----------
    explorer : Session
        Whose threshold and filter they move.

    Attributes
    ----------
    box : ipywidgets.VBox
        All of it.
    """

    def __init__(self, explorer: Session) -> None:
        self.explorer = explorer
        votes = explorer.votes()
        self.split = _dropdown("Split", [name for name in ("train", "test", "external") if name in set(votes["split"])])
        self.split.value = explorer.chosen.split
        self.site = _dropdown("Site", sorted(votes["site"].dropna().unique()))
        self.diagnosis = _dropdown("Diagnosis", sorted(name for name in votes["diagnosis"].dropna().unique() if name))
        self.outcome = _dropdown("Verdict", OUTCOMES)
        self.smear = _combobox("Smear", "type to search")
        self.threshold = ipywidgets.FloatSlider(
            explorer.threshold, min=0, max=0.95, step=0.05, description="Threshold", continuous_update=False
        )
        self.cell = _combobox("Cell", "type to search")
        self.module = ipywidgets.Dropdown(options=["module_1", "module_2"], description="Module")
        self.layer = ipywidgets.Dropdown(description="Layer")
        self.other = _combobox("Other run", "a folder of a finished run", ensure=False)
        self.other.options = _runs_beside(explorer.run.dir)
        self.path = ipywidgets.Text("selection.csv", description="File")
        self.what = ipywidgets.Dropdown(options=["smears", "cells"], layout={"width": "8em"})
        self.save = ipywidgets.Button(description="Save selection")
        self.said = ipywidgets.HTML()
        self.views = [ipywidgets.HTML() for _ in TITLES]
        controls: dict[int, tuple[Any, ...]] = {
            CELL: (self.cell,), LAYERS: (self.cell, self.module, self.layer), COMPARE: (self.other,)
        }  # fmt: skip
        pages = [ipywidgets.VBox([_row(*controls.get(i, ())), view]) for i, view in enumerate(self.views)]
        self.tabs = ipywidgets.Tab(pages, titles=TITLES)
        self._names: dict[str, str] = {}
        self._cells: dict[str, str] = {}
        self._drawn: dict[int, Any] = {}
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<p>{for_html(explorer.run.about)}. Research use only.</p>"),
                _row(self.split, self.site, self.diagnosis, self.outcome),
                _row(self.smear, self.threshold),
                self.tabs,
                _row(self.what, self.path, self.save, self.said),
            ]
        )
        self._offer()
        self._layers()
        for one in (self.split, self.site, self.diagnosis, self.outcome):
            one.observe(self._filtered, "value")
        self.threshold.observe(self._moved, "value")
        self.smear.observe(self._looked, "value")
        self.module.observe(self._layers, "value")
        for one in (self.cell, self.layer, self.other):
            one.observe(self.draw, "value")
        self.tabs.observe(self.draw, "selected_index")
        self.save.on_click(self._save)
        self.draw()

    # --- controls ------------------------------------------------------------------------------------------------

    def _filtered(self, *_: Any) -> None:
        self.explorer.chosen = Filter(self.split.value, self.site.value, self.diagnosis.value, self.outcome.value)
        self._offer()
        self.draw()

    def _moved(self, *_: Any) -> None:
        self.explorer.threshold = self.threshold.value
        if self.outcome.value != ALL:
            self._offer()
        self.draw()

    def _looked(self, *_: Any) -> None:
        self._offer_cells()
        self.draw()

    def _offer(self) -> None:
        """Offer the smears of the selection; the one that is shown stays where it can."""
        smears = self.explorer.smears().head(OFFERED)
        self._names = {
            visible(f"{row.smear_id} ({row.diagnosis or 'no diagnosis'}: {row.verdict})"): row.smear_id
            for row in smears.itertuples()
        }
        before = self.smear.value
        with self.smear.hold_trait_notifications():
            self.smear.options = tuple(self._names)
            self.smear.value = before if before in self._names else next(iter(self._names), "")
        self._offer_cells()

    def _offer_cells(self) -> None:
        if not (name := self._names.get(self.smear.value, "")):
            return
        own = self.explorer.run.cells
        own = own[own["smear_id"].eq(name) & own["eligible"]]
        self._cells = {visible(one): one for one in own["image_id"]}
        with self.cell.hold_trait_notifications():
            self.cell.options = tuple(self._cells)
            self.cell.value = next(iter(self._cells), "")

    def _layers(self, *_: Any) -> None:
        """Offer the layers of the module, once the view that needs them is looked at."""
        if self.tabs.selected_index != LAYERS:
            return
        try:
            known = activations.layers(self.explorer.network(self.module.value))
        except EXPECTED as error:
            self.views[LAYERS].value = _paragraph(error)
            return
        usual = activations.PAPERS_MAP[:2]
        self.layer.options = [(f"block {block}, layer {layer}", (block, layer)) for block, layer in known]
        self.layer.value = usual if usual in known else known[0]

    def _save(self, *_: Any) -> None:
        try:
            path = self.explorer.save(self.path.value, cells=self.what.value == "cells")
            number = len(self.explorer.cells() if self.what.value == "cells" else self.explorer.smears())
            self.said.value = f"{number} {self.what.value} saved as {for_html(path.name)}"
        except (OSError, ValueError) as error:
            self.said.value = _paragraph(error)

    # --- views ---------------------------------------------------------------------------------------------------

    def draw(self, *_: Any) -> None:
        """Draw the view that is seen, where what it depends on has changed."""
        number = self.tabs.selected_index
        if number is None:
            return
        if number == LAYERS and not self.layer.options:
            self._layers()
        state = (
            self.explorer.chosen, self.threshold.value, self._names.get(self.smear.value, ""),
            self._cells.get(self.cell.value, ""), self.module.value, self.layer.value, self.other.value,
        )  # fmt: skip
        if self._drawn.get(number) == state:
            return
        try:
            self.views[number].value = _html(self._view(number)())
        except EXPECTED as error:
            self.views[number].value = _paragraph(error)
        self._drawn[number] = state

    def _view(self, number: int) -> Callable[[], Any]:
        e = self.explorer
        smear, cell = self._names.get(self.smear.value, ""), self._cells.get(self.cell.value, "")
        views: dict[int, Callable[[], Any]] = {
            SMEAR: lambda: e.show(smear),
            THRESHOLD: e.at,
            MAP: lambda: e.cell_map(smear),
            CELL: lambda: e.show(cell) if cell else Unavailable("no cell is selected"),
            LAYERS: lambda: e.maps(cell, self.module.value, *self.layer.value),
            COMPARE: self._comparison,
        }
        return views[number]

    def _comparison(self) -> Any:
        if not self.other.value:
            return Unavailable("name the folder of another run, e.g. one with another start")
        return self.explorer.compare(self.other.value)


class Explorer(Session):
    """A finished run, to be looked at; nothing in its folder is written.

    At the end of a cell in JupyterLab it shows its controls and views; its methods give the same as frames and figures.
    """

    @cached_property
    def panel(self) -> Panel:
        """The controls and views, made when they are first shown."""
        return Panel(self)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give the widgets, and one picture for where widgets do not work."""
        figure = self.at()
        picture = {"text/plain": repr(self), "image/png": base64.b64encode(figure.png()).decode()}
        return {**self.panel.box._repr_mimebundle_(), **picture}, {"image/png": {"alt": figure.alt}}


def _dropdown(name: str, values: Any) -> Any:
    return ipywidgets.Dropdown(
        options=[(ALL, ALL), *((visible(value), value) for value in values)], description=name, layout={"width": "16em"}
    )


def _combobox(name: str, hint: str, *, ensure: bool = True) -> Any:
    # A list that searches as one types; a plain list of hundreds of smears does not.
    return ipywidgets.Combobox(
        description=name, placeholder=hint, ensure_option=ensure, continuous_update=False, layout={"width": "32em"}
    )


def _row(*controls: Any) -> Any:
    return ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"})


def _runs_beside(folder: Path) -> tuple[str, ...]:
    return tuple(
        visible(path) for path in sorted(folder.parent.iterdir())
        if path != folder and (path / "predictions" / "cells.parquet").is_file()
    )  # fmt: skip


def _html(shown: Any) -> str:
    if isinstance(shown, Unavailable):
        return f"<p>{for_html(shown.reason)}</p>"
    if isinstance(shown, DescribedFigure):
        return image_tag(shown.png(), shown.alt, style="max-width: 100%")
    return shown._repr_html_()


def _paragraph(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'<p role="alert">{for_html(text)}</p>'
