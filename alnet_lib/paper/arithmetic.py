"""What follows by arithmetic from the paper's other printed numbers: `recomputed` in results.json."""

from __future__ import annotations

from functools import cache

import pandas as pd

from alnet_lib import paper


def counts_from(matrix: str) -> pd.DataFrame:
    """Confusion matrix as counts: the printed percentages of Table 7A or 7B times Table 6's testing images, rounded."""
    percent = paper.table(matrix)
    images = paper.table("06")["testing"].reindex(percent.index)
    return percent.mul(images, axis=0).div(100).round().astype(int)


@cache
def recomputed() -> dict[str, float]:
    """Record id -> value that follows from other printed numbers.

    Totals of Tables 1 and 2 from their rows; the rates of Table 8 and both overall accuracies from Tables 7A and 7B
    with Table 6's counts; the smear-level rates of section 3.3 from Table 9B.
    """
    from alnet_lib import evaluation

    found: dict[str, float] = {}
    for number in ("01", "02"):
        frame = paper.table(number)
        for column in frame.select_dtypes("number"):
            id = f"table_{number}.total.{column}"
            if id in paper.record().index:
                found[id] = float(frame[column].drop("total").sum())
    for matrix, module in (("07a", "module_1"), ("07b", "module_2")):
        counts = counts_from(matrix)
        for row in evaluation.rates(counts).to_dict("records"):
            found[f"table_08.{row['rate']}.{row['class']}"] = 100 * row["value"]
        found[f"text.{module}.accuracy"] = 100 * evaluation.accuracy(counts)[0]
    for row in evaluation.rates(paper.table("09b").astype(int)).to_dict("records"):
        found[f"text.{row['class']}.{row['rate']}"] = 100 * row["value"]
    for table in ("09a", "09b"):
        found[f"text.table_{table}.accuracy"] = 100 * evaluation.accuracy(paper.table(table).astype(int))[0]
    smears = paper.table("02").drop("total")
    found["text.training_smears"] = float(smears["smears_train"].sum())
    found["text.testing_smears"] = float(smears["smears_test"].sum())
    found["text.vgg19.features"] = 14.0 * 14 * 512
    return {id: round(value, 4) for id, value in found.items()}
