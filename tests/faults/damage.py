"""Files of a finished run that were truncated, emptied, zeroed, or had a bit flipped."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import Damaged
from alnet_lib.workflow.damage import examination
from faults import runs
from faults.tally import Tally


def flipped(content: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "flipped": flipped,
}

OF_A_KIND = 3
"""Files of one kind (folder and ending) that are damaged."""


def damage(path: Path, way: str, *, keep_time: bool = False) -> None:
    """Damage a file, under the same time of its last change where wanted."""
    stat = path.stat()
    path.write_bytes(WAYS[way](path.read_bytes()))
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def kinds(run: Path) -> dict[tuple[str, str], list[str]]:
    """Folder and ending -> files of a run that are not empty, relative to it."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size > 1):
        relative = path.relative_to(run).as_posix()
        if not index.passing(relative):
            found.setdefault((relative.rpartition("/")[0], path.suffix), []).append(relative)
    return found


def _looked_at(run: Path, path: str, way: str, *, keep_time: bool) -> str:
    """Damage a file, look at the run, and put the file back."""
    file = run / path
    before, stat = file.read_bytes(), file.stat()
    try:
        damage(file, way, keep_time=keep_time)
        if file.read_bytes() == before:
            return ""
        found = examination.examine(run, full=keep_time).findings
        named = [(one.path, one.what) for one in found]
        known = path in ("costs.json", "parameters.yaml", "plan.json") or (found and found[0].step)
        return "" if named == [(path, "damaged")] and known else f"found {found}"
    finally:
        file.write_bytes(before)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _readers(run: Path) -> dict[str, Callable[[], object]]:
    """File -> what reads it in a step, in `diagnose` or in the report; a flipped bit must not get through."""
    from alnet_lib.diagnosis.model import ALNet
    from alnet_lib.experiments import classical
    from alnet_lib.networks import storage
    from alnet_lib.report import cautions, rendering
    from alnet_lib.report.gallery import contents
    from alnet_lib.workflow import recorder
    from alnet_lib.workflow.run import Run

    own = Run.open("04_smear_roc", profile=runs.PROFILE, run_dir=str(run))

    def first(pattern: str) -> str:
        return next(path.relative_to(run).as_posix() for path in sorted(run.glob(pattern)))

    return {
        "cohort/manifest.parquet": own.cohort,
        "cohort/cohort.json": own.cohort,
        "predictions/cells.parquet": own.predictions,
        first("predictions/*cross_fitted*"): own.cross_fitted,
        "models/module_1.safetensors": lambda: storage.load_network(run / "models/module_1.safetensors"),
        "models/module_1.json": lambda: ALNet.load(run),
        "models/module_2.json": lambda: ALNet.load(run),
        "comparison/classical/rows.parquet": lambda: classical.saved(run),
        "tables/extra_table_confounds.csv": lambda: cautions.load(run),
        first("items/*.json"): lambda: recorder.read_items(run),
        "provenance.json": lambda: contents.contents(run, run / "report"),
        first("tables/table_*.csv"): lambda: rendering.render(run),
        first("figures/*.png"): lambda: rendering.render(run),
        "notebooks/04_smear_roc.ipynb": lambda: rendering.render(run),
    }


def _read(run: Path, path: str, reader: Callable[[], object]) -> str:
    file = run / path
    before, stat = file.read_bytes(), file.stat()
    try:
        damage(file, "flipped", keep_time=True)
        reader()
        return "was used in silence"
    except (Damaged, ValueError) as error:
        return "" if file.name in str(error) and "damaged" in str(error) else f"says only {error}"
    finally:
        file.write_bytes(before)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _made_again(run: Path, base: Path) -> str:
    """Damage one file of every kind, and let `alnet reproduce` bring the run to what it was."""
    chosen = [paths[0] for paths in kinds(run).values()]
    for number, path in enumerate(chosen):
        damage(run / path, list(WAYS)[number % len(WAYS)])
    done = runs.finished(run)
    if done.returncode:
        return done.stderr[-1500:]
    # The report and the parameters are written anew by every `alnet reproduce`.
    anew = [path for path in chosen if path.startswith("report/") or path in ("parameters.yaml", "plan.json")]
    unnamed = [path for path in chosen if path not in done.stderr and path not in anew]
    wrong = [*(f"{path} was not named" for path in unnamed), *runs.differences(run, base)]
    wrong += [f"{one.path} is {one.what}" for one in examination.examine(run, full=True).findings]
    return "; ".join(wrong[:10])


def campaign(work: Path, seed: int, *, few: bool = False) -> list[Tally]:
    """Damage copies of one finished run."""
    base, run = runs.base(work), work / "damaged"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(base, run)
    looked = Tally("artefacts truncated, emptied, zeroed, flipped: named at the next start")
    verified = Tally("a bit flipped under the same size and time: named by `alnet verify`")
    read = Tally("a bit flipped under the same size and time: named by what reads the file in full")
    again = Tally("one artefact of every kind damaged at once: made again, the same results")
    for paths in kinds(run).values():
        for path in paths[:OF_A_KIND]:
            for way in WAYS:
                looked.attempt(f"{path} {way}", lambda path=path, way=way: _looked_at(run, path, way, keep_time=False))
            verified.attempt(path, lambda path=path: _looked_at(run, path, "flipped", keep_time=True))
    for path, reader in _readers(run).items():
        read.attempt(path, lambda path=path, reader=reader: _read(run, path, reader))
    lines = [looked, verified, read]
    if not few:
        number = len(kinds(run))
        again.attempt(f"{number} kinds", lambda: _made_again(run, base))
        lines.append(again)
    return lines
