"""Smears by site."""

import pandas as pd
import pytest

from alnet_lib import smears


def test_smears_by_site_are_counted_by_hand():
    votes = pd.DataFrame(
        {
            "site": ["a", "a", "a", "b"],
            "diagnosis": ["AML", "AML", "ALL", "AML"],
            "verdict": ["AML", "unknown", "AML", "AML"],
            "expected": ["AML", "AML", "ALL", "AML"],
        }
    )
    table = smears.by_site(votes).set_index(["site", "diagnosis"])
    assert table.loc[("a", "AML"), ["right", "unknown", "smears"]].tolist() == [1, 1, 2]
    assert table.loc[("a", "ALL"), "accuracy"] == 0 and table.loc[("b", "AML"), "accuracy"] == 100
    # Wilson, 1 of 1: from 0.2065 to 1.
    assert table.loc[("b", "AML"), "low"] == pytest.approx(20.65, abs=0.01)
