"""The caution on the pages of combined sources."""

import pandas as pd
import pytest
from faults.damage import damage

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import Damaged
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.paper.values import Value
from alnet_lib.report import cautions
from alnet_lib.workflow import recorder


def _run(folder, seen, warn, status="reproduced", **ends):
    given = {"balanced_accuracy": 0.6, "low": 0.52, "high": 0.68, "chance": 0.2, "images": 100}
    frame = pd.DataFrame({"seen": seen, "warn": warn} | given | ends)
    (folder / "tables").mkdir()
    frame.to_csv(folder / "tables" / f"{cautions.ITEM}.csv", index=False)
    recorder.write_item(folder, recorder.Item(cautions.ITEM, "", "table", status, reason="too few", notebook="01"))


@pytest.mark.parametrize(
    ("seen", "warn", "cautious"),
    [
        (["source", "background"], [True, False], True),
        (["source", "background"], [False, False], False),
        (["background", "mean_colour"], [True, True], False),
    ],
)
def test_only_combined_sources_that_are_told_apart_call_for_a_caution(tmp_path, seen, warn, cautious):
    _run(tmp_path, seen, warn)
    assert ("60% (52 to 68%)" in cautions.caution(tmp_path)) is cautious


def test_module_1_stands_beside_with_its_interval(tmp_path):
    _run(tmp_path, ["source"], [True])
    value = Value(cautions.NETWORK, "%", reproduced=81.2, ci_low=74.6, ci_high=86.1)
    recorder.write_item(tmp_path, recorder.Item("table_08", "", "table", "reproduced", notebook="03", values=(value,)))
    assert "; module 1, 81% (75 to 86%)" in cautions.caution(tmp_path)


def test_no_interval_is_written_where_there_is_none(tmp_path):
    _run(tmp_path, ["source"], [True], low=float("nan"), high=float("nan"))
    assert "60%. Part" in cautions.caution(tmp_path)


def test_what_was_not_measured_is_unavailable_with_its_reason(tmp_path):
    assert isinstance(cautions.load(tmp_path), Unavailable) and not cautions.caution(tmp_path)
    _run(tmp_path, ["source"], [True], status="unavailable")
    assert cautions.load(tmp_path).reason == "too few"


def test_a_damaged_table_of_baselines_is_named(tmp_path):
    _run(tmp_path, ["source"], [True])
    table = tmp_path / "tables" / f"{cautions.ITEM}.csv"
    index.begin(tmp_path)
    index.record(table)
    damage(table, "flipped", keep_time=True)
    with pytest.raises(Damaged, match=table.name):
        cautions.caution(tmp_path)
