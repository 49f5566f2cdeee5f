"""How real the synthetic cells look: synthetic against real cells of the Johns Hopkins cohort, class by class.

    python benchmarks/realism.py DATA [--cells 150] [--out benchmarks/results]

DATA: folder of the jhu_apl cohort. Prints, for every class that both have, the median of the synthetic cells beside the
interquartile range of the real ones, and the cross-validated AUC of a classifier asked to separate real from
synthetic (0.5 is no difference). Both sides go through the same segmentation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.synthetic import twin
from alnet_lib.core.files import write_json
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.imaging import decoding, handcrafted, segmentation

CLASSES = ("lymphocyte", "monocyte", "reactive_lymphocyte", "abnormal_promyelocyte", "myeloblast")
SEED = 2021


def measure(pixels: np.ndarray) -> dict[str, float]:
    """Sizes in pixels of a 363-pixel picture, colours in Lab, sharpness, red cells in view."""
    pixels = decoding.resize(pixels, 360)
    found = segmentation.segment(pixels)
    if found is None:
        return {}
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    density = segmentation.absorbance(pixels)
    total = density.sum(2)
    near = cv2.dilate(found.cell.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    red = (total > 0.2) & (density[:, :, 0] - density[:, :, 2] < 0.05) & ~near
    red = cv2.morphologyEx(red.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)).astype(bool)
    plasma = (total < 0.08) & ~near
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    laplacian = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_64F)
    values = {
        "nucleus area": found.nucleus.sum(),
        "cell area": found.cell.sum(),
        "N:C ratio": found.nucleus.sum() / found.cell.sum(),
        "sharpness of the cell": laplacian[found.cell].std(),
        "texture of the nucleus": grey[found.nucleus].std(),
        "area of red cells": red.mean(),
        "red cells in view": red.sum() / RED_CELL_AREA,
    }
    regions = {"nucleus": found.nucleus, "cytoplasm": found.cytoplasm, "red cells": red, "background": plasma}
    for name, mask in regions.items():
        if mask.sum() >= 50:
            values |= {f"{name} {axis}": v for axis, v in zip("Lab", np.median(lab[mask], axis=0), strict=True)}
    return values


RED_CELL_AREA = 3.14159 * 32**2
"""Pixels of a red cell of 7.2 micrometres at about 0.11 micrometres a pixel."""


def _both(picture: np.ndarray) -> dict[str, float]:
    return {f"measure/{k}": v for k, v in measure(picture).items()} | handcrafted.describe(picture)


def _real(path: Path) -> dict[str, float]:
    return _both(decoding.decode(path, allow_truncated=True))


def _drawn(row: dict) -> dict[str, float]:
    # Through JPEG, as the cohort's files are.
    encoded = cv2.imencode(".jpg", twin.draw(row)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, twin.JPEG_QUALITY])[1]
    return _both(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1])


def sample(manifest: pd.DataFrame, cells: int) -> pd.DataFrame:
    """At most `cells` rows a class, at most 12 of a patient."""
    parts = []
    for _, own in manifest[manifest["cell_type"].isin(CLASSES)].groupby("cell_type"):
        spread = own.sample(frac=1, random_state=SEED).groupby("patient_id").head(12)
        parts.append(spread.sample(min(cells, len(spread)), random_state=SEED))
    return pd.concat(parts)


def measured(data: Path, cells: int) -> pd.DataFrame:
    """One row a cell: real (bool), cell_type, patient_id, measures and handcrafted features."""
    real_cohort = SOURCES["jhu_apl"].read(data)
    real = sample(real_cohort.manifest, cells)
    drawn = sample(twin.manifest_of(1.0, SEED).query("split != 'external'"), cells)
    with Parallel(n_jobs=-1) as pool:
        rows = pool(delayed(_real)(real_cohort.root / path) for path in real["path"])
        rows += pool(delayed(_drawn)(row) for row in drawn.to_dict("records"))
    about = pd.concat([real.assign(real=True), drawn.assign(real=False)])[["real", "cell_type", "patient_id"]]
    return pd.concat([about.reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def compare(frame: pd.DataFrame) -> pd.DataFrame:
    """Synthetic median against the real interquartile range for each class and measure."""
    rows = []
    names = [name for name in frame if name.startswith("measure/")]
    for cell_type in CLASSES:
        own = frame[frame["cell_type"].eq(cell_type)]
        for name in names:
            low, middle, high = own.loc[own["real"], name].quantile([0.25, 0.5, 0.75])
            median = own.loc[~own["real"], name].median()
            away = max(low - median, median - high, 0) / max(high - low, 1e-9)
            rows.append((LABELS[cell_type], name.removeprefix("measure/"), low, middle, high, median, away))
    columns = ["class", "measure", "real 25%", "real median", "real 75%", "synthetic median", "outside by (IQR)"]
    return pd.DataFrame(rows, columns=columns)


def discernible(frame: pd.DataFrame, columns: list[str]) -> dict[str, float]:
    """Cross-validated AUC of real against synthetic by class, patients on one side of each fold only."""
    found = {}
    for cell_type in CLASSES:
        own = frame[frame["cell_type"].eq(cell_type)]
        model = make_pipeline(
            SimpleImputer(keep_empty_features=True), RandomForestClassifier(300, random_state=0, n_jobs=-1)
        )
        folds = StratifiedGroupKFold(5)
        probability = cross_val_predict(
            model, own[columns], own["real"], groups=own["patient_id"], cv=folds, method="predict_proba"
        )[:, 1]
        found[LABELS[cell_type]] = float(roc_auc_score(own["real"], probability))
    return found


def document(table: pd.DataFrame, aucs: pd.DataFrame, frame: pd.DataFrame) -> None:
    """Write docs/realism.md."""
    outside = table[table["outside by (IQR)"] > 0].sort_values("outside by (IQR)", ascending=False).round(2)
    counts = frame["real"].value_counts()
    text = [
        "<!-- Written by benchmarks/realism.py. -->",
        "# Synthetic against real cells",
        "",
        f"{counts[False]} synthetic and {counts[True]} real cells (Johns Hopkins cohort) of five classes, at most 12 "
        f"of a patient, both through the same segmentation. {len(table) - len(outside)} of {len(table)} "
        f"synthetic medians "
        "lie inside the real interquartile range.",
        "",
        "## Medians outside the real interquartile range",
        "",
        _markdown(outside.set_index("class")),
        "",
        "## Can a classifier separate real from synthetic?",
        "",
        "AUC of a random forest, cross-validated with patients on one side only; 0.5 is no difference, 1 is perfect "
        "separation.",
        "",
        _markdown(aucs.round(3).rename_axis("class")),
        "",
        "No single measure is far off, but all of them together separate synthetic from real: the grain of synthetic "
        "chromatin and cytoplasm (local binary patterns, co-occurrence at one pixel) is not that of a "
        "camera behind an objective. "
        "What a network learns on synthetic cells is not expected to carry over to real ones."
        if aucs["all handcrafted features"].min() > 0.95
        else "",
        "",
        "## All measures",
        "",
        _markdown(table.round(2).set_index("class")),
        "",
    ]
    (Path(__file__).parent.parent / "docs" / "realism.md").write_text("\n".join(text), encoding="utf-8")


def _markdown(frame: pd.DataFrame) -> str:
    frame = frame.reset_index()
    rows = [frame.columns, ["---"] * frame.shape[1], *frame.itertuples(index=False)]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cells", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    given = parser.parse_args()
    frame = measured(given.data, given.cells)
    table = compare(frame)
    shape = [n for n in handcrafted.names() if n.split("_")[1] in ("area", "perimeter", "circularity", "eccentricity",
             "solidity", "extent", "major", "minor", "profile", "ratio", "offset")]  # fmt: skip
    aucs = {
        "simple measures": discernible(frame, [n for n in frame if n.startswith("measure/")]),
        "shape": discernible(frame, shape),
        "all handcrafted features": discernible(frame, handcrafted.names()),
    }
    inside = table["outside by (IQR)"].eq(0)
    print(f"{inside.sum()} of {len(table)} synthetic medians lie inside the real interquartile range; the others:")
    print(table[~inside].sort_values("outside by (IQR)", ascending=False).round(2).to_string(index=False))
    print(pd.DataFrame(aucs).round(3).to_string())
    given.out.mkdir(parents=True, exist_ok=True)
    document(table, pd.DataFrame(aucs), frame)
    table.round(3).to_csv(given.out / "realism.csv", index=False)
    counts = pd.crosstab(frame["cell_type"], frame["real"].map({True: "real", False: "synthetic"}))
    write_json(
        given.out / "realism.json",
        {"cells": counts.to_dict(), "medians_inside": int(inside.sum()), "medians": len(table), "auc": aucs},
    )


if __name__ == "__main__":
    main()
