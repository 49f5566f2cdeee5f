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
