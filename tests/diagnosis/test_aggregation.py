"""The aggregation rule and the vote: what the paper says of them, and what must hold for any vote."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.diagnosis.aggregation import (
    NON_APL,
    HighestProbability,
    MajorityAboveThreshold,
    smear_scores,
    smear_shares,
    vote,
)
from alnet_lib.diagnosis.tasks import MODULE_2

FIRST = {
    "LY": "lymphocyte",
    "MO": "monocyte",
    "RL": "reactive_lymphocyte",
    "PM": "abnormal_promyelocyte",
    "BL": "blast",
}


def cells(smears: dict[str, list[str]], diagnosis: str = "AML", module_2: bool = True) -> pd.DataFrame:
    """smear -> cells as `BL/M` (predicted blast, then myeloid), `BL/B`, `PM`, ..."""
    rows = []
    for smear, calls in smears.items():
        for i, call in enumerate(calls):
            first, _, second = call.partition("/")
            row = {"image_id": f"{smear}-{i}", "smear_id": smear, "patient_id": smear, "site": "", "split": "test"}
            row |= {"diagnosis": diagnosis, "cell_type": "myeloblast"}
            row |= {f"p1_{c}": 0.8 if c == FIRST[first] else 0.05 for c in MODULE_1_CLASSES}
            if module_2:
                lymphoid = second == "B"
                row |= dict(zip((f"p2_{c}" for c in MODULE_2_CLASSES), (1 - lymphoid, lymphoid), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def verdict(calls: list[str], threshold: float = 0.5, **options) -> str:
    return vote(cells({"s": calls}, **options), MajorityAboveThreshold(threshold)).loc[0, "verdict"]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (["PM", "PM", "BL/M"], "APL"),
        (["RL", "RL", "RL", "LY"], "infection"),
        (["LY"], "control"),
        (["MO", "MO", "MO", "LY"], "control"),
        (["BL/M", "BL/M", "BL/B", "PM"], "AML"),
        (["BL/B", "BL/B", "BL/M"], "ALL"),
        (["BL/B", "BL/M"], "unknown"),
        (["PM", "BL/M"], "unknown"),
        (["LY", "MO", "RL", "PM", "BL/M"], "unknown"),
    ],
)
def test_verdicts_of_section_3_3(calls, expected):
    assert verdict(calls) == expected


def test_exactly_the_threshold_is_not_enough():
    assert verdict(["PM"] * 5 + ["BL/M"] * 4 + ["LY"]) == "unknown"
    assert verdict(["PM"] * 6 + ["BL/M"] * 4 + ["LY"]) == "APL"


def test_lymphocytes_and_monocytes_do_not_add_up_to_a_control():
    # The paper's categories are control (LY) and control (MO): neither passes one half here.
    assert verdict(["LY", "LY", "MO", "MO"]) == "unknown"


def test_module_2_sees_only_what_module_1_predicts_to_be_blasts():
    assert verdict(["BL/M"] * 3 + ["LY/B"] * 2) == "AML"


def test_without_module_2_the_lineage_is_not_predicted():
    assert verdict(["BL", "BL"], module_2=False) == NON_APL


def test_order_of_cells_and_smears_changes_nothing_and_doubling_cells_changes_no_vote():
    rng = np.random.default_rng(0)
    table = cells({f"s{i}": [str(rng.choice(["PM", "BL/M", "BL/B", "LY"])) for _ in range(7)] for i in range(8)})
    usual = vote(table)
    pd.testing.assert_frame_equal(usual, vote(table.sample(frac=1, random_state=1)))
    doubled = vote(pd.concat([table, table]))
    assert doubled["verdict"].tolist() == usual["verdict"].tolist()
    pd.testing.assert_frame_equal(
        doubled.filter(like="share"), usual.filter(like="share"), check_exact=False, check_dtype=False
    )


def test_more_votes_for_the_winner_never_lose_it():
    for extra in range(5):
        assert verdict(["PM", "PM", "BL/M"] + ["PM"] * extra) == "APL"


def test_a_cell_without_probability_is_named():
    table = cells({"s": ["PM", "PM"]})
    table.loc[1, "p1_blast"] = np.nan
    with pytest.raises(ValueError, match="s-1"):
        vote(table)


def test_module_2_need_not_know_cells_that_are_no_blasts_but_must_know_blasts():
    table = cells({"s": ["BL/M", "BL/M", "LY"]})
    second = [f"p2_{c}" for c in MODULE_2_CLASSES]
    table[second] = table[second].astype(float)
    table.loc[2, second] = np.nan
    assert vote(table).loc[0, "verdict"] == "AML"
    table.loc[1, second] = np.nan
    with pytest.raises(ValueError, match="module 2: s-1"):
        vote(table)
    table[second] = np.nan
    assert vote(table).loc[0, "verdict"] == NON_APL


def test_one_smears_cells_change_no_other_smears_vote():
    table = cells({"s": ["PM", "BL/M", "BL/B"], "t": ["BL/M"] * 3})
    alone = vote(table[table["smear_id"].eq("t")])
    pd.testing.assert_frame_equal(vote(table).iloc[[1]].reset_index(drop=True), alone)


def test_below_one_half_the_largest_share_wins_and_a_tie_is_unknown():
    assert verdict(["PM"] * 4 + ["BL/M"] * 3 + ["LY"] * 2, threshold=0.3) == "APL"
    assert verdict(["PM"] * 4 + ["BL/M"] * 4 + ["LY"], threshold=0.3) == "unknown"


def test_shares_of_a_smear_add_up_and_are_those_of_the_vote():
    table = cells({"s": ["PM", "PM", "BL/M", "LY"], "t": ["MO"]})
    shares = smear_shares(table)
    assert shares.loc["s"].tolist() == [0.25, 0, 0, 0.5, 0.25]
    assert (shares.sum(axis=1) == 1).all()
    assert shares.to_numpy().tolist() == vote(table).filter(regex="^share_").to_numpy().tolist()
    assert smear_shares(table.iloc[[2]], MODULE_2).loc["s"].tolist() == [1, 0]


def test_no_cell_gives_no_smear():
    votes = vote(cells({"s": ["LY"]}).iloc[:0])
    assert len(votes) == 0 and "verdict" in votes


def test_a_rule_sees_shares_and_counts_of_both_modules():
    scores = smear_scores(cells({"s": ["BL/M", "BL/B", "BL/B", "LY"], "t": ["PM"]}))
    assert scores.loc["s", ["n_cells", "n_blasts", "share_blast", "share2_b_lymphoblast"]].tolist() == pytest.approx(
        [4, 3, 0.75, 2 / 3]
    )
    assert scores.loc["t", "n_blasts"] == 0 and scores.loc["t"].filter(like="share2_").isna().all()


def test_a_rule_of_the_users_own_changes_the_verdict():
    def any_promyelocyte_is_apl(scores):
        return pd.DataFrame(
            {"verdict": np.where(scores["share_abnormal_promyelocyte"] > 0, "APL", "unknown")}, scores.index
        )

    table = cells({"s": ["PM", "BL/M", "BL/M"], "t": ["LY"]})
    assert vote(table)["verdict"].tolist() == ["AML", "control"]
    own = vote(table, any_promyelocyte_is_apl)
    assert own["verdict"].tolist() == ["APL", "unknown"]
    assert own["module_1"].tolist() == own["module_2"].tolist() == ["", ""]
    assert own["n_blasts"].tolist() == [2, 0]
    with pytest.raises(ValueError, match="no column `verdict`"):
        vote(table, lambda scores: scores)


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_thresholds_outside_zero_to_one_are_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        MajorityAboveThreshold(threshold)


def test_highest_probability_takes_the_most_probable_diagnosis():
    learned = pd.DataFrame({"p_AML": [0.2, 0.7], "p_APL": [0.8, 0.3]}, index=["s", "t"])
    assert HighestProbability()(learned)["verdict"].to_dict() == {"s": "APL", "t": "AML"}
    with pytest.raises(ValueError, match="p_<diagnosis>"):
        HighestProbability()(pd.DataFrame({"x": [1]}))


def test_columns_the_cells_lack_are_left_out():
    table = cells({"s": ["LY"]})[["image_id", "smear_id", *(f"p1_{c}" for c in MODULE_1_CLASSES)]]
    votes = vote(table)
    assert votes.loc[0, "verdict"] == "control" and "patient_id" not in votes and "expected" not in votes
