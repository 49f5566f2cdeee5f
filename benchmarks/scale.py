"""The kit at 10 thousand, 100 thousand and 1 million cells: `python benchmarks/scale.py [--cells 10000 100000]`.

Every step from the manifest to the report runs in a process of its own, forked with the libraries imported, one after
the other, on a cohort that is made up: smears of 33 cells, as in the paper, two smears a patient; pixels of noise at 32
pixels a side; predictions drawn at random around the label. Image files are read at the sizes up to MOST_FILES only: a
million of them would take longer than all other steps together.

For each step the result has wall and processor seconds, the peak of the memory that is the process's own (`peak`, in
MB, about 480 of them for the libraries) and of all that it had mapped (`mapped`: with pages of files, which the system
takes back when it needs them), and the slope: the logarithm of the ratio of processor seconds over that of cells. It
is 1 where ten times the cells take ten times as long, and 1.1 for n log n.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from alnet_lib.cohorts import building
from alnet_lib.cohorts.validation import validate
from alnet_lib.core.files import write_json
from alnet_lib.core.resources import cores
from alnet_lib.core.vocabulary import CELL_TYPES, MODULE_1_CLASSES, MODULE_2_CLASSES, USUAL_DIAGNOSIS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, MODULES
from alnet_lib.evaluation import apl, calibration, cell_level, clinical_utility, external, smear_level
from alnet_lib.evaluation.audit import composition, images, shortcuts
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.report.gallery import contents
from alnet_lib.report.rendering import render
from alnet_lib.workflow.run import Run
from alnet_lib.workflow.staleness import data_fingerprint

SIDE = 32
"""Pixels of an image."""

MOST_FILES = 100_000
"""Cells up to which there are image files."""

CELLS_OF_A_SMEAR, SMEARS_OF_A_PATIENT = 33, 2

NEAR = 0.001
"""Share of the images that are nearly the same as another."""

STEPS: dict[str, Callable[[Path], object]] = {}
"""Name of a step -> what it does in a work folder, in the order of a run."""


FILES: set[str] = set()
"""Steps that read image files."""


def step(name: str, *, files: bool = False) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """Register what is done in a work folder under its name."""

    def register(function: Callable[[Path], object]) -> Callable[[Path], object]:
        STEPS[name] = function
        FILES.update([name] if files else [])
        return function

    return register


def noise(count: int, side: int, seed: int) -> np.ndarray:
    """Pictures of noise, uint8 (count, side, side, 3), that differ like cells do: in their coarse structure."""
    coarse = np.random.default_rng(seed).integers(60, 255, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse])


def make_up(folder: Path, cells: int) -> None:
    """Write a manifest, its files, and the pixels that the audit looks at; this is not measured."""
    rng = np.random.default_rng(cells)
    smears = math.ceil(cells / CELLS_OF_A_SMEAR)
    smear = np.arange(cells) // CELLS_OF_A_SMEAR
    kind = rng.integers(0, len(CELL_TYPES), smears)[smear]
    # Smears hold other cells as well, so that votes are not all the same.
    kind = np.where(rng.random(cells) < 0.1, rng.integers(0, len(CELL_TYPES), cells), kind)
    split = rng.choice(["train", "test", "external"], smears, p=[0.6, 0.25, 0.15])[smear]
    names = np.array(CELL_TYPES, dtype=object)
    first = names[kind[np.unique(smear, return_index=True)[1]]]
    hospital = np.where(split == "external", rng.choice(["north", "south"], smears)[smear], "home")
    manifest = pd.DataFrame(
        {
            "image_id": [f"cell-{i:07d}" for i in range(cells)],
            "path": [f"images/{i // 1000:03d}/{i:06d}.png" for i in range(cells)],
            "cell_type": names[kind],
            "smear_id": [f"smear-{i:06d}" for i in smear],
            "patient_id": [f"patient-{i // SMEARS_OF_A_PATIENT:06d}" for i in smear],
            "site": hospital,
            "diagnosis": pd.Series(first).map(USUAL_DIAGNOSIS).to_numpy()[smear],
            "subtype": "",
            "split": split,
        }
    )
    manifest.to_csv(folder / "manifest.csv", index=False)
    pixels = np.lib.format.open_memmap(folder / "noise.npy", "w+", np.uint8, (cells, SIDE, SIDE, 3))
    for begin in range(0, cells, 10_000):
        count = min(10_000, cells - begin)
        pixels[begin : begin + count] = noise(count, SIDE, begin)
        again = rng.integers(0, count, int(NEAR * count))
        if cells <= MOST_FILES:
            for name, picture in zip(manifest["path"][begin : begin + count], pixels[begin:], strict=False):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        pixels[begin + again] = pixels[begin + rng.integers(0, count, len(again))]


def _run(folder: Path, notebook: str) -> Run:
    return Run.open(notebook, cohort="folder", profile="smoke", data=str(folder), run_dir=str(folder / "run"))


@step("fingerprint of the data", files=True)
def _fingerprint(folder: Path) -> object:
    return data_fingerprint("folder", str(folder))


@step("manifest read")
def _read(folder: Path) -> object:
    return len(building.read("folder", folder).manifest)


@step("manifest read, checked and written")
def _check(folder: Path) -> object:
    run = _run(folder, "01_data_audit")
    cohort = building.read("folder", folder)
    problems = validate(cohort, check_images=False)
    cohort.save(run.dir / "cohort")
    run.begin(cohort)
    return len(problems)


@step("images checked", files=True)
def _images(folder: Path) -> object:
    return len(validate(building.read("folder", folder)))


@step("cohort loaded")
def _load(folder: Path) -> object:
    cohort = _run(folder, "01_data_audit").cohort()
    return len(cohort.files), len(cohort.crops), cohort.content_hash


@step("pixels decoded", files=True)
def _pixels(folder: Path) -> object:
    run = _run(folder, "01_data_audit")
    cohort = run.cohort()
    return pixel_array(
        cohort.files, cohort.crops, SIDE, cache=run.dir / "pixels", content_hash=cohort.content_hash
    ).shape


@step("audit: composition")
def _audit_tables(folder: Path) -> object:
    run = _run(folder, "01_data_audit")
    cohort = run.cohort()
    run.table("table_01", composition.table_1(cohort), "")
    run.table("table_02", composition.table_2(cohort), "")
    run.table("table_06", composition.table_6(cohort, run.profile), "")
    run.table("extra_table_sizes", composition.smear_sizes(cohort), "", title="Sizes of smears")
    run.table("extra_table_both_sides", composition.both_sides(cohort), "", title="Both sides")
    return composition.overview(cohort)


def _noise(folder: Path) -> np.ndarray:
    return np.load(folder / "noise.npy", mmap_mode="r")


@step("audit: near-duplicates")
def _audit_duplicates(folder: Path) -> object:
    run = _run(folder, "01_data_audit")
    pairs = images.near_duplicates(run.cohort().manifest, _noise(folder))
    run.table("extra_table_near_duplicates", pairs, "", title="Near-duplicates", index=False)
    return pairs.facts


@step("audit: examples, colour, shortcut baselines")
def _audit_images(folder: Path) -> object:
    run = _run(folder, "01_data_audit")
    manifest, pictures = run.cohort().manifest, _noise(folder)
    images.examples(manifest, pictures, run.generator("examples"))
    optics = images.colour_and_sharpness(manifest, pictures, rng=run.generator("colour"))
    run.table("extra_table_sites", optics, "", title="Colour and sharpness by site")
    alone = shortcuts.measure(manifest, pictures, run.generator("confounds"))
    run.table("extra_table_confounds", alone, "", title="Shortcut baselines", index=False)
    return run.finish()


def _random_predictions(manifest: pd.DataFrame) -> pd.DataFrame:
    """Predictions at random: the label in most cells, with the confidence of a network."""
    rng = np.random.default_rng(0)
    cells = manifest.copy()
    cells["validation"] = cells["split"].eq("train").to_numpy() & (rng.random(len(cells)) < 0.2)
    cells["eligible"] = eligible(cells)
    for spec, classes in zip(MODULES, (MODULE_1_CLASSES, MODULE_2_CLASSES), strict=True):
        label = spec.reference(cells).map({name: i for i, name in enumerate(classes)})
        chance = rng.integers(0, len(classes), len(cells))
        label = label.where(label.notna() & (rng.random(len(cells)) < 0.85), chance).to_numpy(int)
        scores = rng.standard_normal((len(cells), len(classes)), np.float32)
        scores[np.arange(len(cells)), label] += 3
        power = np.exp(scores)
        cells[spec.columns] = power / power.sum(1, keepdims=True)
    return cells


@step("predictions checked, written, and read")
def _predictions(folder: Path) -> object:
    run = _run(folder, "03_alnet_training")
    cells = _random_predictions(run.cohort().manifest)
    run.save_predictions(cells)
    run.save_cross_fitted(cells[cells["split"].eq("train")])
    return len(run.predictions()), len(run.cross_fitted())


@step("cell level")
def _cell_level(folder: Path) -> object:
    run = _run(folder, "03_alnet_training")
    cells = run.predictions()
    one, two = (cell_level.judge(cells, spec) for spec in (MODULE_1, MODULE_2))
    run.table("table_07a", cell_level.table_7(one), "")
    run.table("table_07b", cell_level.table_7(two), "")
    run.table("table_08", cell_level.table_8(one, two), "", index=False)
    run.table("extra_table_accuracy", cell_level.overall_accuracy(one, two), "", title="Accuracy", index=False)
    run.table("table_11", cell_level.table_11(cells), "")
    return run.finish()


@step("smear level")
def _smear_level(folder: Path) -> object:
    run = _run(folder, "04_smear_roc")
    cells, rule = run.predictions(), MajorityAboveThreshold(0.5)
    train, test = (smear_level.votes_of(smear_level.voting_cells(cells, split), rule) for split in ("train", "test"))
    roc = smear_level.figure_4(train)
    run.table("extra_table_roc", roc, "", title="ROC", index=False)
    run.table("table_09a", smear_level.table_9a(test), "")
    run.table("table_09b", smear_level.table_9b(test, cells), "")
    run.table("extra_table_end_to_end", smear_level.end_to_end(test), "", title="End to end")
    train.to_parquet(folder / "train_votes.parquet")
    test.to_parquet(folder / "test_votes.parquet")
    return roc.facts["auc"]


@step("bootstrap interval of the threshold")
def _threshold(folder: Path) -> object:
    run = _run(folder, "04_smear_roc")
    votes = pd.read_parquet(folder / "train_votes.parquet")
    found = clinical_utility.threshold_stability(votes, replicates=200, rng=run.generator("threshold"))
    run.table("extra_table_threshold", found, "", title="Stability of the threshold", index=False)
    return found.facts["median"]


@step("clinical utility")
def _utility(folder: Path) -> object:
    run = _run(folder, "04_smear_roc")
    test, rule = smear_level.voting_cells(run.predictions(), "test"), MajorityAboveThreshold(0.5)
    votes, train = (pd.read_parquet(folder / f"{name}_votes.parquet") for name in ("test", "train"))
    run.table("extra_table_coverage", clinical_utility.coverage(test), "", title="Coverage", index=False)
    needed = clinical_utility.cells_needed(test, rule, run.generator("cells needed"))
    run.table("extra_table_cells_needed", needed, "", title="Cells needed", index=False)
    benefit = clinical_utility.apl_benefit(votes, train, train)
    run.table("extra_table_decision", benefit, "", title="Net benefit", index=False)
    return needed.facts


@step("calibration")
def _calibrated(folder: Path) -> object:
    run = _run(folder, "04_smear_roc")
    found = calibration.calibrate(run.predictions(), run.cross_fitted())
    run.table("extra_table_calibration", found, "", title="Calibration", index=False)
    run.finish()
    return found.facts["temperature"]


@step("external cells and smears, APL per patient")
def _external(folder: Path) -> object:
    run = _run(folder, "05_external_validation")
    cells = run.predictions()
    votes = smear_level.votes_of(smear_level.voting_cells(cells, "external"), MajorityAboveThreshold(0.5))
    run.table("extra_table_external_cells", external.external_cells(cells), "", title="Cells", index=False)
    run.table("extra_table_external_smears", external.external_smears(votes, cells), "", title="Smears")
    run.table("extra_table_external_sites", smear_level.by_site(votes), "", title="Sites", index=False)
    curves = apl.curves(apl.scores(cells), "external")
    run.table("extra_table_apl_external", curves, "", title="APL", index=False)
    return run.finish()


@step("gallery of the report", files=True)
def _gallery(folder: Path) -> object:
    shown = contents.contents(folder / "run", folder / "run" / "report")
    return shown and (len(shown["smears"]), shown["cells"])


@step("results.json and the report's pages")
def _report(folder: Path) -> object:
    return render(folder / "run").stat().st_size


class _Memory:
    """Peak of the memory that is this process's own, in MB, looked at while the block runs."""

    def __enter__(self) -> _Memory:
        self.peak, self.over = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _loop(self) -> None:
        while not self.over.wait(0.02):
            self._look()
        self._look()

    def _look(self) -> None:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        own = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))]
        self.peak = max(self.peak, sum(own) / 1024)


