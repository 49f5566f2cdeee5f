"""requirements.lock is resolved from pyproject.toml; environment.yml is written from the lock: `make lock`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$")

HEADER = """\
# For conda users: the versions of requirements.lock, written from it by `make lock`; do not edit.
# conda env create -f environment.yml && conda activate alnet && alnet reproduce
name: alnet
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - make
  - pip:
"""


def locked() -> dict[str, tuple[str, str]]:
    """Package name -> (version, environment marker or '')."""
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if match := PIN.match(line):
            pins[match["name"].lower()] = (match["version"], (match["marker"] or "").strip())
    return pins


def environment() -> str:
    """The text of environment.yml that follows from the lock."""
    lines = []
    for name, (version, marker) in sorted(locked().items()):
        requirement = f"{name}=={version}" + (f" ; {marker}" if marker else "")
        lines.append(f'      - "{requirement}"' if marker else f"      - {requirement}")
    return HEADER + "\n".join(lines) + "\n      - --editable .\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment())
