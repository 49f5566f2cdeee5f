"""The kit on one card: `python benchmarks/gpu.py [--limit 570]`; without a card it measures the processor.

First the networks: for each, in each precision and memory layout, images a second of training and of prediction by the
kit (`training.fitting`, `training.inference`) and by a plain loop on the same device in the same process. The plain
loop has tensors of float32 in the host's memory, as an ImageFolder would give them, takes them to the device batch by
batch, goes forward and back through the same network (its library's blocks, the paper's head) with torch's own Adam,
and looks at each loss. The kit begins with pixels of 8 bits, and turns and normalises them on the device. Beside both
stands the rate of a large matrix product in the same precision, measured in the same process, and the share of it that
the kit reaches, a backward pass counted as two forward passes. A processor's rates are by its own seconds, so that
other programs count less.

Then Table 3 at a tenth of the iterations, predicted by `alnet_lib.workflow.plan` and measured unit by unit, on the
manifest of the synthetic cohort with pixels at random. The whole follows from what was measured: the seconds of the
iterations, as many times as there are iterations, and the rest (predictions, starts) as it is; for folds that were left
out the mean of the network's others. This is more than the whole takes, since maps of frozen blocks are made in the
first iteration and do not grow as the iterations do. `--draw` draws the cohort too and puts it on the device.

What does not fit into the limit is left out and named. Result: benchmarks/results/gpu.json; `python
benchmarks/readme.py` writes its table.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alnet_lib.cohorts import building
from alnet_lib.core.files import write_json
from alnet_lib.core.profile import HOLD_OUT, Profile
from alnet_lib.core.resources import cores
from alnet_lib.experiments import backbone_comparison
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging import augmentation
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Network
from alnet_lib.networks.starts import files
from alnet_lib.training import device as devices
from alnet_lib.training import fitting, inference, memory
from alnet_lib.training.data import Images
from alnet_lib.training.options import Options
from alnet_lib.workflow.plan import calibration, counting, planning, work

PAPER = Profile.load("paper")
NETWORKS = [*PAPER.comparison.backbones[:1], PAPER.module_2.backbone, *PAPER.comparison.backbones[1:]]
CLASSES = counting.CLASSES

RATE = 1e-9
"""Learning rate: nothing is to be learnt from random numbers."""

WARM = 2
"""Steps before those that are timed: libraries choose their algorithms in them."""

FOR_NETWORKS = 0.5
"""Share of the limit that the networks may take; Table 3 has the rest."""

SLACK = 1.3
"""What is predicted to take longer than the time left, divided by this, is not begun."""


def pictures(count: int, size: int) -> Images:
    """Images of random pixels with labels in turn."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    rows = np.arange(count)
    return Images(pixels, rows, rows % len(CLASSES), rows, CLASSES)


def clock(kind: str) -> float:
    """Seconds, once a card has done everything; on a processor its own of each thread: others may be at work."""
    if kind == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


class Peak:
    """Largest memory in use: of the tensors on a card, or of this process on a processor, where Linux tells."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def gigabytes(self) -> float:
        """Since this was made."""
        if self.kind == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        with suppress(OSError, StopIteration):
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e9
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def a_second(step: Callable[[], object], kind: str, seconds: float) -> float:
    """How often a second something is done, after `WARM` times that do not count."""
    for _ in range(WARM):
        step()
    began, until, done = clock(kind), time.perf_counter() + seconds, 0
    while not done or time.perf_counter() < until:
        step()
        done += 1
    return done / (clock(kind) - began)


def kit_training(network: Network, images: Images, options: Options, seconds: float) -> float:
    """Images a second of `fitting.fit`, from pixels to the step of the optimiser."""
    plan = augmentation.balancing_plan(images.labels, len(images), np.random.default_rng(0))

    def timed(iterations: int) -> float:
        ticks: list[float] = []

        def tick(done: int, _: int) -> None:
            if done in (WARM, iterations):
                ticks.append(clock(options.device))

        asked = replace(options, iterations=iterations)
        fitting.fit(network, images, plan, images.take(np.empty(0, int)), asked, progress=tick)
        return (ticks[1] - ticks[0]) / (iterations - WARM)

    one = timed(WARM + 1)
    # A loss is read every so many iterations only, which a short training would not show.
    return options.batch_size / timed(WARM + max(round(seconds / one), 1))


class Plain:
    """The loop that a user would write."""

    def __init__(self, network: Network, images: Images, options: Options, form: torch.memory_format) -> None:
        self.options, self.form, self.device = options, form, torch.device(options.device)
        self.network = nn.Sequential(*network.blocks, network.head).to(self.device, memory_format=form)
        self.network.requires_grad_(True)
        self.x = network.preprocessing(images.batch(np.arange(len(images)), "cpu")).contiguous()
        self.y = torch.from_numpy(images.labels)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE)
        self.position = 0

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The next images and labels, on the device."""
        index = slice(self.position, self.position + size)
        self.position = (self.position + size) % (len(self.x) - size + 1)
        return self.x[index].to(self.device, memory_format=self.form), self.y[index].to(self.device)

    def step(self) -> float:
        """Train on one batch."""
        x, y = self.batch(self.options.batch_size)
        self.network.train()
        self.optimizer.zero_grad()
        with devices.autocast(self.options.device, self.options.precision):
            loss = functional.cross_entropy(self.network(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self, size: int) -> Tensor:
        """Predict one batch."""
        self.network.eval()
        x, _ = self.batch(size)
        with torch.inference_mode(), devices.autocast(self.options.device, self.options.precision):
            return self.network(x).float().softmax(1).cpu()


def tried(measure: Callable[[], float], kind: str) -> tuple[float | None, float | None]:
    """A rate and the peak of memory in GB; nothing where memory ran out."""
    peak, failed = Peak(kind), False
    try:
        return measure(), peak.gigabytes()
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, memory.TooLittleMemory) or memory.ran_out(error)):
            raise
        failed = True
    if failed:
        memory.release()
    return None, None


