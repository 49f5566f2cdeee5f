"""How fast the synthetic cohort is drawn: `python benchmarks/drawing.py [--fraction 1.0] [--out benchmarks/results]`.

Draws the cohort at several sizes and numbers of workers into a temporary folder and prints images a second, the largest
memory of the process and of a worker, and how both grow. The lower bound is one worker's seconds per image times the
images, divided by the workers.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from datetime import date
from pathlib import Path

import pandas as pd
import psutil

from alnet_lib.cohorts import building
from alnet_lib.core.files import write_json
from alnet_lib.core.resources import cores


class Memory:
    """Largest resident memory of this process and its children together, sampled four times a second."""

    def __init__(self) -> None:
        import threading

        self.peak, self.stop = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        own = psutil.Process()
        while not self.stop.wait(0.25):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)

    def __enter__(self) -> Memory:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def measure(fraction: float, workers: int) -> dict[str, float]:
    """Seconds, images a second and peak memory in MB of one build, images validated and all."""
    with tempfile.TemporaryDirectory() as folder, Memory() as memory:
        began = time.perf_counter()
        cohort = building.build("synthetic", Path(folder), fraction=fraction, workers=workers)
        seconds = time.perf_counter() - began
    images = len(cohort.manifest)
    return {
        "cohort fraction": fraction, "workers": workers, "images": images, "seconds": round(seconds, 1),
        "images a second": round(images / seconds, 1), "peak memory, MB": round(memory.peak / 2**20),
    }  # fmt: skip


def main() -> None:
    """Measure and write drawing.csv and drawing.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fraction", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    whole = given.fraction
    plan = [(whole / 50, 1), (whole / 50, cores()), (whole / 10, cores()), (whole, cores())]
    measure(0.002, cores())  # imports and warm caches are not what is measured
    table = pd.DataFrame([measure(*step) for step in plan])
    print(table.to_string(index=False))
    given.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.out / "drawing.csv", index=False)
    machine = {"machine": platform.machine(), "system": platform.system(), "cores": cores(), "date": str(date.today())}
    write_json(given.out / "drawing.json", machine | {"rows": table.to_dict("records")})


if __name__ == "__main__":
    main()
