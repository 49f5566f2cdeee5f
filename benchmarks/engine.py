"""The training engine beside the plain recipe: `python benchmarks/engine.py RUN [--size 64] [--backbone vgg16]`.

RUN is a run directory with a cohort (notebook 01 has run). The plain recipe is what a user would write: torchvision's
ImageFolder, transforms, a DataLoader with workers, a float32 loop, for each number of fine-tuned blocks anew. Ours
decodes the pixels once, augments in batches, and computes the maps of frozen blocks once. Both train one network with 5
to 1 fine-tuned blocks, with the same numbers of iterations and images. Every part runs in a process of its own, so that
peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import write_json
from alnet_lib.core.resources import cores
from alnet_lib.diagnosis.tasks import TASKS
from alnet_lib.imaging import augmentation
from alnet_lib.imaging.decoding import picture, resize
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Preprocessing
from alnet_lib.training import feature_cache, fitting, inference
from alnet_lib.training.data import Batches, Images
from alnet_lib.training.options import Options
from alnet_lib.workflow.plan.calibration import processor
from alnet_lib.workflow.reproduce import KEEP_MEMORY

CROP = 0.52
FINE_TUNED = (5, 4, 3, 2, 1)
"""Numbers of fine-tuned blocks, in the order in which frozen maps are reused."""


def export(run: Path, folder: Path, count: int) -> None:
    """Link at most `count` training images of the six groups into an ImageFolder tree."""
    cohort = Cohort.load(run / "cohort")
    manifest = cohort.manifest[cohort.manifest["split"].eq("train")]
    names = manifest["cell_type"].map(TASKS["six_classes"].mapping)
    chosen = manifest[names.notna()].sample(count, random_state=0)
    for row in chosen.itertuples():
        target = folder / names[row.Index] / Path(row.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to((cohort.root / row.path).resolve())


def plain(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Measure the plain recipe; see the module's docstring."""
    normalise = Preprocessing()
    steps = [transforms.CenterCrop(int(360 * CROP)), transforms.Resize((given.size, given.size))]
    end = [transforms.ToTensor(), transforms.Normalize(normalise.mean, normalise.std)]
    flips = [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), transforms.RandomRotation((0, 60))]
    dataset = datasets.ImageFolder(str(folder), transforms.Compose([*steps, *flips, *end]))
    still = datasets.ImageFolder(str(folder), transforms.Compose([*steps, *end]))

    def loader(data: datasets.ImageFolder, shuffle: bool) -> DataLoader:
        return DataLoader(data, given.batch, shuffle=shuffle, num_workers=given.workers, drop_last=shuffle)

    began = time.perf_counter()
    seen = sum(len(x) for x, _ in loader(dataset, True))
    result = {"loading, images/s": seen / (time.perf_counter() - began)}
    began = time.perf_counter()
    for blocks in FINE_TUNED:
        network = build(given.backbone, dataset.classes, given.size, seed=1)
        tail = network.parts(blocks)[1]
        network.requires_grad_(False)
        tail.requires_grad_(True)
        optimizer = torch.optim.Adam(tail.parameters(), lr=1e-5)
        start, done = time.perf_counter(), 0
        while done < given.iterations:
            for x, y in loader(dataset, True):
                network.eval()
                tail.train()
                optimizer.zero_grad()
                functional.cross_entropy(network(x), y).backward()
                optimizer.step()
                done += 1
                if done == given.iterations:
                    break
        if blocks == 5:
            result["training, images/s"] = given.iterations * given.batch / (time.perf_counter() - start)
    result["five trainings, s"] = time.perf_counter() - began
    network.eval()
    began = time.perf_counter()
    with torch.inference_mode():
        seen = sum(len(network(x)) for x, _ in loader(still, False))
    result["inference, images/s"] = seen / (time.perf_counter() - began)
    return result


