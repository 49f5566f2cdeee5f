"""The vote of a smear: what the paper says of it, and what must hold for any vote."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import vote
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES

FIRST = {
    "LY": "lymphocyte",
    "MO": "monocyte",
    "RL": "reactive_lymphocyte",
    "PM": "abnormal_promyelocyte",
    "BL": "blast",
}


def cells(smears: dict[str, list[str]], diagnosis: str = "AML", module_2: bool = True) -> pd.DataFrame:
    """smear -> cells as `BL/M` (called blast, then myeloid), `BL/B`, `PM`, ..."""
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
    return vote.vote(cells({"s": calls}, **options), threshold).loc[0, "verdict"]


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


def test_module_2_sees_only_what_module_1_called_blast():
    assert verdict(["BL/M"] * 3 + ["LY/B"] * 2) == "AML"


def test_without_module_2_the_lineage_is_not_told():
    assert verdict(["BL", "BL"], module_2=False) == vote.NON_APL


def test_order_of_cells_and_smears_changes_nothing_and_doubling_cells_changes_no_vote():
    rng = np.random.default_rng(0)
    table = cells({f"s{i}": [str(rng.choice(["PM", "BL/M", "BL/B", "LY"])) for _ in range(7)] for i in range(8)})
    usual = vote.vote(table)
    pd.testing.assert_frame_equal(usual, vote.vote(table.sample(frac=1, random_state=1)))
    doubled = vote.vote(pd.concat([table, table]))
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
        vote.vote(table)


def test_tables_9a_and_9b_of_a_perfect_system_are_the_papers():
    table = pd.concat(
        [
            cells({f"a{i}": ["BL/M"] * 3 for i in range(30)}, "AML"),
            cells({f"b{i}": ["BL/B"] * 3 for i in range(27)}, "ALL"),
        ]
    )
    table.loc[table["diagnosis"].eq("ALL"), "cell_type"] = "b_lymphoblast"
    votes = vote.vote(table)
    nine_a = vote.table_9a(votes, vote.smear_truth(table))
    assert nine_a.loc["AL non-APL", "AL non-APL"] == 57 and nine_a.to_numpy().sum() == 57
    assert vote.table_9b(votes).to_numpy().tolist() == [[30, 0, 0], [0, 27, 0]]
    assert vote.end_to_end(votes).loc["ALL", "ALL"] == 27


def test_coverage_falls_and_never_rises_with_the_threshold():
    rng = np.random.default_rng(3)
    table = cells({f"s{i}": [str(rng.choice(["PM", "BL/M", "LY"])) for _ in range(9)] for i in range(20)})
    curve = vote.coverage(table, np.linspace(0.35, 0.95, 7))
    assert (np.diff(curve["decided"]) <= 0).all()


def test_shares_of_a_smear_add_up_and_are_those_of_the_vote():
    table = cells({"s": ["PM", "PM", "BL/M", "LY"], "t": ["MO"]})
    shares = vote.smear_shares(table)
    assert shares.loc["s"].tolist() == [0.25, 0, 0, 0.5, 0.25]
    assert (shares.sum(axis=1) == 1).all()
    assert shares.to_numpy().tolist() == vote.vote(table).filter(regex="^share_").to_numpy().tolist()


def test_module_2_need_not_know_cells_that_are_no_blasts_but_must_know_blasts():
    table = cells({"s": ["BL/M", "BL/M", "LY"]})
    second = [f"p2_{c}" for c in MODULE_2_CLASSES]
    table[second] = table[second].astype(float)
    table.loc[2, second] = np.nan
    assert vote.vote(table).loc[0, "verdict"] == "AML"
    table.loc[1, second] = np.nan
    with pytest.raises(ValueError, match="module 2: s-1"):
        vote.vote(table)
    table[second] = np.nan
    assert vote.vote(table).loc[0, "verdict"] == vote.NON_APL


def test_no_cell_gives_no_smear():
    votes = vote.vote(cells({"s": ["LY"]}).iloc[:0])
    assert len(votes) == 0 and "verdict" in votes
    assert vote.end_to_end(votes).to_numpy().sum() == 0


def test_one_smears_cells_change_no_other_smears_vote():
    table = cells({"s": ["PM", "BL/M", "BL/B"], "t": ["BL/M"] * 3})
    alone = vote.vote(table[table["smear_id"].eq("t")])
    pd.testing.assert_frame_equal(vote.vote(table).iloc[[1]].reset_index(drop=True), alone)


def test_below_one_half_the_largest_share_wins_and_a_tie_is_unknown():
    assert verdict(["PM"] * 4 + ["BL/M"] * 3 + ["LY"] * 2, threshold=0.3) == "APL"
    assert verdict(["PM"] * 4 + ["BL/M"] * 4 + ["LY"], threshold=0.3) == "unknown"


def test_a_missing_class_leaves_a_row_of_zeros_and_table_9b_needs_module_2():
    votes = vote.vote(cells({"s": ["BL"] * 3}, module_2=False))
    assert vote.end_to_end(votes).loc[vote.NON_APL, vote.NON_APL] == 1
    assert vote.end_to_end(votes).loc["ALL"].sum() == 0
    with pytest.raises(ValueError, match="module 2"):
        vote.table_9b(votes)


def test_cells_needed_reaches_the_whole_vote_and_one_cell_is_never_unknown():
    rng = np.random.default_rng(5)
    table = cells({f"s{i}": [str(rng.choice(["BL/M", "PM"], p=[0.7, 0.3])) for _ in range(11)] for i in range(40)})
    whole = vote.vote(table)["verdict"].eq("AML").mean()
    curve = vote.cells_needed(table, [1, 3, 11, 50], repeats=20, rng=np.random.default_rng(0)).set_index("cells")
    assert curve.loc[11, ["correct", "low", "high"]].tolist() == pytest.approx([whole] * 3)
    assert curve.loc[50, "correct"] == curve.loc[11, "correct"]
    assert curve["full"].tolist() == [40, 40, 40, 0]
    assert curve.loc[1, "unknown"] == 0
    # One cell is right as often as cells are; eleven average the noise away.
    right = (table["p1_blast"] > 0.5).mean()
    assert curve.loc[1, "correct"] == pytest.approx(right, abs=0.04)
    assert curve.loc[1, "correct"] < curve.loc[3, "correct"] < curve.loc[11, "correct"]
    with pytest.raises(ValueError, match="one cell"):
        vote.cells_needed(table, [0], repeats=1, rng=rng)
