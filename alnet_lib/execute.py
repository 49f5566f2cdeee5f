"""Execute one notebook with papermill; a failure names notebook, cell and exception and keeps the partial notebook."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import papermill
import yaml
from traitlets.config import Config

from alnet_lib import results
from alnet_lib.pipeline import NOTEBOOKS_DIR


class UnknownParameter(ValueError):
    """A parameter that the notebook does not declare: papermill alone would only warn."""


def execute(notebook: Path, executed: Path, parameters: dict[str, object]) -> float:
    """Run `notebook` with `parameters`, writing the executed one to `executed` after every cell; seconds it took.

    Raises
    ------
    UnknownParameter
        a name that the notebook's `parameters` cell does not have.
    papermill.PapermillExecutionError
        a cell failed.
    """
    declared = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(declared)):
        raise UnknownParameter(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    executed.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="alnet-", ignore_cleanup_errors=True) as sockets:
        papermill.execute_notebook(
            str(notebook), str(executed), parameters=parameters, progress_bar=False, cwd=str(notebook.parent),
            config=_kernel(sockets),
        )  # fmt: skip
    return time.perf_counter() - began


def _kernel(sockets: str) -> Config:
    # A kernel on TCP can be listened to by others on a shared machine; Windows has no IPC transport. Sockets need a
    # folder of their own: by default all kernels of a working directory share their names.
    if sys.platform == "win32":
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": str(Path(sockets) / "kernel")}})


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the Snakefile's rules; 0 when the notebook ran to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", type=Path, required=True, help="where the executed notebook goes")
    parser.add_argument("--parameters", type=Path, required=True)
    given = parser.parse_args(arguments)
    name = given.notebook.stem
    parameters = yaml.safe_load(given.parameters.read_text(encoding="utf-8"))
    results.forget(Path(parameters["run_dir"]), name)
    print(f"{name}: started", file=sys.stderr, flush=True)
    try:
        seconds = execute(NOTEBOOKS_DIR / f"{name}.ipynb", given.notebook, parameters)
    except papermill.PapermillExecutionError as error:
        print(f"\n{name} failed in code cell {error.exec_count}: {error.ename}: {error.evalue}", file=sys.stderr)
        print(f"The notebook as far as it came, with the traceback: {given.notebook.resolve()}", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"\n{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{name}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
