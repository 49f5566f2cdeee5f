"""ALNet judged on smears and patients: Table 9, other hospitals, and APL against AML beside a plain baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd

from alnet_lib import evaluation, paper, roc, vote
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_1_CLASSES, MODULE_2_CLASSES, TO_MODULE_1, TO_MODULE_2
from alnet_lib.results import Value
from alnet_lib.run import Run


def shares_of(votes: pd.DataFrame) -> pd.DataFrame:
    """Share of each class of module 1, one row a smear, columns the classes."""
    return votes[[f"share_{name}" for name in MODULE_1_CLASSES]].set_axis(list(MODULE_1_CLASSES), axis=1)


def with_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Percent of the true diagnosis with counts in brackets, as Table 9 prints them."""
    percent = evaluation.percent(counts)
    text = percent.map(lambda p: "" if np.isnan(p) else f"{p:.0f}%")
    return (text + " (" + counts.astype(str) + ")").rename_axis("true")


def table_9_values(counts: pd.DataFrame, table: str) -> list[Value]:
    """Counts as in Table 9, their shares of the true diagnosis in %, and the overall accuracy (Wilson intervals).

    The paper's counts are of other smears, so only shares compare.
    """
    known, values = paper.record().index, []
    for true in counts.index[counts.sum(axis=1) > 0]:
        n = int(counts.loc[true].sum())
        for predicted in counts.columns:
            id, count = f"{table}.{true}.{predicted}", int(counts.loc[true, predicted])
            values += [Value.of(id, count)] if id in known else []
            if f"{id}.percent" in known:
                values.append(Value.of(f"{id}.percent", 100 * count / n, *_percent(evaluation.interval(count, n))))
    value, low, high, _ = evaluation.accuracy(counts)
    return [*values, Value.of(f"text.{table}.accuracy", 100 * value, *_percent((low, high)))]


def _percent(bounds: tuple[float, float]) -> tuple[float, float]:
    return 100 * bounds[0], 100 * bounds[1]


def apl_values(counts: pd.DataFrame) -> list[Value]:
    """Specificity and precision in % of APL over smears (section 4), from counts as Table 9A."""
    rates = evaluation.rates(counts)
    own = rates[rates["class"].eq("APL") & rates["rate"].isin(["specificity", "precision"])].dropna(subset="value")
    return [
        Value.of(f"text.s4.APL.{line.rate}", 100 * line.value, *_percent((line.low, line.high)))
        for line in own.itertuples()
    ]


def lineage_values(counts: pd.DataFrame) -> list[Value]:
    """Sensitivity, specificity and precision in % of AML and ALL over smears (section 3.3), and wrong ALL smears."""
    values = [
        Value.of(f"text.{r['class']}.{r['rate']}", 100 * r["value"], *_percent((r["low"], r["high"])))
        for r in evaluation.rates(counts).to_dict("records")
    ]
    return [*values, Value.of("text.s3_3.ALL_wrong", counts.loc["ALL"].sum() - counts.loc["ALL", "ALL"])]


def external_smear_values(votes: pd.DataFrame) -> list[Value]:
    """Smears of other hospitals as section 3.3 counts them: through module 1, and by diagnosis through both modules."""
    leukaemia = votes[votes["diagnosis"].isin(["AML", "ALL"])]
    values = []
    if len(leukaemia):
        share = leukaemia["module_1"].eq("blast")
        bounds = _percent(evaluation.interval(int(share.sum()), len(share)))
        values.append(Value.of("text.external.smears_module_1", 100 * share.mean(), *bounds))
    for diagnosis, part in leukaemia.groupby("diagnosis"):
        right, n = int(part["verdict"].eq(diagnosis).sum()), len(part)
        id = f"text.external.{diagnosis}"
        values += [Value.of(f"{id}_smears_right", right), Value.of(f"{id}_smears", n)]
        values.append(Value.of(f"{id}_sensitivity", 100 * right / n, *_percent(evaluation.interval(right, n))))
    return values


