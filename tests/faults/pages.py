"""A run in which everything that others may write is hostile, and its pages in a browser."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from hostile import CHROMIUM, HOSTILE, Page, listening, opened

from alnet_lib.cohorts import building
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.resources import PROFILES_DIR
from alnet_lib.report.pages.folder import LICENCE, PAPER
from faults import runs
from faults.tally import Tally

PROFILE = PROFILES_DIR / f"{runs.PROFILE}.yaml"
MOST = 200
"""Bytes of a file name; Linux takes 255."""


def _hostile(port: int) -> list[str]:
    """The names of the tests, and some that ask a server on this machine."""
    asking = [
        f"<img src=http://127.0.0.1:{port}/i>", f"![x](http://127.0.0.1:{port}/m)",
        f"<script src=//127.0.0.1:{port}/s></script>", f"<iframe srcdoc=\"<img src=http://127.0.0.1:{port}/f>\">",
        f"<meta http-equiv=refresh content='0;url=http://127.0.0.1:{port}/r'>",
    ]  # fmt: skip
    return [*HOSTILE, *asking]


def as_file_name(name: str) -> str:
    """What of a name can be one of a file."""
    return name.replace("/", "\N{DIVISION SLASH}").replace("\0", "").encode()[:MOST].decode(errors="ignore")


def cohort(folder: Path, source: Cohort, names: list[str]) -> Path:
    """Write a cohort as a user's manifest in which every free text is hostile.

    Parameters
    ----------
    folder : Path
        Where pictures, manifest.csv and mapping.csv go.
    source : Cohort
        A small one.
    names : list of str
        The hostile texts; an ID is one of them and a number.

    Returns
    -------
    Path
        The manifest.
    """
    frame = source.manifest[["path", "cell_type", "smear_id", "patient_id", "site", "diagnosis", "split"]].copy()
    folder.mkdir(parents=True, exist_ok=True)

    def renamed(column: str) -> pd.Series:
        codes = pd.factorize(frame[column])[0]
        return pd.Series([f"{names[code % len(names)]}{code}" for code in codes], index=frame.index)

    paths = []
    for row, file in enumerate(source.files):
        paths.append(f"{as_file_name(names[row % len(names)])} {row}{file.suffix}")
        shutil.copy(file, folder / paths[-1])
    types = {name: f"{names[code % len(names)]} type {code}" for code, name in enumerate(frame["cell_type"].unique())}
    hostile = frame.assign(
        image_id=[f"{names[row % len(names)]} {row}" for row in range(len(frame))], path=paths,
        smear_id=renamed("smear_id"), patient_id=renamed("patient_id"), site=renamed("site"),
        subtype=[names[row % len(names)] for row in range(len(frame))], cell_type=frame["cell_type"].map(types),
    )  # fmt: skip
    left_out = hostile.head(2).assign(cell_type=f"{names[0]} left out", image_id=["x", "y"])
    pd.concat([hostile, left_out]).to_csv(folder / "manifest.csv", index=False)
    mapping = [*((word, name) for name, word in types.items()), (f"{names[0]} left out", "")]
    pd.DataFrame(mapping, columns=["name", "cell_type"]).to_csv(folder / "mapping.csv", index=False)
    return folder / "manifest.csv"


def profile(folder: Path, name: str) -> str:
    """Write a profile with a hostile name and hostile settings; it is then given by its path."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load(PROFILE.read_text(encoding="utf-8")) | {"weights_dir": f"weights {name}"}
    file = folder / f"{as_file_name(name)}.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return str(file.with_suffix(""))


def wrong_with(path: Path) -> str:
    """What a page has that acts or loads, without a browser; empty where it has nothing."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    policy = next((a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"), "")
    told = [] if "default-src 'none'" in policy and "unsafe" not in policy else ["no policy"]
    told += [] if [tag for tag, _ in page.tags].count("script") <= 1 else ["a second script"]
    told += ["a refresh"] if any(a.get("http-equiv", "").lower() == "refresh" for _, a in page.tags) else []
    for tag, attributes in page.tags:
        # The gallery's own form has its filters, and no address that it could be sent to.
        foreign = tag in ("iframe", "object", "embed", "base", "video") or "action" in attributes
        if foreign or any(name.startswith("on") for name in attributes):
            told.append(f"<{tag} {sorted(attributes)}>")
        for name in ("src", "href"):
            if tag == "a" and attributes.get(name) in (PAPER, LICENCE):
                continue
            if re.match(r"\s*(https?:|//|javascript:|data:text)", attributes.get(name) or "", flags=re.IGNORECASE):
                told.append(f"{tag} {name}={attributes[name][:80]}")
    return "; ".join(told[:5])


def _shown(path: Path, browser: Path, asked: list[str]) -> str:
    before = len(asked)
    text = opened(path, browser)
    title = re.search(r"<title>([^<]*)", text)
    if title is None or title[1] == "run":
        return "a foreign script ran"
    return "" if len(asked) == before else f"asked for {asked[before:]}"


def campaign(work: Path, seed: int, *, few: bool = False) -> list[Tally]:
    """Run the whole chain on a hostile cohort under a hostile profile, and open its pages."""
    lines = [Tally("pages of a hostile cohort: no element that acts or loads"), Tally("the same, opened in Chromium")]
    folder = work / "pages <b onclick=document.title='run'>"
    shutil.rmtree(folder, ignore_errors=True)
    with listening() as (port, asked):
        names = list(np.random.default_rng(seed).permutation(_hostile(port)))
        drawn = building.build("synthetic", folder / "drawn", fraction=0.004, workers=1)
        manifest = cohort(folder / as_file_name(names[0]), drawn, names)
        run = folder / as_file_name(names[1])
        options = ["--cohort=folder", f"--data={manifest}", *(["--until=01"] if few else [])]
        done = runs.finished(run, *options, profile=profile(folder, names[2]))
        if done.returncode:
            lines[0].add("the chain", done.stderr[-2500:])
        from alnet_lib.report import rendering

        if few or done.returncode:
            rendering.render(run)
        for page in sorted((run / "report").glob("*.html")):
            lines[0].attempt(page.name, lambda page=page: wrong_with(page))
            if CHROMIUM:
                lines[1].attempt(page.name, lambda page=page: _shown(page, work / "browser", asked))
        items = json.loads((run / "results.json").read_text(encoding="utf-8"))["items"]
        failed = [item["id"] for item in items if "Error" in item["reason"]]
        lines[0].add("results.json", f"reasons with errors: {failed}" if failed else "")
    return lines
