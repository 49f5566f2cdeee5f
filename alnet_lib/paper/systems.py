"""Systems of the literature beside ALNet (Table 10)."""

from __future__ import annotations

import pandas as pd

from alnet_lib.paper.printed import read_data
from alnet_lib.paper.values import Result


def literature() -> pd.DataFrame:
    """The systems that Table 10 lists, and four later ones.

    Returns
    -------
    DataFrame
        Columns `work`, `reference`, `material`, `method`, `result`, `source`. The later systems report other measures
        on other tasks; `result` names the measure.
    """
    printed = read_data("table_10")
    ours = pd.DataFrame(
        {
            "work": printed["work"],
            "reference": printed["reference"].map(lambda n: f"reference {n} of the paper" if n else "the paper"),
            "material": printed["images"] + " images",
            "method": printed["features"] + "; " + printed["classification"],
            "result": [
                f"detection {line.detection}" + (f"; subtype {line.subtype}" if line.subtype != "NR" else "")
                for line in printed.itertuples()
            ],
            "source": "Table 10",
        }
    )
    later = read_data("later_systems")
    later["work"] = later["work"] + " " + later.pop("year")
    return pd.concat([ours, later.assign(method="", source="later work")], ignore_index=True)


def table_10(card: pd.DataFrame, *, cohort: str, kind: str, images: int) -> Result:
    """The systems of the literature with this run as the last row (Table 10).

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.
    cohort, kind : str
        Name and kind of the cohort.
    images : int
        Images of the cohort.

    Returns
    -------
    Result
        The columns of `literature`.
    """
    measured = card.set_index("id")["reproduced"]
    texts = {"module 1": "text.module_1.accuracy", "module 2": "text.module_2.accuracy"}
    numbers = [f"{name}: {measured[id]:.1f}% of cells" for name, id in texts.items() if pd.notna(measured[id])]
    frame = literature()
    frame.loc[len(frame)] = {
        "work": f"This run ({cohort}, {kind})",
        "reference": "",
        "material": f"{images:,} images",
        "method": "two VGG in series",
        "result": "; ".join(numbers) or "not available",
        "source": "measured here",
    }
    return Result(frame)