def by_site(votes: pd.DataFrame) -> pd.DataFrame:
    """Smears with the right verdict by site and diagnosis.

    Columns: site, diagnosis, right, unknown, smears, accuracy, low, high (% with its 95% Wilson interval).
    """
    judged = votes.assign(right=votes["verdict"].eq(votes["expected"]), unknown=votes["verdict"].eq(vote.UNKNOWN))
    table = judged.groupby(["site", "diagnosis"], as_index=False).agg(
        right=("right", "sum"), unknown=("unknown", "sum"), smears=("right", "size")
    )
    bounds = [_percent(evaluation.interval(row.right, row.smears)) for row in table.itertuples()]
    table["accuracy"] = 100 * table["right"] / table["smears"]
    return table.assign(low=[low for low, _ in bounds], high=[high for _, high in bounds])


def external_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of other sites by site, module and class: right, cells, accuracy in % and its interval."""
    rows = []
    tasks = [("1", "p1", TO_MODULE_1, MODULE_1_CLASSES)]
    if vote.has_module_2(cells):
        tasks.append(("2", "p2", TO_MODULE_2, MODULE_2_CLASSES))
    for module, prefix, mapping, classes in tasks:
        own = cells[cells["cell_type"].isin(mapping)]
        true = own["cell_type"].map(mapping)
        right = vote.classify(own, prefix, classes).eq(true)
        frame = pd.DataFrame({"site": own["site"], "class": true, "right": right})
        for (site, name), part in [
            *frame.groupby(["site", "class"]),
            *(((("all"), c), p) for c, p in frame.groupby("class")),
        ]:
            low, high = evaluation.interval(int(part["right"].sum()), len(part))
            rows.append(
                (site, module, LABELS[name], int(part["right"].sum()), len(part), part["right"].mean(), low, high)
            )
    table = pd.DataFrame(rows, columns=["site", "module", "class", "right", "cells", "accuracy", "low", "high"])
    table[["accuracy", "low", "high"]] *= 100
    return table


_EXTERNAL_IDS = {
    ("1", "Blasts"): "text.external.module_1.accuracy",
    ("2", "Myeloid blasts"): "text.external.module_2.myeloid_blast",
    ("2", "B-Lymphoblasts"): "text.external.module_2.b_lymphoblast",
}


def external_values(table: pd.DataFrame) -> list[Value]:
    """Accuracies over all other sites together beside the ones of section 3.3."""
    together = table[table["site"].eq("all")].set_index(["module", "class"])
    return [
        Value(
            id,
            "%",
            paper.published(id),
            reproduced=together.loc[key, "accuracy"],
            ci_low=together.loc[key, "low"],
            ci_high=together.loc[key, "high"],
        )
        for key, id in _EXTERNAL_IDS.items()
        if key in together.index
    ]


SCORES = {
    "vote": "vote: share of immature cells called abnormal promyelocyte",
    "probability": "mean probability of abnormal promyelocyte over immature cells",
    "learned": "learned vote: gated attention over immature cells",
    "features": "linear discriminant on handcrafted features, mean over immature cells",
    "fraction": "baseline: promyelocytes among all signed cells",
}


def apl_scores(
    cells: pd.DataFrame, features: pd.Series | None = None, learned: pd.Series | None = None
) -> pd.DataFrame:
    """One row a patient of APL or AML: scores for APL (columns as SCORES), and `apl`, True for APL.

    cells: with `selected`; n_signed and n_promyelocyte_signed where the cohort knows them. The probability is that of
    abnormal promyelocyte against blast. A patient without selected cells has no vote and is left out of both scores of
    the network (NaN), but keeps the baseline. features: of `classical.apl_probability`, or None. learned: of
    `learned_vote.apl_probability`, or None.
    """
    own = cells[cells["diagnosis"].isin(["APL", "AML"])]
    patients = own.groupby("patient_id").agg(diagnosis=("diagnosis", "first"), split=("split", "first"))
    chosen = own[own["selected"]]
    called = vote.classify(chosen, "p1", MODULE_1_CLASSES).eq("abnormal_promyelocyte")
    patients["vote"] = called.groupby(chosen["patient_id"]).mean()
    both = chosen["p1_abnormal_promyelocyte"] + chosen["p1_blast"]
    share = (chosen["p1_abnormal_promyelocyte"] / both.where(both > 0)).fillna(0.5)
    patients["probability"] = share.groupby(chosen["patient_id"]).mean()
    if features is not None:
        patients["features"] = features.groupby(chosen["patient_id"]).mean()
    if learned is not None and len(learned):
        patients["learned"] = learned
    patients["cells"] = chosen.groupby("patient_id").size().reindex(patients.index, fill_value=0)
    if "n_signed" in own:
        first = own.groupby("patient_id")[["n_promyelocyte_signed", "n_signed"]].first()
        patients["fraction"] = first["n_promyelocyte_signed"] / first["n_signed"]
    return patients.assign(apl=patients["diagnosis"].eq("APL")).reset_index()


def apl_curves(run: Run, patients: pd.DataFrame, split: str) -> dict[str, tuple[roc.Curve, float, float]]:
    """ROC of each score on the patients of a split, with the bootstrap interval of its AUC over patients.

    Empty where the split has no APL or no AML patient.
    """
    curves = {}
    for score, title in SCORES.items():
        if score not in patients:
            continue
        own = patients[patients["split"].eq(split)].dropna(subset=[score])
        if own["apl"].all() or not own["apl"].any():
            continue
        low, high = roc.auc_interval(
            own,
            "apl",
            score,
            cluster="patient_id",
            replicates=run.profile.bootstrap,
            rng=run.generator(f"apl/{split}/{score}"),
        )
        curves[title] = (roc.curve(own["apl"].to_numpy(), own[score].to_numpy()), low, high)
    return curves


def curve_table(curves: dict[str, tuple[roc.Curve, float, float]], patients: pd.DataFrame, split: str) -> pd.DataFrame:
    """AUC with interval and number of patients of each score."""
    own, rows = patients[patients["split"].eq(split)], []
    titles = {title: score for score, title in SCORES.items()}
    for title, (curve, low, high) in curves.items():
        used = own.dropna(subset=[titles[title]])
        rows.append((title, curve.auc, low, high, int(used["apl"].sum()), int((~used["apl"]).sum())))
    return pd.DataFrame(rows, columns=["score", "AUC", "low", "high", "APL patients", "AML patients"])


def apl_differences(run: Run, patients: pd.DataFrame, split: str) -> pd.DataFrame:
    """AUC of each score less that of the baseline, on the patients that have both: paired bootstrap and DeLong.

    One row a score: score, difference, low, high (95% paired bootstrap over patients), p (DeLong), patients. Empty
    without the baseline or without two patients of each diagnosis.
    """
    rows = []
    for score in [s for s in SCORES if s in patients and s != "fraction" and "fraction" in patients]:
        own = patients[patients["split"].eq(split)].dropna(subset=[score, "fraction"])
        if min(own["apl"].sum(), (~own["apl"]).sum()) < 2:
            continue
        difference, low, high = roc.auc_difference(
            own, "apl", (score, "fraction"), cluster="patient_id", replicates=run.profile.bootstrap,
            rng=run.generator(f"apl difference/{split}/{score}"),
        )  # fmt: skip
        test = roc.delong(own["apl"].to_numpy(), own[score].to_numpy(), own["fraction"].to_numpy())
        rows.append((SCORES[score], difference, low, high, test.p, len(own)))
    return pd.DataFrame(rows, columns=["score", "difference", "low", "high", "p (DeLong)", "patients"])


def curve_values(table: pd.DataFrame, split: str) -> list[Value]:
    """The AUCs of `curve_table` as values with keys `apl.<split>.<score>.auc`; the paper printed none."""
    names = {title: score for score, title in SCORES.items()}
    return [
        Value(f"apl.{split}.{names[row.score]}.auc", "", reproduced=row.AUC, ci_low=row.low, ci_high=row.high)
        for row in table.itertuples()
    ]


def site_examples(manifest: pd.DataFrame, rng: np.random.Generator, *, each: int = 6) -> dict[str, np.ndarray]:
    """Rows of blasts to show for each site and lineage (Figure 5); empty when blasts come from one site only."""
    blasts = manifest["cell_type"].map(TO_MODULE_2)
    found: dict[str, np.ndarray] = {}
    sites = manifest.loc[blasts.notna(), "site"].unique()
    if len(sites) < 2:
        return found
    for name in MODULE_2_CLASSES:
        for site in sites:
            rows = np.flatnonzero(blasts.eq(name) & manifest["site"].eq(site))
            if len(rows):
                found[f"{LABELS[name]}\n{site}"] = rng.permutation(rows)[:each]
    return found
