"""The report as one thing: an RO-Crate that names every file, a zip, a PDF."""

import base64
import json
import re
import shutil
import zipfile

import pytest
from typer.testing import CliRunner

from alnet_lib.cli import app
from alnet_lib.report import rendering
from alnet_lib.report.pages import folder, pdf
from alnet_lib.workflow import provenance, recorder

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one figure, rendered."""
    home = tmp_path_factory.mktemp("runs") / "run, é"
    (home / "figures").mkdir(parents=True)
    (home / "figures" / "figure_02.png").write_bytes(PNG)
    recorder.write_item(
        home,
        recorder.Item("figure_02", "A cell", "figure", "reproduced", files=("figures/figure_02.png",), caption="C"),
    )
    cohort = {"kind": "public", "name": "mine", "images": 3, "smears": 1, "patients": 1, "content_hash": "abc"}
    provenance.write_provenance(
        home, profile={"name": "smoke"}, cohort=cohort, device="cpu", precision="float32", seed=1
    )
    rendering.render(home)
    return home


def test_the_crate_names_every_file_and_what_made_it(run):
    out = run / "report"
    graph = {one["@id"]: one for one in json.loads((out / folder.CRATE).read_text(encoding="utf-8"))["@graph"]}
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} - {folder.CRATE}
    parts = {part["@id"] for part in graph["./"]["hasPart"]}
    assert parts == files and {"index.html", "files/results.json", "files/provenance.json"} <= parts
    assert graph[folder.CRATE]["conformsTo"]["@id"].startswith("https://w3id.org/ro/crate/")
    assert graph["files/figures/figure_02.webp"]["name"] == "A cell"
    assert graph["#cohort"]["identifier"] == "abc" and "MIT" in graph["./"]["conditionsOfAccess"]
    references = [value for one in graph.values() for value in one.values() if isinstance(value, dict)]
    for reference in references:
        assert reference["@id"] in graph or reference["@id"].startswith("https://w3id.org"), reference


def test_the_zip_has_the_folder_and_the_same_bytes_again(run):
    first = folder.write_zip(run / "report").read_bytes()
    with zipfile.ZipFile(run / "report.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert {f"report/{path.relative_to(run / 'report').as_posix()}" for path in (run / "report").rglob("*.*")
            if path.is_file()} == names  # fmt: skip
    assert folder.write_zip(run / "report").read_bytes() == first


def test_links_of_the_joined_pages_lead_within_them(run):
    text = pdf.joined_page(run / "report")
    assert 'id="table_07a--table_07a-blast-blast"' in text and 'href="#table_07a"' in text
    shown = text[text.index("<main") : text.index("</main>")]
    assert 'href="files/' not in shown and not re.search(r'href="[^"#]*\.html', shown)
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_without_chromium_the_command_says_what_it_needs(run, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    result = CliRunner().invoke(app, ["report", str(run), "--pdf"])
    assert result.exit_code == 1 and "printing needs one of chromium" in result.output
    assert not (run / "report.pdf").exists() and not (run / "report" / ".print.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium here")
def test_a_report_is_printed(run):
    assert pdf.write_pdf(run / "report").read_bytes()[:5] == b"%PDF-"
    assert not list((run / "report").glob(".print*"))
