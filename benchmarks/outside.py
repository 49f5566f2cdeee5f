"""What lies outside, as `alnet diagnose` says it: `python benchmarks/outside.py --run RUN --jhu DIR --pbc DIR`.

On the finished run of a model, the share of smears that lie beyond the limit which the model's own testing smears set
(`alnet_lib.diagnosis.outside`), of: those testing smears, each patient's judged by what the others set; the run's
external smears; smears drawn afresh with another seed; patients of Johns Hopkins; cells of healthy donors (PBC, 20 of a
class together, for it names no patient); and pictures of no cell, ten together. Writes
benchmarks/results/outside.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.synthetic import twin
from alnet_lib.core.files import write_json
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis import outside
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.model import ALNet
from alnet_lib.imaging.decoding import ImageError, decode, resize
from alnet_lib.statistics.intervals import proportion
from alnet_lib.training.inference import features
from alnet_lib.training.options import Options

RESULTS = Path(__file__).parent / "results" / "outside.json"
SEED, FRACTION, SMEARS, CELLS, GROUPS, TOGETHER = 777, 0.16, 60, 20, 20, 10
OPTIONS = Options(iterations=1, batch_size=1, lr_min=1, lr_max=1)

Picture = Callable[[np.random.Generator, int], np.ndarray]


def noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Every channel of every pixel at random."""
    return rng.integers(0, 256, (side, side, 3))


def plain(rng: np.random.Generator, side: int) -> np.ndarray:
    """One colour."""
    return np.full((side, side, 3), rng.integers(0, 256, 3))


def background(rng: np.random.Generator, side: int) -> np.ndarray:
    """The light ground of a smear, with the noise of a camera."""
    return np.array([225, 215, 225]) + rng.normal(0, 3, (side, side, 3))


def landscape(rng: np.random.Generator, side: int) -> np.ndarray:
    """A sky over a meadow."""
    sky = np.array([110, 160, 230]) + np.linspace(0, 60, side)[:, None, None] * np.ones((1, side, 3))
    meadow = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 3)[..., None] * 60 + np.array([60, 120, 50])
    below = np.arange(side)[:, None, None] > side * rng.uniform(0.3, 0.7)
    return np.where(below, meadow, sky) + rng.normal(0, 4, (side, side, 3))


def rectangles(rng: np.random.Generator, side: int) -> np.ndarray:
    """Twelve rectangles of any colour."""
    picture = np.full((side, side, 3), rng.integers(0, 256, 3)).astype(np.uint8)
    for _ in range(12):
        first, last, colour = (tuple(map(int, rng.integers(0, top, n))) for top, n in ((side, 2), (side, 2), (256, 3)))
        cv2.rectangle(picture, first, last, colour, -1)
    return picture


NO_CELLS: dict[str, Picture] = {one.__name__: one for one in (noise, plain, background, landscape, rectangles)}


def no_cells(side: int) -> Iterator[tuple[str, list[str], np.ndarray]]:
    """Name, groups and pictures, uint8 (n, side, side, 3), of each kind of picture without a cell."""
    groups = [str(i) for i in range(GROUPS) for _ in range(TOGETHER)]
    for name, picture in NO_CELLS.items():
        rng = np.random.default_rng([SEED, len(name)])
        drawn = [picture(rng, side).clip(0, 255).astype(np.uint8) for _ in groups]
        yield f"no cell: {name}", groups, np.stack(drawn)