def ours(folder: Path, given: argparse.Namespace, precision: str) -> dict[str, float]:
    """Measure the kit's engine on the same files and settings; decoding counts in `five trainings` and in inference."""
    files = datasets.ImageFolder(str(folder))
    labels = np.array([label for _, label in files.samples])
    began = time.perf_counter()
    side = given.size
    with ThreadPoolExecutor(given.workers) as pool:
        pixels = np.stack(list(pool.map(lambda s: resize(picture(Path(s[0])), side, crop=CROP), files.samples)))
    decoding = time.perf_counter() - began
    data = Images(pixels, np.arange(len(labels)), labels, np.arange(len(labels)), tuple(files.classes))
    plan = augmentation.balancing_plan(labels, 1, np.random.default_rng(0), alike=True)
    options = Options(
        iterations=given.iterations, batch_size=given.batch, lr_min=1e-5, lr_max=1e-5, precision=precision
    )
    order = Batches(data, plan, options)
    epochs = max(len(data) // given.batch, 1)
    began = time.perf_counter()
    for number in range(epochs):
        entries = order(number)
        normalised = Preprocessing()(augmentation.transform(data.batch(plan.source[entries], "cpu"), plan, entries))
    loading = (time.perf_counter() - began) / epochs
    result = {"loading, images/s": len(normalised) / loading, "decoding, images/s": len(data) / decoding}
    began = time.perf_counter()
    start = build(given.backbone, files.classes, side, seed=1).to(memory_format=torch.channels_last)
    maps = feature_cache.FrozenMaps(start, data, plan, options, budget=4e9, folder=folder.parent)
    nothing = data.take(np.empty(0, int))
    for blocks in FINE_TUNED:
        network = build(given.backbone, files.classes, side, seed=1)
        chosen = replace(options, fine_tuned_blocks=blocks)
        fitted = fitting.fit(network, data, plan, nothing, chosen, maps=maps if blocks < 5 else None)
        if blocks == 5:
            result["training, images/s"] = given.iterations * given.batch / fitted.seconds
            result["input, % of a training step"] = 100 * loading * given.iterations / fitted.seconds
    result["five trainings, s"] = time.perf_counter() - began + decoding
    began = time.perf_counter()
    inference.predict(network, data, options)
    result["inference, images/s"] = len(data) / (time.perf_counter() - began + decoding)
    return result


def main() -> None:
    """Measure each part in its own process, print ratios, write benchmarks/results/engine.json and .csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--backbone", default="vgg16")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--part", choices=["plain", "float32", "bf16"], help="only this, as JSON")
    parser.add_argument("--folder", type=Path, help="the ImageFolder tree of --part")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    if given.part:
        result = plain(given.folder, given) if given.part == "plain" else ours(given.folder, given, given.part)
        result["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result))
        return
    columns = {part: _measure(given, part, given.images) for part in ("plain", "float32", "bf16")}
    table = pd.DataFrame(columns)
    for part in ("float32", "bf16"):
        faster = table[part] / table["plain"]
        lower = table.index.str.endswith((", s", "MB"))
        table[f"{part}, ratio"] = faster.where(~lower, 1 / faster)
    sizes = {n: _measure(given, "float32", n) for n in (given.images // 4, given.images // 2, given.images)}
    growth = {n: n / found["inference, images/s"] for n, found in sizes.items()}
    print(table.round(2).to_string())
    print("seconds to decode and classify:", {n: round(s, 2) for n, s in growth.items()})
    given.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.out / "engine.csv")
    settings = {key: value for key, value in vars(given).items() if key not in ("run", "out", "part", "folder")}
    about = {"date": date.today().isoformat(), "system": platform.system(), "cores": cores(), "processor": processor()}
    write_json(
        given.out / "engine.json",
        about
        | {"torch": torch.__version__, "settings": settings, "seconds_by_images": growth}
        | table.astype(object).where(table.notna(), None).to_dict(),
    )


def _measure(given: argparse.Namespace, part: str, count: int) -> dict[str, float]:
    root = Path(tempfile.mkdtemp(prefix="engine-"))
    try:
        export(given.run, root / "tree", count)
        command = [sys.executable, __file__, str(given.run), "--part", part, "--folder", str(root / "tree")]
        for key in ("backbone", "size", "batch", "iterations", "workers"):
            command += [f"--{key}", str(getattr(given, key))]
        # As `alnet reproduce` starts its notebooks; a user's script has the allocator's defaults.
        tunables = {} if part == "plain" else {"GLIBC_TUNABLES": KEEP_MEMORY}
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | tunables).stdout
        return json.loads(out.strip().splitlines()[-1])
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