def rows(name: str, given: argparse.Namespace, until: float) -> Iterator[dict]:
    """One network in every precision and layout: a row each, or what was left out.

    Parameters
    ----------
    name : str
        Of the network.
    given : Namespace
        Arguments.
    until : float
        `time.time` at which the last row should have ended.
    """
    kind, images = given.device, pictures(given.images, given.size)
    devices.use_tensor_cores(kind)
    flops = sum(counting.count(name, given.size).flops)
    network, longest = build(name, CLASSES, given.size, seed=1), 0.0
    some = images.take(np.arange(min(len(images), given.predicted)))
    for precision in given.precisions:
        options = Options(1, given.batch, RATE, RATE, precision=precision, device=kind, label=name)
        product, size = calibration.product(kind, precision)
        roof = size * a_second(product, kind, given.seconds)
        chosen = devices.layout(network, torch.device(kind), precision)
        for form in given.layouts:
            row = {"network": name, "precision": precision, "layout": form}
            if time.time() + longest > until:
                yield {"left_out": f"{name}, {precision}, {form}"}
                continue
            began = time.time()
            for what, cost in (("training", 1 + counting.BACKWARD), ("prediction", 1)):
                with devices.fixed_layout(form):
                    kit = tried(partial(_kit, what, network, images, some, options, given.seconds), kind)
                plain = tried(partial(_plain, what, network, images, some, options, form, given.seconds), kind)
                row[what] = {
                    "kit": kit[0], "plain": plain[0], "kit_memory_gb": kit[1], "plain_memory_gb": plain[1],
                    "share_of_matmul": kit[0] and kit[0] * flops * cost / roof,
                }  # fmt: skip
            longest = max(longest, time.time() - began)
            yield row | {"matmul": roof, "flops_of_an_image": flops, "the_kit_chooses": chosen}


def _kit(what: str, network: Network, images: Images, some: Images, options: Options, seconds: float) -> float:
    if what == "training":
        return kit_training(network, images, options, seconds)
    predict = a_second(
        lambda: inference.predict(network, some, options, batch=len(some), notes=[]), options.device, seconds
    )
    return len(some) * predict


def _plain(
    what: str, network: Network, images: Images, some: Images, options: Options, form: str, seconds: float
) -> float:
    loop = Plain(network, images, options, devices.LAYOUTS[form])
    if what == "training":
        return options.batch_size * a_second(loop.step, options.device, seconds)
    return len(some) * a_second(lambda: loop.predict(len(some)), options.device, seconds)


def protocol(given: argparse.Namespace, iterations: int, starts: dict[str, str]) -> Profile:
    """The paper's profile with these networks, this size and so many iterations; Table 3 only."""
    own = PAPER.comparison
    return PAPER.model_copy(
        update={
            "device": given.device, "precision": given.precision, "threads": given.threads, "image_size": given.size,
            "cohort_fraction": given.fraction, "start": starts | {"default": "random"},
            "comparison": own.model_copy(
                update={
                    "backbones": tuple(given.networks), "iterations": {"default": iterations},
                    "batch_size": given.batch, "validation_by_patient": False, "range_test": 0, "units": True,
                }
            ),
        }
    )  # fmt: skip


