"""The notebooks of a run, and its report, in this process: what is imported is imported once.

One chain of the tests runs as a user runs it, with Snakemake, papermill and a kernel a notebook (`test_chain.py`).
Where the cohort is what is tested, this does the same work without eight starts of a kernel.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import patch

from alnet_lib.core.files import atomic_path
from alnet_lib.core.profile import CrossFitting, Profile, Training
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.figures.style import style
from alnet_lib.workflow import recorder
from alnet_lib.workflow.steps import STEPS


def chain(run_dir: Path, cohort: str, data: Path, notebooks: Iterable[str] = tuple(STEPS)) -> list[str]:
    """Run notebooks under the profile `tiny`, each as its kernel would; one that fails does not stop the next.

    Parameters
    ----------
    run_dir : Path
        Run directory.
    cohort : str
        Name.
    data : Path
        Folder of the cohort.
    notebooks : iterable of str
        Names, in the order of the work.

    Returns
    -------
    list of str
        What failed, with notebook, cell and error.
    """
    parameters = {"cohort": cohort, "profile": "tiny", "data": str(data), "run_dir": str(run_dir)}
    problems = []
    with _alone(tiny(cohort)), _shell() as shell:
        for notebook in notebooks:
            recorder.forget(run_dir, notebook)
            if problem := run_notebook(shell, notebook, parameters):
                problems.append(problem)
        gc.collect()
    return problems


def tiny(cohort: str = "folder") -> Profile:
    """A profile smaller than `smoke`: two iterations a training."""
    smoke = Profile.load("smoke", cohort)
    small = Training(
        backbone="resnet_miniature", iterations=2, batch_size=8, lr_min=2e-5, lr_max=2e-4, upsample_target=8
    )
    comparison = {"backbones": ("resnet_miniature",), "fine_tuned_blocks": (5,), "upsample_target": 8, "range_test": 2}
    return smoke.model_copy(
        update={
            "module_1": small,
            "module_2": small,
            "table_5_backbone": "resnet_miniature",
            "comparison": smoke.comparison.model_copy(update=comparison),
            "ablations": small,
            "cross_fitting": CrossFitting(folds=2, module_1=small, module_2=small),
            "transfer": smoke.transfer and smoke.transfer.model_copy(update={"fine_tuned": small}),
            "classical": smoke.classical.model_copy(update={"selected": (5,)}),
            "learned_vote": smoke.learned_vote.model_copy(update={"epochs": 2}),
            "bootstrap": 20,
            "feature_map_cells": 2,
        }
    )


def cells_of(notebook: str) -> Iterator[str]:
    """Sources of a notebook's code cells."""
    content = json.loads((NOTEBOOKS_DIR / f"{notebook}.ipynb").read_text(encoding="utf-8"))
    return ("".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code")


def run_notebook(shell, notebook: str, parameters: dict[str, str]) -> str:
    """Run the code cells of a notebook in an IPython shell, as its kernel does.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        What is left of an earlier notebook is forgotten.
    notebook : str
        Name without its ending.
    parameters : dict
        Values that come after its first cell.

    Returns
    -------
    str
        The error with the last lines of its traceback, and the cell; empty where there is none.
    """
    shell.reset(new_session=False)
    for number, source in enumerate(cells_of(notebook), start=1):
        done = shell.run_cell(source, store_history=False)
        if (error := done.error_before_exec or done.error_in_exec) is not None:
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "alnet_lib" in frame.filename]
            where = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[-4:])
            return f"{notebook}, cell {number}: {type(error).__name__}: {error} ({where})"
        if number == 1:
            shell.user_ns.update(parameters)
    return ""


def _coarse(figure, stem: Path) -> tuple[bytes, bytes]:
    """As `figures.style.save`, at a tenth of its resolution: half of the time went into pixels that nobody sees."""
    png = io.BytesIO()
    with style():
        figure.savefig(png, format="png", dpi=30)
    for suffix in (".svg", ".png"):
        with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
            temporary.write_bytes(png.getvalue())
    return png.getvalue(), png.getvalue()


@contextlib.contextmanager
def _alone(profile: Profile) -> Iterator[None]:
    """The profile under any name; nothing of the environment or of what is printed is left."""
    with (
        patch.dict(os.environ),
        patch.object(Profile, "load", lambda *given, **named: profile),
        patch("alnet_lib.workflow.run.save", _coarse),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        yield


@contextlib.contextmanager
def _shell() -> Iterator:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    hook = sys.excepthook
    InteractiveShell.clear_instance()
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    try:
        yield InteractiveShell.instance(config=settings)
    finally:
        InteractiveShell.clear_instance()
        sys.excepthook = hook
