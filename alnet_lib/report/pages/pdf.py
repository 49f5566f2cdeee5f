"""The report as one PDF, printed by Chromium where it is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote

from alnet_lib.core.files import atomic_path, write_text

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
"""Commands that print pages, in the order tried."""

LEFT_OUT = ("gallery", "numbers")
"""Pages that would fill the document: pictures of every cell, and rows that the scorecard of notebook 07 has too."""

SECONDS = 300

_MAIN = re.compile(r"(<main\b[^>]*>).*?(</main>)", flags=re.DOTALL)
_TURN = re.compile(r'<nav class="(?:turn|contents)".*?</nav>', flags=re.DOTALL)


def write_pdf(out: Path) -> Path:
    """Print the pages of a report, but those of LEFT_OUT, as one PDF with every table whole.

    Parameters
    ----------
    out : Path
        The report's folder.

    Returns
    -------
    Path
        <out>.pdf.

    Raises
    ------
    FileNotFoundError
        No Chromium on the path.
    RuntimeError
        It did not print.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(f"printing needs one of {', '.join(BROWSERS)} on the path")
    joined, target = out / ".print.html", out.with_name(f"{out.name}.pdf")
    write_text(joined, joined_page(out))
    # A browser refuses its sandbox to root; what it opens here is the kit's own page, under its policy.
    sandbox = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    try:
        with tempfile.TemporaryDirectory() as home, atomic_path(target) as temporary:
            command = [browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                       *sandbox, f"--user-data-dir={home}", "--no-pdf-header-footer", f"--print-to-pdf={temporary}",
                       joined.as_uri()]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode or not temporary.is_file():
                raise RuntimeError(f"{browser} did not print the report: {done.stderr.strip()[-500:]}")
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{browser} did not print the report within {SECONDS} seconds") from error
    finally:
        joined.unlink(missing_ok=True)
    return target


def joined_page(out: Path) -> str:
    """Join the pages of a report into one, with links that lead within it.

    Parameters
    ----------
    out : Path
        The report's folder.

    Returns
    -------
    str
        HTML. Links to files become plain text: in a document they would name folders of this machine.
    """
    first = (out / "index.html").read_text(encoding="utf-8")
    order = [name for name in dict.fromkeys(re.findall(r'href="(\w+)\.html["#]', first)) if name not in LEFT_OUT]
    names = [name for name in dict.fromkeys(["index", *order]) if (out / f"{name}.html").is_file()]

    def led(match: re.Match[str], own: str) -> str:
        page, _, part = unquote(match[1]).partition("#")
        name = page.removesuffix(".html") if page else own
        if match[1].startswith("https:"):
            return match[0]
        return f' href="#{name}{f"--{part}" if part and "=" not in part else ""}"' if name in names else ""

    parts = []
    for name in names:
        text = _MAIN.search((out / f"{name}.html").read_text(encoding="utf-8"))
        body = _TURN.sub("", text[0][len(text[1]) : -len(text[2])]) if text else ""
        body = re.sub(r' id="([^"]+)"', lambda id, name=name: f' id="{name}--{id[1]}"', body)  # type: ignore[misc]
        body = re.sub(r' href="([^"]*)"', lambda link, name=name: led(link, name), body)  # type: ignore[misc]
        parts.append(f'<section class="sheet" id="{name}">{body}</section>')
    return _MAIN.sub(lambda main: main[1] + "".join(parts) + main[2], first, count=1)