def units(profile: Profile) -> list[tuple[str, str]]:
    """Networks and evaluations, one fold of every network first."""
    hold_out, first, *others = profile.comparison.evaluations
    return [(name, under) for under in (first, hold_out, *others) for name in profile.comparison.backbones]


def table_3(given: argparse.Namespace, until: float, folder: Path) -> Iterator[dict]:
    """Units of Table 3, predicted and measured, or what was left out.

    Parameters
    ----------
    given : Namespace
        Arguments.
    until : float
        `time.time` at which the last unit should have ended.
    folder : Path
        For starts and what units leave.
    """
    devices.use_tensor_cores(given.device)
    torch.set_num_threads(given.threads)
    starts = {}
    for name in given.networks:
        # As in the paper's profile every training begins with a file.
        starts[name] = str(folder / f"{name}.safetensors")
        files.write(
            Path(starts[name]), build(name, CLASSES, given.size), sizes=(32, 1024), trained_on="nothing", method="none",
            licence="none", origin="benchmarks/gpu.py",
        )  # fmt: skip
    whole, tenth = (protocol(given, number, starts) for number in (given.whole, given.iterations))
    manifest = building.build(
        "synthetic", folder / "manifest", fraction=given.fraction, seed=PAPER.seed, manifest_only=True
    ).manifest
    pixels = np.random.default_rng(1).integers(0, 256, (len(manifest), given.size, given.size, 3), dtype=np.uint8)
    setup = Setup(CellImages(manifest, pixels, "random"), tenth, folder, given.device, lambda *_: lambda *_: None)
    device = calibration.Device.at_hand(tenth)
    speed = calibration.rates(device, [(name, given.size, given.batch) for name in given.networks], again=True)
    predicted = [_predicted(profile, manifest, speed) for profile in (tenth, whole)]
    slower = 1.0
    for name, under in units(tenth):
        unit = f"{name}-{under}"
        short, long = (seconds[f"comparison/{unit}"] for seconds in predicted)
        if time.time() + SLACK * slower * short > until:
            yield {"left_out": unit, "network": name, "hold_out": under == HOLD_OUT, "predicted_whole": long}
            continue
        began = time.time()
        found = backbone_comparison.train_unit(setup, name, under)
        took = time.time() - began
        slower = max(slower, took / short)
        yield {
            "unit": unit, "network": name, "hold_out": under == HOLD_OUT, "trainings": len(found),
            "predicted": short, "predicted_whole": long, "seconds": took,
            "iterations_seconds": 60 * float(found["training_minutes"].sum()),
            "notes": sorted(set(filter(None, found["notes"]))),
        }  # fmt: skip


def _predicted(profile: Profile, manifest: object, speed: calibration.Rates) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for one in work.of_run(profile, manifest):
        if one.step.startswith("comparison/"):
            own = sum(planning.network_seconds(one, counting.count(one.network, one.size), speed))
            seconds[one.step] = seconds.get(one.step, 0.0) + own
    return seconds


def together(found: list[dict], ratio: float) -> dict:
    """Table 3 from its units.

    Parameters
    ----------
    found : list of dict
        Of `table_3`.
    ratio : float
        Iterations of the whole for each that was done.

    Returns
    -------
    dict
        Units and trainings that were done; seconds predicted and taken by them; of the whole, seconds predicted and,
        where every network has a fold and its hold-out, those that follow from what was measured.
    """
    done = [one for one in found if "unit" in one]
    whole: dict[tuple[str, bool], list[float]] = {}
    for one in done:
        rest = one["seconds"] - one["iterations_seconds"]
        whole.setdefault((one["network"], one["hold_out"]), []).append(ratio * one["iterations_seconds"] + rest)
    kinds = [(one["network"], one["hold_out"]) for one in found]
    known = bool(found) and all(kind in whole for kind in kinds)
    return {
        "networks": sorted({one["network"] for one in found}), "units": len(done), "units_asked": len(found),
        "trainings": sum(one["trainings"] for one in done),
        "predicted": sum(one["predicted"] for one in done), "seconds": sum(one["seconds"] for one in done),
        "predicted_whole": sum(one["predicted_whole"] for one in found),
        "measured_whole": sum(float(np.mean(whole[kind])) for kind in kinds) if known else None,
        "left_out": [one["left_out"] for one in found if "left_out" in one],
        "notes": sorted({note for one in done for note in one["notes"]}),
    }  # fmt: skip


