"""The report's folder as one thing to hand on: an RO-Crate, and a zip of it."""

from __future__ import annotations

import mimetypes
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from alnet_lib.core.files import atomic_path, write_json
from alnet_lib.report.pages.files import stored

CRATE = "ro-crate-metadata.json"
PAPER = "https://doi.org/10.1016/j.cmpb.2021.105999"

TITLE = "A deep learning model (ALNet) for the diagnosis of acute leukaemia lineage using peripheral blood cell images"

LICENCE = "https://spdx.org/licenses/MIT"


def write_crate(
    out: Path, about: Mapping[str, Any], items: Iterable[Mapping[str, Any]], licences: Iterable[tuple[str, str]]
) -> Path:
    """Describe the report's folder as an RO-Crate: what each file is, what made it, from what, under which licence.

    The package `rocrate` would write the same JSON, and copy the files besides.

    Parameters
    ----------
    out : Path
        The report's folder; its pages may be written later.
    about : mapping
        Provenance, complete.
    items : iterable of mapping
        Of results.json.
    licences : iterable of (str, str)
        What is licensed, and how.

    Returns
    -------
    Path
        Of <out>/ro-crate-metadata.json.

    References
    ----------
    RO-Crate 1.1, https://w3id.org/ro/crate/1.1.
    """
    captions = {stored(name): item for item in items for name in item["files"]}
    there = {path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()}
    # The first page is written last.
    names = sorted((there | {"index.html"}) - {CRATE})
    cohort, versions = about["cohort"], about["packages"]
    files = [_file(name, captions.get(name)) for name in names]
    terms = "; ".join(f"{what}: {licence}" for what, licence in licences)
    root = {
        "@id": "./", "@type": "Dataset", "name": f"ALNet, reproduced: {cohort['name']}, {about['profile']['name']}",
        "description": f"Tables, figures and numbers of the ALNet paper, measured on the cohort {cohort['name']} "
        f"({cohort['kind']}). Research use only.",
        "datePublished": str(about.get("begun") or "unknown")[:10], "license": {"@id": LICENCE},
        "conditionsOfAccess": terms, "isBasedOn": {"@id": PAPER}, "mentions": {"@id": "#run"},
        "hasPart": [{"@id": file["@id"]} for file in files],
    }  # fmt: skip
    run = {
        "@id": "#run", "@type": "CreateAction", "name": "alnet reproduce", "instrument": {"@id": "#alnet_lib"},
        "startTime": str(about.get("begun") or "unknown"), "object": {"@id": "#cohort"},
        "result": [{"@id": file["@id"]} for file in files],
    }  # fmt: skip
    kit = {
        "@id": "#alnet_lib", "@type": "SoftwareApplication", "name": "ALNet reproduction kit",
        "version": f"{about['alnet_lib']}, commit {about['git_commit'] or 'unknown'}", "license": {"@id": LICENCE},
        "softwareRequirements": ", ".join([f"Python {about['python']}", *(f"{k} {v}" for k, v in versions.items())]),
    }  # fmt: skip
    images = {
        "@id": "#cohort", "@type": "Dataset", "name": cohort["name"],
        "identifier": cohort.get("content_hash", "unknown"),
        "description": f"{cohort['images']:,} images; not part of this crate.",
    }  # fmt: skip
    descriptor = {
        "@id": CRATE, "@type": "CreativeWork", "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }  # fmt: skip
    paper = {"@id": PAPER, "@type": "ScholarlyArticle", "name": TITLE}
    licence = {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT licence"}
    graph = [descriptor, root, run, kit, images, paper, licence, *files]
    write_json(out / CRATE, {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph})
    return out / CRATE


def _file(name: str, item: Mapping[str, Any] | None) -> dict[str, Any]:
    # Python knows WebP from 3.13 on.
    kind = "image/webp" if name.endswith(".webp") else mimetypes.guess_type(name)[0] or "application/octet-stream"
    about = {"@id": name, "@type": "File", "name": name, "encodingFormat": kind}
    return about | ({"name": item["title"], "description": item["caption"]} if item else {})


def write_zip(out: Path) -> Path:
    """Write the report's folder as a zip beside it.

    Parameters
    ----------
    out : Path
        The report's folder.

    Returns
    -------
    Path
        <out>.zip, the same bytes for the same files.
    """
    target = out.with_name(f"{out.name}.zip")
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")):
            # A fixed time: when a file was written says nothing of what is in it.
            entry = zipfile.ZipInfo(f"{out.name}/{path.relative_to(out).as_posix()}", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return target
