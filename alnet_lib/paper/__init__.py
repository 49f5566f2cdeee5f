"""What the paper printed, as data, and the arithmetic that must hold between the numbers.

Boldú, Merino, Acevedo, Molina, Rodellar: A deep learning model (ALNet) for the diagnosis of acute leukaemia lineage
using peripheral blood cell images. Comput. Methods Programs Biomed. (2021).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import yaml

ITEMS: dict[str, tuple[str, str, str]] = {
    "table_01": ("Diagnoses and WHO subtypes of the patients", "table", "01_data_audit"),
    "table_02": ("Images, smears and persons by cell type", "table", "01_data_audit"),
    "table_03": ("Accuracy of four networks by blocks fine-tuned", "table", "02_backbone_comparison"),
    "table_04": ("Confusion matrix of the best single network, six classes", "table", "02_backbone_comparison"),
    "table_05": ("VGG16 against VGG19 for module 2", "table", "03_alnet_training"),
    "table_06": ("Images and smears that train and test the two modules", "table", "01_data_audit"),
    "table_07a": ("Confusion matrix of module 1, cells", "table", "03_alnet_training"),
    "table_07b": ("Confusion matrix of module 2, cells", "table", "03_alnet_training"),
    "table_08": ("Sensitivity, specificity and precision of both modules, cells", "table", "03_alnet_training"),
    "table_09a": ("Confusion matrix of module 1, smears", "table", "04_smear_roc"),
    "table_09b": ("Confusion matrix of module 2, smears", "table", "04_smear_roc"),
    "table_10": ("ALNet among other published systems", "table", "07_scorecard"),
    "table_11": ("True positive rates beside the earlier linear discriminant", "table", "03_alnet_training"),
    "table_12": ("Classical classifiers beside deep networks", "table", "02_backbone_comparison"),
    "figure_01": ("Scheme of the diagnostic support system", "figure", "03_alnet_training"),
    "figure_02": ("A B-lymphoblast and its augmented versions", "figure", "03_alnet_training"),
    "figure_03": ("The two modules in series", "figure", "03_alnet_training"),
    "figure_04": ("Multiclass ROC over the training smears", "figure", "04_smear_roc"),
    "figure_05": ("Blasts of the three hospitals", "figure", "05_external_validation"),
    "figure_06": ("Cell types of earlier studies and of this one", "figure", "06_feature_maps"),
    "figure_07": ("Feature maps of the original network and of ALNet", "figure", "06_feature_maps"),
}
"""Id -> (title in our words, kind, notebook that regenerates it), in the paper's order (design contract 3)."""

_DATA = Path(__file__).with_name("data")
_INDEX = {"03": 2}


def table(number: str) -> pd.DataFrame:
    """A printed table as a frame, numbers as floats, names of rows as index: `table("07a")`.

    Table 9 holds the printed counts; Table 10 stays text. Its rows marked `later work` are not the paper's.

    Raises
    ------
    KeyError
        there is no such table.
    """
    path = _DATA / f"table_{number.lower()}.csv"
    if not path.is_file():
        raise KeyError(f"no table {number}: there are {', '.join(sorted(p.stem[6:] for p in _DATA.glob('table_*')))}")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame = frame.set_index(list(frame.columns[: _INDEX.get(number, 1)]))
    return frame if number == "10" else frame.apply(_numbers)


def _numbers(column: pd.Series) -> pd.Series:
    plain = column.str.replace(",", "")
    return pd.to_numeric(plain.mask(plain.eq(""))) if plain.str.fullmatch(r"[\d.]*").all() else column


@cache
def record() -> pd.DataFrame:
    """Every printed number: id (index), place, printed (as printed), value, unit.

    Ids are `table_07a.<row>.<column>` and `text.<name>`. Numbers of Table 10 belong to other papers: left out.
    """
    rows = []
    for path in sorted(_DATA.glob("table_*.csv")):
        if path.stem == "table_10":
            continue
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        keys = list(frame.columns[: _INDEX.get(path.stem[6:], 1)])
        for line in frame.to_dict("records"):
            name = ".".join(line[key] for key in keys)
            for column, printed in line.items():
                if column not in keys and printed.replace(",", "").replace(".", "").isdigit():
                    rows.append((f"{path.stem}.{name}.{column}", path.stem, printed, _unit(path.stem, column)))
    text = pd.read_csv(_DATA / "text.csv", dtype=str, keep_default_na=False)
    rows += list(text[["id", "place", "value", "unit"]].itertuples(index=False, name=None))
    frame = pd.DataFrame(rows, columns=["id", "place", "printed", "unit"]).set_index("id")
    return frame.assign(value=frame["printed"].str.replace(",", "").astype(float))


def _unit(table: str, column: str) -> str:
    if "minutes" in column:
        return "min"
    if "seconds" in column:
        return "s"
    if table in ("table_01", "table_02", "table_06"):
        return "smears" if "smears" in column else "persons" if column in ("patients", "persons") else "images"
    return "smears" if table.startswith("table_09") else "%"


def published(id: str) -> float | None:
    """The printed value of an id of `record`, or None where the paper printed nothing."""
    known = record()
    return float(known.loc[id, "value"]) if id in known.index else None


def decimals(id: str) -> int:
    """Decimals that the paper printed for an id of `record`."""
    return len(record().loc[id, "printed"].partition(".")[2])


def open_points() -> pd.DataFrame:
    """The register of what the paper leaves open: point, paper, chosen, why, where."""
    return pd.DataFrame(yaml.safe_load((_DATA / "open_points.yaml").read_text(encoding="utf-8")))
