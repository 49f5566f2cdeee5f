"""`python -m alnet_lib.paper`: the record's size and the audit."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from alnet_lib import paper
from alnet_lib.paper.audit import summary

if TYPE_CHECKING:
    import pandas as pd


def _show(frame: pd.DataFrame, title: str) -> Table:
    table = Table(*map(str, frame.columns), title=title, title_justify="left")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{x:,.6g}" if isinstance(x, float) else str(x) for x in row))
    return table


def main() -> None:
    """Print how many numbers the record has, the audit by rule, and its findings (with --all, every check)."""
    parser = argparse.ArgumentParser(prog="python -m alnet_lib.paper", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="show the checks that agree, too")
    everything = parser.parse_args().all
    known, found = paper.record(), paper.audit()
    # Piped output has no width of its own; a narrow guess would cut ids and numbers.
    console = Console() if Console().is_terminal else Console(width=220)
    about = ", ".join(f"{n} {name}" for name, n in known["about"].value_counts().items())
    wrong = found[~found["agrees"]]
    console.print(f"{len(known)} printed numbers in {known['place'].nunique()} places ({about}).", highlight=False)
    console.print(f"{len(paper.recomputed())} of them follow from others by arithmetic.", highlight=False)
    console.print(f"{len(found)} checks: {len(found) - len(wrong)} agree, {len(wrong)} do not.", highlight=False)
    console.print(_show(summary(found).reset_index(), "Audit by rule"))
    shown = (found if everything else wrong).drop(columns=["place", "agrees"])
    console.print(_show(shown, "Every check" if everything else "Findings"))


if __name__ == "__main__":
    main()
