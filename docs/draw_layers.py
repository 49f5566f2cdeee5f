"""Draw docs/architecture.svg, the layers of `alnet_lib` with their modules and imports, from the code itself."""

from __future__ import annotations

import textwrap
import tomllib
from collections import Counter
from pathlib import Path

import grimp
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parent.parent
SVG = ROOT / "docs" / "architecture.svg"


def layers() -> list[str]:
    """Layers from top to bottom, as import-linter holds them (pyproject.toml)."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return next(contract["layers"] for contract in contracts["contracts"] if contract["type"] == "layers")


def modules(graph: grimp.ImportGraph, layer: str) -> list[str]:
    """Modules and sub-packages directly in a layer, by name."""
    return sorted(name.rsplit(".", 1)[1] for name in graph.find_children(f"alnet_lib.{layer}") if "__" not in name)


def imports(graph: grimp.ImportGraph) -> Counter[tuple[str, str]]:
    """(importing layer, imported layer) -> number of imports between their modules."""
    found: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            first, second = ([*name.split("."), ""][1] for name in (importer, imported))
            if first and second and first != second:
                found[first, second] += 1
    return found


def draw() -> Figure:
    """A row for each layer: its modules, and how many of its imports go to which layer below."""
    graph = grimp.build_graph("alnet_lib", cache_dir=None)
    order, counted = layers(), imports(graph)
    figure = Figure(figsize=(10, 0.66 * len(order) + 0.3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10), ylim=(-0.2, len(order) + 0.1))
    axes.set_axis_off()
    for row, layer in enumerate(order):
        y = len(order) - 1 - row
        box = FancyBboxPatch(
            (0.1, y + 0.08), 6.3, 0.8, boxstyle="round,pad=0,rounding_size=0.06", fc="#EAF2F8", ec="0.5"
        )
        axes.add_patch(box)
        axes.text(0.25, y + 0.48, layer, weight="bold", va="center", fontsize=10)
        axes.text(1.6, y + 0.48, textwrap.fill(", ".join(modules(graph, layer)), 78), va="center", fontsize=7.5)
        below = [f"{other} {n}" for other in order if (n := counted[layer, other])]
        axes.text(6.55, y + 0.48, textwrap.fill("imports " + ", ".join(below), 52) if below else "imports nothing",
                  va="center", fontsize=7, color="0.35")  # fmt: skip
    return figure


if __name__ == "__main__":
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "alnet"
    matplotlib.rcParams["svg.fonttype"] = "none"
    draw().savefig(SVG, metadata={"Date": None, "Creator": None})
