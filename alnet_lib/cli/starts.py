"""Commands on starts, what networks begin with: list, describe, check, make."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alnet_lib.cli.printing import fail, print_frame, progress
from alnet_lib.core.text import visible

app = typer.Typer(no_args_is_help=True, help="Starts, what networks begin with: list, describe, check, make.")


@app.command("list")
def starts_list() -> None:
    """List what a network can begin with, and which networks the kit brings the start `cells` of."""
    import pandas as pd

    from alnet_lib.networks.starts import imagenet, start

    print_frame(pd.DataFrame(start.MEANING.items(), columns=["start", "what it is"]))
    print(f"`{start.CELLS}` is there for: {', '.join(start.brought()) or 'no network'}")
    print(f"\nFiles of `{start.IMAGENET}`, any one of a row, looked for in the profile's `weights_dir`,")
    print("in $ALNET_WEIGHTS, in the cache of the Hugging Face hub, and in:")
    for folder in imagenet.folders():
        print(f"  {visible(folder)}")
    files = {name: imagenet.names(name) for name in start.networks_of(start.IMAGENET)}
    print_frame(pd.DataFrame([(name, ", ".join(own)) for name, own in files.items()], columns=["network", "files"]))


@app.command("check")
def starts_check(
    network: Annotated[str, typer.Option(help="Only this network; default every one of `alnet starts list`.")] = "",
    weights_dir: Annotated[str, typer.Option(help="Folder with weight files, as in a profile.")] = "",
    fetch: Annotated[bool, typer.Option(help="Download what is not at hand.")] = False,
) -> None:
    """Look for the ImageNet weights, compare them with their checksums, and load them; 1 where one cannot be had."""
    from alnet_lib.networks.architectures import ARCHITECTURES, architecture
    from alnet_lib.networks.building import build
    from alnet_lib.networks.starts import imagenet, start

    if weights_dir and not Path(weights_dir).expanduser().is_dir():
        raise fail(FileNotFoundError(f"{weights_dir} is not a folder"))
    lacking = False
    for name in [network] if network else start.networks_of(start.IMAGENET):
        try:
            architecture(name)
            path, told = imagenet.find(name, weights_dir), "not at hand"
            if path or fetch:
                # The convolutions are the same for any size, and the head of small images takes less memory.
                size = 32 if name in ARCHITECTURES else 224
                made = build(name, ("a", "b"), size, start=start.IMAGENET, weights_dir=weights_dir)
                told = str(path or imagenet.find(name, weights_dir) or made.weights)
            lacking |= not (path or fetch)
        except (imagenet.WeightsError, ValueError) as error:
            told, lacking = str(error), True
        print(f"{name}: {visible(told)}")
    if lacking:
        print("`alnet starts list` names files and folders; `alnet starts check --fetch` downloads what is not there.")
        raise typer.Exit(1)


@app.command("describe")
def starts_describe(
    name: Annotated[str, typer.Argument(metavar="START", help="One of `alnet starts list`.")],
    network: Annotated[str, typer.Option(help="Name of the network; default every one that the start is for.")] = "",
    weights_dir: Annotated[str, typer.Option(help="Folder with weight files, as in a profile.")] = "",
) -> None:
    """Tell where a start's weights come from: file, checksum, licence, what they were trained on, and how."""
    from alnet_lib.networks.starts import start
    from alnet_lib.networks.starts.imagenet import WeightsError

    try:
        names = [network] if network else start.networks_of(name) or [""]
        origins = [start.describe(name, one, weights_dir) for one in names]
    except (start.StartError, WeightsError, OSError) as error:
        raise fail(error) from error
    for origin in origins:
        for what, value in vars(origin).items():
            if value:
                print(f"{what.replace('_', ' ')}: {visible(value)}")
        if name == start.IMAGENET and not origin.file:
            print("file: not at hand")
        print()


class Makeable(StrEnum):
    """What `alnet starts make` makes."""

    cells = "cells"


@app.command("make")
def starts_make(
    what: Annotated[Makeable, typer.Argument(help="The start.")],
    teacher: Annotated[Path, typer.Option(help="ImageNet weights of SqueezeNet 1.1: .h5 (Keras) or .pth.")],
    out: Annotated[Path, typer.Option(help="Folder for a file a network, and SHA256SUMS.")],
    healthy: Annotated[Path | None, typer.Option(help="Folder of pbc_normal_dib: cells of healthy people.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Optimiser steps.")] = 2000,
    drawn: Annotated[int, typer.Option(min=0, help="Cells to draw; 0 for none.")] = 8400,
    seed: Annotated[int, typer.Option(min=0, help="Of batches, views and random starts.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="Threads; another number gives another, equally good start.")] = 2,
) -> None:
    """Make the start `cells` by distillation: 20 to 40 minutes on two cores with the steps that are the default."""
    from alnet_lib.experiments.transfer.distillation import Recipe
    from alnet_lib.experiments.transfer.making import make_cells
    from alnet_lib.networks.starts.imagenet import WeightsError

    print(f"Making `{what.value}`: 20 to 40 minutes on two cores for 2,000 steps.", file=sys.stderr)
    recipe = Recipe(steps=steps, seed=seed, threads=threads)
    try:
        made = make_cells(teacher, healthy, out, drawn=drawn, recipe=recipe, progress=progress)
    except (WeightsError, ValueError, OSError) as error:
        raise fail(error) from error
    print(file=sys.stderr)
    for network, loss in made.losses.items():
        print(f"{network}: loss {loss:.3f} (1.5 knows nothing)")
    for path in made.paths:
        print(visible(path))
