"""The table of cross-validated AUCs: what is pooled, averaged and left out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.evaluation import apl_transfer
from alnet_lib.experiments.transfer.cross_validation import Judged
from alnet_lib.experiments.transfer.patients import DISCOVERY
from alnet_lib.figures import curves
from alnet_lib.report import sentences


@pytest.fixture
def judged():
    """Ten patients in two deals of two folds, four external ones; `ensemble` is there in the first deal only."""
    rng = np.random.default_rng(7)
    rows = []
    for repeat, people in ((1, range(10)), (2, range(10)), (DISCOVERY, range(20, 24))):
        for number in people:
            apl = number % 2 == 0
            row = {
                "repeat": repeat,
                "fold": 1 + number // 5 % 2,
                "patient_id": f"p{number:02d}",
                "apl": apl,
                "n_cells": 9,
            }
            row |= {"colour_and_size": rng.normal() + apl, "ensemble": rng.normal() + 2 * apl}
            rows.append(row)
    frame = pd.DataFrame(rows)
    frame.loc[frame["repeat"].eq(2), "ensemble"] = np.nan
    titles = {"colour_and_size": "colour and size", "ensemble": "ensemble of 2", "absent": "not there"}
    return Judged(frame, titles, (("ensemble", "colour_and_size"),), ("A note.",))


def test_auc_pools_the_mean_over_deals(judged):
    result = apl_transfer.table(judged)
    own = judged.rows[judged.rows["repeat"].ne(DISCOVERY)]
    mean = own.groupby("patient_id")[["apl", "colour_and_size"]].mean()
    row = result.frame.set_index("method").loc["colour and size"]
    assert row["AUC"] == pytest.approx(roc_auc_score(mean["apl"], mean["colour_and_size"]))
    by_fold = [roc_auc_score(part["apl"], part["colour_and_size"]) for _, part in own.groupby(["repeat", "fold"])]
    assert (row["mean of folds"], row["SD of folds"]) == pytest.approx((np.mean(by_fold), np.std(by_fold, ddof=1)))
    deals = [roc_auc_score(part["apl"], part["colour_and_size"]) for _, part in own.groupby("repeat")]
    assert (row["lowest deal"], row["highest deal"]) == pytest.approx((min(deals), max(deals)))
    assert (row["APL patients"], row["AML patients"], row["external APL patients"]) == (5, 5, 2)
    assert len(result.frame) == 2 and result.facts["notes"] == " A note."
    keys = [value.key for value in result.values]
    assert keys[:3] == [f"transfer.apl.colour_and_size.{name}" for name in ("pooled", "folds_mean", "prospective")]
    assert "MILLIE" in result.facts["published"]


def test_a_line_of_the_table_is_read_at_once(judged):
    result = apl_transfer.table(judged)
    row, line = result.frame.iloc[0], apl_transfer.as_read(result).iloc[0]
    assert line["method"] == "colour and size"
    assert line["AUC, cross-validated (95% interval)"] == f"{row['AUC']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    assert line["mean of folds ± SD"] == f"{row['mean of folds']:.2f} ± {row['SD of folds']:.2f}"
    assert line["AUC, external (95% interval)"].startswith(f"{row['external AUC']:.2f} (")
    assert result.facts["people"] == "5 patients with APL and 5 with AML, of external ones 2 and 2"
    alone = Judged(judged.rows[judged.rows["repeat"].ne(DISCOVERY)], judged.titles)
    assert "AUC, external (95% interval)" not in apl_transfer.as_read(apl_transfer.table(alone))
    lost = judged.rows.assign(ensemble=judged.rows["ensemble"].where(judged.rows["repeat"].ne(DISCOVERY)))
    shown = apl_transfer.as_read(apl_transfer.table(Judged(lost, judged.titles))).set_index("method")
    assert shown.loc["ensemble of 2", "AUC, external (95% interval)"] == ""
    assert not shown.apply(lambda column: column.str.contains("nan")).any(axis=None)


def test_a_fold_with_one_diagnosis_is_left_out(judged):
    rows = judged.rows
    rows = rows[~(rows["repeat"].eq(1) & rows["fold"].eq(1) & rows["apl"])]
    folds, deals = apl_transfer.of_folds(rows, "colour_and_size")
    assert (len(folds), len(deals)) == (3, 2)


def test_differences_use_only_deals_that_have_both(judged):
    result = apl_transfer.differences(judged)
    first = judged.rows[judged.rows["repeat"].eq(1)]
    expected = roc_auc_score(first["apl"], first["ensemble"]) - roc_auc_score(first["apl"], first["colour_and_size"])
    row = result.frame.iloc[0]
    assert row["difference"] == pytest.approx(expected) and row["where"] == "cross-validated"
    assert [value.key for value in result.values] == [
        "transfer.apl.ensemble_less_colour_and_size", "transfer.apl.ensemble_less_colour_and_size.prospective",
    ]  # fmt: skip


def test_what_is_missing_is_unavailable(judged):
    gone = Unavailable("no such cohort")
    assert apl_transfer.table(gone) is gone and apl_transfer.differences(gone) is gone
    assert isinstance(apl_transfer.differences(Judged(judged.rows, judged.titles)), Unavailable)
    one = judged.rows[judged.rows["apl"]]
    assert isinstance(apl_transfer.table(Judged(one, judged.titles)), Unavailable)
    assert isinstance(curves.dots(gone, "AUC"), Unavailable)
    assert sentences.transfer_sentences(gone, gone) == []


def test_figure_and_sentences_say_what_the_table_says(judged):
    table, worth = apl_transfer.table(judged), apl_transfer.differences(judged)
    figure = curves.dots(table, "AUC")
    for row in table.frame.itertuples():
        assert f"{row.method}: {row.AUC:.2f}" in figure.alt
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(table.frame["method"])
    found = sentences.transfer_sentences(table, worth)
    assert len(found) == 3 and "ensemble of 2" in found[0] and "no verdict" in found[2]
