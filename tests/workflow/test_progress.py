"""Progress lines in a notebook."""

import nbformat
from nbclient import NotebookClient

CELL = """
from alnet_lib.core.progress import ProgressLine
for name in ("first", "second", "third"):
    line = ProgressLine(name)
    line(1, 2)
    line(2, 2)
"""


def test_a_cell_shows_one_progress_line_however_many_jobs_it_runs():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells:
        assert len(cell.outputs) == 1 and cell.outputs[0]["data"]["text/plain"].startswith("third: 2 of 2")
