"""The campaign of faults: `make faults`, or `PYTHONPATH=tests python -m faults [PART ...]`.

Tries what can go wrong in a run and with what it is given, prints a table of what was tried, handled and failed, and
writes it to benchmarks/results/faults.json and docs/reliability.md. Ends with 1 if anything failed.
"""

import argparse
import functools
import json
import platform
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from alnet_lib.core.files import write_json, write_text
from alnet_lib.core.resources import cores
from faults.tally import Clock, Tally

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
PAGE = ROOT / "docs" / "reliability.md"
SEED = 2021


def _part(module: str, function: str = "campaign") -> Callable[..., list[Tally]]:
    import importlib

    return getattr(importlib.import_module(f"faults.{module}"), function)


def _input(work: Path, few: bool) -> list[Tally]:
    return _part("inputs")(work / "input", SEED, 0.1 if few else 1.0)


def _of_runs(module: str, function: str, work: Path, few: bool) -> list[Tally]:
    more = {} if function == "cores" or module == "structures" else {"seed": SEED}
    return _part(module, function)(work, few=few, **more)


PARTS: dict[str, Callable[[Path, bool], list[Tally]]] = {
    "input": _input,
    "structures": functools.partial(_of_runs, "structures", "campaign"),
    "damage": functools.partial(_of_runs, "damage", "campaign"),
    "disk": functools.partial(_of_runs, "disks", "campaign"),
    "pages": functools.partial(_of_runs, "pages", "campaign"),
    "cores": functools.partial(_of_runs, "runs", "cores"),
    "kill": functools.partial(_of_runs, "kills", "campaign"),
}


def main() -> int:
    """Run the parts that are named, else all."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--few", action="store_true", help="few cases of each, to see that it works; writes no result")
    parser.add_argument("--work", type=Path, help="folder that keeps runs between calls; default one that is removed")
    given = parser.parse_args()
    # The Makefile hands all of them on as one word.
    asked = " ".join(given.parts).split() or list(PARTS)
    if strange := sorted(set(asked) - set(PARTS)):
        parser.error(f"no part {', '.join(strange)}: they are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="alnet faults ") as own:
        work = (given.work or Path(own)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        found = {part: _tried(part, work, given.few) for part in asked}
    if not given.few:
        write(found)
    failed = sum(line["failed"] for one in found.values() for line in one["lines"])
    print(f"{failed} failed")
    return 1 if failed else 0


def _tried(part: str, work: Path, few: bool) -> dict:
    print(f"{part} ...", file=sys.stderr, flush=True)
    with Clock() as clock:
        try:
            lines = PARTS[part](work, few)
        except Exception as error:
            traceback.print_exc()
            lines = [Tally(f"{part}, as a whole", 1, [f"{type(error).__name__}: {error}"])]
    for line in lines:
        tried, failed = line.tried, len(line.failures)
        print(f"{part:8} {line.what:84} tried {tried:5,}  handled {tried - failed:5,}  failed {failed:4,}", flush=True)
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
        "seconds": round(clock.seconds),
        "lines": [line.as_dict() for line in lines],
    }


def write(found: dict[str, dict]) -> None:
    """Put the parts that ran among those of earlier calls, and the table on the page."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    content = {part: (kept | found)[part] for part in PARTS if part in kept | found}
    write_json(RESULTS, content)
    pattern = re.compile(r"(<!-- faults:[^>]*-->\n).*?(<!-- /faults -->)", flags=re.DOTALL)
    text = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, pattern.sub(lambda found: found[1] + table(content) + found[2], text))


def table(content: dict[str, dict]) -> str:
    """Write the table of all parts in Markdown."""
    rows = ["| | tried | handled | failed |", "|---|--:|--:|--:|"]
    for part, about in content.items():
        for line in about["lines"]:
            numbers = " | ".join(f"{line[name]:,}" for name in ("tried", "handled", "failed"))
            rows.append(f"| {part}: {line['what']} | {numbers} |")
    when = [f"{part} {about['date']} at `{about['commit']}`, {about['seconds']:,} s" for part, about in content.items()]
    machines = "; ".join(sorted({about["machine"] for about in content.values()}))
    whole = sum(about["seconds"] for about in content.values()) / 60
    return "\n".join(rows) + f"\n\nMeasured on {machines}: {'; '.join(when)}. Together {whole:.0f} minutes.\n"


if __name__ == "__main__":
    sys.exit(main())
