"""The caution on the pages of combined sources."""

import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.report import cautions
from alnet_lib.workflow import recorder


def _run(folder, seen, warn, status="reproduced"):
    frame = pd.DataFrame({"seen": seen, "balanced_accuracy": 0.6, "chance": 0.2, "warn": warn, "images": 100})
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
    assert ("60%" in cautions.caution(tmp_path)) is cautious


def test_what_was_not_measured_is_unavailable_with_its_reason(tmp_path):
    assert isinstance(cautions.load(tmp_path), Unavailable) and not cautions.caution(tmp_path)
    _run(tmp_path, ["source"], [True], status="unavailable")
    assert cautions.load(tmp_path).reason == "too few"