def cohort(given: argparse.Namespace, folder: Path) -> dict:
    """Draw the synthetic cohort, decode it, and put it on the device: seconds and bytes of each."""
    began = time.time()
    drawn = building.build("synthetic", folder, fraction=given.fraction, seed=PAPER.seed)
    at = [time.time()]
    pixels = pixel_array(drawn.files, drawn.crops, given.size, cache=folder, content_hash=drawn.content_hash)
    at.append(time.time())
    rows = np.arange(len(pixels))
    there = Images(pixels, rows, rows % len(CLASSES), rows, CLASSES).on(torch.device(given.device))
    clock(given.device)
    at.append(time.time())
    return {
        "images": len(pixels), "bytes": int(pixels.nbytes), "drawn, s": at[0] - began, "decoded, s": at[1] - at[0],
        "on the device, s": at[2] - at[1], "resident": there.resident is not None,
    }  # fmt: skip


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    given : list of str, optional
        In place of it.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--layouts", nargs="+", default=["NCHW", "NHWC"])
    parser.add_argument("--size", type=int, default=PAPER.image_size, help="pixels a side")
    parser.add_argument("--batch", type=int, default=PAPER.comparison.batch_size, help="images of a training step")
    parser.add_argument("--predicted", type=int, default=PAPER.prediction_batch, help="images of a prediction")
    parser.add_argument("--images", type=int, default=2 * PAPER.prediction_batch, help="images in memory")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--iterations", type=int, default=0, help="of Table 3; default a tenth of the paper's")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the cohort of Table 3")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=min(PAPER.threads, cores()))
    parser.add_argument("--limit", type=float, default=570.0, help="seconds of all but --draw")
    parser.add_argument("--draw", action="store_true", help="draw the cohort, decode it and put it on the device")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--part", help="only this network, or `table-3`, as lines of JSON")
    parser.add_argument("--until", type=float, default=float("inf"), help="of a part: seconds since 1970")
    found = parser.parse_args(given)
    found.device = devices.resolve_device(found.device)
    found.precision = devices.resolve_precision(PAPER.precision, found.device)
    found.whole = PAPER.comparison.training(NETWORKS[0]).iterations
    found.iterations = found.iterations or found.whole // 10
    return found


def part(given: argparse.Namespace) -> None:
    """Measure one part and print its lines."""
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        if given.part == "table-3":
            given.networks = [name for name in given.networks if name != PAPER.module_2.backbone]
            lines = table_3(given, given.until, Path(folder))
        else:
            lines = rows(given.part, given, given.until)
        for line in lines:
            print(json.dumps(line), flush=True)


def in_its_process(name: str, asked: list[str], until: float) -> list[dict]:
    """Measure one part in a process of its own; what ends it is among what it left out."""
    command = [sys.executable, __file__, *asked, "--part", name, "--until", str(until)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = []
    for line in process.stdout or ():
        found.append(json.loads(line))
        print(line, end="", flush=True)
    if process.wait():
        found.append({"left_out": f"{name}: it ended with code {process.returncode}"})
    return found


def main() -> None:
    """Measure, and write gpu.json."""
    asked, given = sys.argv[1:], arguments()
    if given.part:
        return part(given)
    began, busy = time.time(), calibration.busy()
    found: list[dict] = []
    for number, name in enumerate(given.networks):
        left = began + FOR_NETWORKS * given.limit - time.time()
        found += in_its_process(name, asked, time.time() + left / (len(given.networks) - number))
    third = in_its_process("table-3", asked, began + given.limit) if given.limit else []
    ended = [one["left_out"] for one in third if "left_out" in one and "network" not in one]
    about = calibration.Device.at_hand(PAPER.model_copy(update={"device": given.device, "threads": given.threads}))
    settings = {key: value for key, value in vars(given).items() if key not in ("out", "part", "until", "draw")}
    result = {
        "date": date.today().isoformat(), "device": {"kind": about.kind, "name": about.name, "cards": about.cards},
        "cores": cores(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
        "settings": settings, "minutes": (time.time() - began) / 60, "busy": max(busy, calibration.busy()),
        "rows": [one for one in found if "left_out" not in one],
        "table_3": together([one for one in third if "network" in one], given.whole / given.iterations),
        "left_out": [one["left_out"] for one in found if "left_out" in one] + ended,
    }  # fmt: skip
    if given.draw:
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            result["cohort"] = cohort(given, Path(folder))
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(given.out / "gpu.json", result)
    print(f"{given.out / 'gpu.json'}: {result['minutes']:.1f} minutes")


if __name__ == "__main__":
    main()
