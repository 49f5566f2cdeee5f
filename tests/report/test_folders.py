"""A report that is handed on does not name the folders of the machine that made it."""

from pathlib import Path

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


def test_a_notebook_of_the_report_names_no_folder_and_shows_the_figures_that_lie_beside_it(tmp_path):
    run = tmp_path / "runs, é" / "x"
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "figure_02.png").write_bytes(b"png")
    (data := tmp_path / "patients").mkdir()
    parameters = {"cohort": "jhu_apl", "data": f"jhu_apl={data}", "run_dir": str(run)}
    source = f'cohort = "jhu_apl"\ndata = "jhu_apl={data}"\nrun_dir = "{run}"'
    picture = '<figure id="{}"><img alt="" src="data:image/png;base64,cG5n"></figure>'
    output = nbformat.v4.new_output
    outputs = [output("display_data", {"text/html": picture.format(id)}) for id in ("figure_02", "figure_03")]
    outputs.append(output("stream", text=f"read {data}/a.png, wrote {run}/tables and {Path.home()}/cache/x"))
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]}, outputs=outputs)
    about = {"parameters": parameters, "input_path": str(tmp_path / "kit" / "a.ipynb"), "output_path": ""}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": about}), tmp_path / "a.ipynb")
    text = notebook.handed_on(tmp_path / "a.ipynb", run, {"figures/figure_02.png": "../figures/figure_02.webp"})
    assert str(tmp_path) not in text and f"{Path.home()}/" not in text
    shown = "".join(output.data["text/html"] for output in nbformat.reads(text, 4).cells[0].outputs[:2])
    assert 'src="../figures/figure_02.webp"' in shown and shown.count("data:image/png") == 1
    assert "jhu_apl" in text and "/a.png" in text and "/tables" in text