def fresh(seen: Callable[[np.ndarray], np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Testing smears of the synthetic cohort, drawn with another seed."""
    manifest = twin.manifest_of(FRACTION, SEED)
    own = manifest[manifest["split"].eq("test")]
    own = own[own["smear_id"].isin(own["smear_id"].unique()[:SMEARS])]
    return own["smear_id"].tolist(), np.stack([seen(twin.draw(row, SEED)) for row in own.to_dict("records")])


def files(
    paths: pd.Series, groups: pd.Series, seen: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[str], np.ndarray]:
    """Pictures of files, without those that cannot be read."""
    names, pictures = [], []
    for path, group in zip(paths, groups, strict=True):
        try:
            pictures.append(seen(decode(Path(path), allow_truncated=True)))
        except ImageError:
            continue
        names.append(group)
    return names, np.stack(pictures)


def jhu(folder: Path, seen: Callable[[np.ndarray], np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Up to CELLS of the immature cells of SMEARS patients."""
    cohort = SOURCES["jhu_apl"].read(folder, seed=SEED)
    about = cohort.manifest.assign(file=cohort.files)
    about = about[eligible(about)].sample(frac=1, random_state=SEED).groupby("smear_id").head(CELLS)
    about = about[about["smear_id"].isin(sorted(about["smear_id"].unique())[:SMEARS])]
    return files(about["file"], about["smear_id"], seen)


def pbc(folder: Path, seen: Callable[[np.ndarray], np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Groups of CELLS of one class."""
    cohort = SOURCES["pbc_normal_dib"].read(folder, seed=SEED)
    about = cohort.manifest.assign(file=cohort.files).sample(frac=1, random_state=SEED)
    number = about.groupby("cell_type").cumcount()
    about = about.assign(group=about["cell_type"] + (number // CELLS).astype(str))[number < SMEARS // 2 * CELLS]
    return files(about["file"], about["group"], seen)


def row(name: str, far: list[bool], patients: list[str], ratios: list[float]) -> dict[str, object]:
    """One line of the results."""
    found = proportion(np.array(far), pd.DataFrame({"patient_id": patients}))
    about = {"cells": name, "smears": len(far), "outside": int(np.sum(far)), "share": round(100 * found.estimate, 1)}
    ends = {"low": round(100 * found.low, 1), "high": round(100 * found.high, 1)} if found.given else {}
    return about | ends | {"median distance / limit": round(float(np.median(ratios)), 2)}


def judged(name: str, held: outside.HeldOut, values: np.ndarray, groups: list[str]) -> dict[str, object]:
    """The line of smears that have no part in the limit."""
    found = {group: held.distance(values[rows]) for group, rows in pd.Series(groups).groupby(groups).indices.items()}
    ratios = [one.distance / one.threshold for one in found.values()]
    return row(name, [one.outside for one in found.values()], list(found), ratios)


def own(values: np.ndarray, about: pd.DataFrame, parts: int = 10) -> dict[str, object]:
    """The line of the testing smears: those of a tenth of the patients, judged by what the others set."""
    rng = np.random.default_rng(SEED)
    patients = rng.permutation(about["patient_id"].unique())
    far, who, ratios = [], [], []
    for part in range(parts):
        left = about["patient_id"].isin(patients[part::parts]).to_numpy()
        held = outside.held_out(values[~left], about[~left], rng)
        for smear, rows in about[left].groupby("smear_id").indices.items():
            found = held.distance(values[left][rows])
            far.append(found.outside)
            who.append(about.loc[about["smear_id"].eq(smear), "patient_id"].iloc[0])
            ratios.append(found.distance / found.threshold)
    return row("own testing smears", far, who, ratios)


def main(given: argparse.Namespace) -> None:
    """Measure and write."""
    model = ALNet.load(given.run, device="cpu")
    network, crop = model.networks["module_1"], model.settings["crop"]
    side = network.input_size

    def seen(picture: np.ndarray) -> np.ndarray:
        return resize(picture, side, crop=crop)

    def embedded(pictures: np.ndarray) -> np.ndarray:
        return features(network, pictures, np.arange(len(pictures)), OPTIONS)

    manifest = pd.read_parquet(given.run / "cohort" / "manifest.parquet")
    rng = np.random.default_rng(SEED)
    values = {}
    for split in ("test", "external"):
        about = manifest[manifest["split"].eq(split)].reset_index(drop=True)
        pictures = np.stack([seen(decode(given.run / "cohort" / path)) for path in about["path"]])
        values[split] = embedded(pictures), about
    held = outside.held_out(*values["test"], rng)
    if isinstance(held, Unavailable):
        raise SystemExit(held.reason)
    rows = [own(*values["test"])]
    found, about = values["external"]
    rows.append(judged("external smears of the run", held, found, about["smear_id"].tolist()))
    sets = {"drawn afresh, another seed": fresh(seen)}
    sets |= {"Johns Hopkins, patients": jhu(given.jhu, seen)} if given.jhu else {}
    sets |= {"PBC, healthy, 20 of a class": pbc(given.pbc, seen)} if given.pbc else {}
    sets |= {name: (groups, pictures) for name, groups, pictures in no_cells(side)}
    rows += [judged(name, held, embedded(pictures), groups) for name, (groups, pictures) in sets.items()]
    print(pd.DataFrame(rows).to_string(index=False))
    about_model = {"backbone": network.name, "cohort": model.origin.cohort, "profile": model.origin.profile}
    content = {"date": date.today().isoformat(), "model": about_model, "false_alarms": held.false_alarms}
    content |= {"patients": held.patients, "smears": len(held.smears), "components": held.components.shape[1]}
    write_json(given.out, content | {"rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run of the synthetic cohort")
    parser.add_argument("--jhu", type=Path, help="folder of the JHU data")
    parser.add_argument("--pbc", type=Path, help="folder of the PBC data")
    parser.add_argument("--out", type=Path, default=RESULTS)
    main(parser.parse_args())
