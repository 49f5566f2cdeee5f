"""A report that is handed on does not name the folders of the machine that made it."""

import nbformat

from alnet_lib.report.pages import notebook


def test_the_page_of_a_notebook_shows_parameters_without_folders(tmp_path):
    source = 'cohort = "jhu_apl"\ndata = "/home/someone/patients"\nrun_dir = "/home/someone/runs, \\u00e9"\n'
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    own = nbformat.v4.new_code_cell('data = "mine"')
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, own]), tmp_path / "a.ipynb")
    shown = notebook.executed(tmp_path / "a.ipynb", None).cells
    assert shown[0].source.strip() == 'cohort = "jhu_apl"\ndata = "..."\nrun_dir = "..."'
    assert shown[1].source == 'data = "mine"'