def measured(folder: Path, name: str, to: Connection) -> None:
    """One step in this process."""
    began, before = time.perf_counter(), _processor_seconds()
    with _Memory() as memory:
        said = STEPS[name](folder)
    to.send(
        {
            "wall": round(time.perf_counter() - began, 2),
            "processor": round(_processor_seconds() - before, 2),
            "peak": round(memory.peak),
            "mapped": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "said": str(said)[:60],
        }
    )


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def at(cells: int, chosen: list[str], limit: float, where: Path | None) -> dict[str, dict[str, object]]:
    """Every step at one size, each in a process of its own, until the limit of seconds is over."""
    folder = Path(tempfile.mkdtemp(prefix=f"scale-{cells}-", dir=where))
    end, context = time.monotonic() + limit, multiprocessing.get_context("fork")
    try:
        make_up(folder, cells)
        found: dict[str, dict[str, object]] = {}
        for name in chosen if cells <= MOST_FILES else [name for name in chosen if name not in FILES]:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=measured, args=(folder, name, theirs))
            process.start()
            theirs.close()
            process.join(max(end - time.monotonic(), 0))
            if process.is_alive():
                process.kill()
                process.join()
                found[name] = {"stopped": f"after {limit:.0f} s for all steps"}
            else:
                found[name] = ours.recv() if process.exitcode == 0 else {"stopped": f"it ended with {process.exitcode}"}
            shown = "  ".join(str(value)[:60] for value in found[name].values())
            print(f"{cells:>9,}  {name:52}{shown}", flush=True)
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def slope(found: dict[str, dict[str, dict[str, object]]], name: str) -> float | None:
    """Logarithm of the ratio of processor seconds over that of the cells, of the two largest sizes measured."""
    sizes = [int(size) for size in found if "processor" in found[size].get(name, {})][-2:]
    if len(sizes) < 2:
        return None
    less, more = (max(float(found[str(size)][name]["processor"]), 0.01) for size in sizes)
    return round(math.log(more / less) / math.log(sizes[1] / sizes[0]), 2)


def main() -> None:
    """Measure the sizes asked for, and write benchmarks/results/scale.json; other sizes in it stay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", nargs="+", choices=[*STEPS], default=[*STEPS], metavar="STEP")
    parser.add_argument("--limit", type=float, default=900, help="seconds for a size, its making included")
    parser.add_argument("--work", type=Path, help="folder for what is made up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="a folder")
    given = parser.parse_args()
    file = given.out / "scale.json"
    before = json.loads(file.read_text(encoding="utf-8"))["sizes"] if file.is_file() else {}
    found = before | {str(cells): at(cells, given.steps, given.limit, given.work) for cells in given.cells}
    found = {size: found[size] for size in sorted(found, key=int)}
    slopes = {name: slope(found, name) for name in STEPS}
    about = {"date": date.today().isoformat(), "system": platform.system(), "cores": cores(), "side": SIDE}
    write_json(file, about | {"sizes": found, "slope": slopes})


if __name__ == "__main__":
    main()
