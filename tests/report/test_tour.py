"""The tour: executed by a kernel on a finished run, and in JupyterLab as a reader uses it."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
import pytest

from alnet_lib.core.resources import NOTEBOOKS_DIR

TOUR = NOTEBOOKS_DIR / "00_tour.ipynb"
CHROMIUM = Path("/usr/bin/chromium")
MINUTES = 3 * 60_000
"""How long the browser waits for a kernel on a busy machine, in milliseconds."""


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def test_the_tour_has_ten_short_cells():
    cells = code_cells(TOUR)
    assert len(cells) == 10 and max(len(cell.source.splitlines()) for cell in cells) <= 4
    assert not any(cell.outputs for cell in cells)


@pytest.mark.slow
def test_a_kernel_executes_the_tour_and_leaves_pictures(finished_run, tmp_path, monkeypatch):
    # A backend that shows no picture of itself: the explorer must not rest on %matplotlib inline.
    monkeypatch.setenv("MPLBACKEND", "agg")
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}
    parameters = {"run_dir": str(finished_run)}
    # Not by the kit's own job, which belongs to a run and takes its locks.
    papermill.execute_notebook(str(TOUR), str(tmp_path / "tour.ipynb"), parameters, progress_bar=False, cwd=tmp_path)
    outputs = [out for cell in code_cells(tmp_path / "tour.ipynb") for out in cell.outputs]
    shown = [out["data"] for out in outputs if "data" in out]
    assert sum("image/png" in data for data in shown) == 5
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)
    text = json.dumps(outputs)
    assert "Figure size" not in text and "verdicts differ" in text and "RESEARCH USE ONLY" in text
    selection = finished_run.with_name(f"{finished_run.name}-unknown.csv")
    assert "unknown" in selection.read_text(encoding="utf-8")
    assert before == {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}


@contextmanager
def jupyterlab(folder):
    """The address of a JupyterLab that serves a folder, and its token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {"port": port, "ip": "127.0.0.1", "root_dir": str(folder), "open_browser": False, "allow_root": True}
    settings = [f"--ServerApp.{name}={value}" for name, value in given.items()]
    settings += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    home = dict.fromkeys(("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), str(folder / ".jupyter"))
    token = secrets.token_hex()
    environment = os.environ | home | {"JUPYTER_TOKEN": token}
    command = [sys.executable, "-m", "jupyterlab", *settings]
    log = folder / "server.log"
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{address}/api", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.5)
            else:
                raise AssertionError(log.read_text()[-2000:])
            yield address, token
        finally:
            server.terminate()


@contextmanager
def page_of_jupyterlab(folder, notebook):
    """A page of a browser with a notebook of the folder opened in JupyterLab."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}")
    with jupyterlab(folder) as (address, token), playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(MINUTES)
        page.goto(f"{address}/lab/tree/{notebook}?token={token}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        # Whoever runs cells before the kernel answers is asked for a kernel.
        page.get_by_text("| Idle").wait_for()
        yield page
        browser.close()


def run_all(page):
    """Run every cell, wait for the last one; give the errors that are shown."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('li[data-command="runmenu:run-all"]').click()
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.textContent);
            return prompts.length > 0 && prompts.some(p => /\\d/.test(p)) && !prompts.some(p => p.includes('*'));
        }"""
    )
    return page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()


@pytest.mark.slow
def test_the_explorer_in_a_real_jupyterlab(finished_run, tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    content = nbformat.read(TOUR, 4)
    content.cells = [cell for cell in content.cells if cell.cell_type == "code"][:2]
    content.cells[0].source = f"run_dir = {str(finished_run)!r}"
    nbformat.write(content, folder / "tour.ipynb")
    with page_of_jupyterlab(folder, "tour.ipynb") as page:
        assert run_all(page) == []
        sheet = page.locator(".jp-OutputArea .widget-html img[alt^='Smear ']")
        sheet.wait_for()
        assert sheet.evaluate("image => image.complete && image.naturalWidth") > 500
        page.get_by_role("tab", name="Threshold").click()
        view = page.locator(".widget-html img[alt^='At a threshold of']")
        view.wait_for()
        assert "threshold of 0.50" in view.get_attribute("alt")
        page.locator(".widget-readout").first.fill("0.8")
        page.locator(".widget-readout").first.press("Enter")
        page.locator(".widget-html img[alt^='At a threshold of 0.80']").wait_for()
        page.get_by_role("tab", name="Cell map").click()
        page.locator(".widget-html img[alt*='principal components']").wait_for()
        smears = page.locator("input[list]").first
        offered = page.locator("datalist").first.locator("option").count()
        assert offered > 1, "the list of smears searches"
        smears.fill(page.locator("datalist").first.locator("option").nth(1).get_attribute("value"))
        smears.press("Enter")
        page.get_by_role("tab", name="Smear", exact=True).click()
        chosen = re.match(r"(.+) \(", smears.input_value())[1]
        page.locator(f".widget-html img[alt^='Smear {chosen}']").wait_for()
        assert "Figure size" not in page.locator(".jp-Notebook").inner_text()
