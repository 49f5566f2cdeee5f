"""What Snakemake's rules run: one notebook with papermill, or one unit of the backbone comparison.

A failure names notebook, cell and exception and keeps the partial notebook.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import papermill
import yaml
from jupyter_client import AsyncKernelManager
from traitlets import Unicode
from traitlets.config import Config

from alnet_lib.core.files import write_json
from alnet_lib.core.integrity import index
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.workflow import children, recorder
from alnet_lib.workflow.damage import examination
from alnet_lib.workflow.plan import cards
from alnet_lib.workflow.plan import measured as took
from alnet_lib.workflow.steps import COMPARISON, STEPS

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables by which numerical libraries take their number of threads."""


class UnknownParameter(ValueError):
    """A parameter that the notebook does not declare: papermill alone would only warn."""


def execute(notebook: Path, executed: Path, parameters: dict[str, object]) -> float:
    """Run a notebook, writing the executed one after every cell.

    Parameters
    ----------
    notebook, executed : Path
        The source, and where the executed notebook goes.
    parameters : dict
        Values of its `parameters` cell.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    UnknownParameter
        A name that the notebook's `parameters` cell does not have.
    papermill.PapermillExecutionError
        A cell failed.
    """
    declared = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(declared)):
        raise UnknownParameter(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    executed.parent.mkdir(parents=True, exist_ok=True)
    # papermill writes it again and again; it is recorded when it is finished.
    index.remove(executed)
    began = time.perf_counter()
    os.environ |= {children.PARENT: str(os.getpid()), index.STEP: executed.stem}
    with tempfile.TemporaryDirectory(prefix=f"{children.SOCKETS}{os.getpid()}-", ignore_cleanup_errors=True) as sockets:
        # Start-up files and settings of the user would be a part of the results; a home may be read-only.
        os.environ["IPYTHONDIR"] = str(Path(sockets) / "ipython")
        papermill.execute_notebook(
            str(notebook), str(executed), parameters=parameters, progress_bar=False, cwd=str(notebook.parent),
            config=_kernel(sockets, str(parameters.get("run_dir", ""))), kernel_manager_class=FollowedKernel,
        )  # fmt: skip
    return time.perf_counter() - began


class FollowedKernel(AsyncKernelManager):
    """Starts the kernel so that it and its workers end with this process, however that ends."""

    run_dir = Unicode("", help="Run directory whose lock the kernel holds.").tag(config=True)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Put the follower before the kernel's command line."""
        return children.command(self.run_dir, super().format_kernel_cmd(extra_arguments))


def _kernel(sockets: str, run_dir: str) -> Config:
    # A kernel on TCP can be listened to by others on a shared machine; Windows has no IPC transport. Sockets need a
    # folder of their own: by default all kernels of a working directory share their names. One port stays: ipykernel's
    # IOPubThread binds one on 127.0.0.1 for the output of forked processes, and no setting turns that off. It takes in
    # what begins with 16 bytes that only the kernel and its forks know, sends nothing, and runs nothing.
    if sys.platform == "win32":
        return Config()
    sockets_of = {"transport": "ipc", "ip": str(Path(sockets) / "kernel")}
    # The connection file has the key of the messages; here it goes when the folder goes.
    own = {"run_dir": run_dir, "connection_file": str(Path(sockets) / "connection.json")}
    return Config({"KernelManager": sockets_of, "FollowedKernel": own})


def run_notebook(executed: Path, parameters: dict[str, object]) -> int:
    """Execute one of the kit's notebooks for a run.

    Parameters
    ----------
    executed : Path
        Where the executed notebook goes; its stem names the notebook.
    parameters : dict
        Of `parameters.yaml`.

    Returns
    -------
    int
        0 when it ran to its end, else 1 with the reason on stderr.
    """
    name = executed.stem
    fix_threads(parameters)
    recorder.forget(Path(str(parameters["run_dir"])), name)
    print(f"{name}: started", file=sys.stderr, flush=True)
    try:
        seconds = execute(NOTEBOOKS_DIR / f"{name}.ipynb", executed, parameters)
    except papermill.PapermillExecutionError as error:
        print(f"\n{name} failed in code cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"The notebook as far as it came, with the traceback: {executed.resolve()}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"\n{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    index.record(executed)
    print(f"{name}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
    return 0


def fix_threads(parameters: dict[str, Any]) -> None:
    """Let this process and its kernel compute with the profile's threads, whatever Snakemake or the machine says.

    The order of a sum, and with it its last digits, depends on the number of threads; trainings carry that on to whole
    percents. It must come before the libraries that read these variables are imported.

    Parameters
    ----------
    parameters : dict
        Of `parameters.yaml`.
    """
    # The defaults are those of every notebook's `parameters` cell.
    profile = Profile.load(parameters.get("profile", "quick"), parameters.get("cohort", "synthetic"))
    os.environ |= dict.fromkeys(THREADS, str(profile.threads))


def run_unit(unit: str, parameters: dict[str, Any]) -> int:
    """Train what a unit of the comparison lacks, then write its marker.

    Parameters
    ----------
    unit : str
        `<backbone>/<evaluation>`, e.g. `vgg16/fold-1`.
    parameters : dict
        Of `parameters.yaml`.

    Returns
    -------
    int
        0 when all of the unit is there.
    """
    fix_threads(parameters)
    from alnet_lib.experiments import backbone_comparison
    from alnet_lib.workflow.run import Run

    run = Run.open(COMPARISON, **parameters)
    setup = run.setup()
    backbone, evaluation = unit.split("/")
    content: list[dict[str, Any]] = []
    rows = backbone_comparison.train_unit(setup, backbone, evaluation)
    if not isinstance(rows, Unavailable):
        kept = rows[["backbone", "evaluation", "fine_tuned_blocks", "validation_accuracy", "testing_accuracy", "key"]]
        content = kept.astype(object).where(kept.notna(), None).to_dict("records")
    write_json(run.dir / "comparison" / f"{backbone}-{evaluation}.json", {"unit": unit, "trainings": content})
    took.record(run.dir, f"comparison/{backbone}-{evaluation}")
    return 0


def _sound(run_dir: Path) -> bool:
    """Put aside what is damaged, and tell of it; other jobs are at work, so what is missing may be on its way."""
    if not run_dir.is_dir():
        return True
    found = tuple(one for one in examination.examine(run_dir).findings if one.what == "damaged")
    if found:
        print(examination.told(run_dir, found, examination.mend(run_dir, found)), file=sys.stderr)
        print("The same `alnet reproduce` again makes what was damaged, and goes on.", file=sys.stderr)
    return not found


def main(arguments: list[str] | None = None) -> int:
    """Run `notebook EXECUTED` or `unit NAME`, each with `--parameters FILE`.

    Parameters
    ----------
    arguments : list of str, optional
        Default those of the command line.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m alnet_lib.workflow.jobs", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    notebook = kinds.add_parser("notebook", help="execute one notebook")
    notebook.add_argument("executed", type=Path, help="where the executed notebook goes")
    unit = kinds.add_parser("unit", help="train one unit of the backbone comparison")
    unit.add_argument("unit", help="<backbone>/<evaluation>, e.g. vgg16/fold-1")
    for kind in (notebook, unit):
        kind.add_argument("--parameters", type=Path, required=True, help="the run's parameters.yaml")
    given = parser.parse_args(arguments)
    parameters = yaml.safe_load(given.parameters.read_text(encoding="utf-8"))
    if not _sound(Path(str(parameters["run_dir"]))):
        return 1
    if given.kind == "unit":
        with cards.one_of_them():
            return run_unit(given.unit, parameters)
    step = STEPS.get(given.executed.stem)
    with cards.one_of_them() if step and step.gpu else nullcontext():
        return run_notebook(given.executed, parameters)


if __name__ == "__main__":
    sys.exit(main())
