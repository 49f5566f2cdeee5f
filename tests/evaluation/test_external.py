"""Cells and smears of other sites, against counts and intervals by hand."""

import numpy as np
import pandas as pd
import pytest
from miniatures import cells_of_smears
from scipy import stats

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import external, smear_level


def cells(smears, split="external", **options):
    """Predicted cells of smears of another site."""
    return cells_of_smears(smears, split, **options)


def votes_of(table):
    return smear_level.votes_of(smear_level.voting_cells(table, "external"), MajorityAboveThreshold(0.5))


SMEARS = {
    "a": ("AML", ["BL/M"] * 3),
    "b": ("AML", ["BL/B"] * 3),
    "c": ("ALL", ["BL/B"] * 2 + ["PM"]),
    "d": ("ALL", ["BL/B", "PM"]),
}


def test_external_cells_by_site_and_together():
    table = pd.concat(
        [cells({"a": SMEARS["a"], "c": SMEARS["c"]}, site="x"), cells({"b": SMEARS["b"]}, site="y")],
        ignore_index=True,
    )
    table = pd.concat([table, cells(SMEARS, "test")], ignore_index=True)
    result = external.external_cells(table)
    found = result.frame.set_index(["site", "module", "class"])
    assert found.loc[("x", "1", "Blasts"), ["correct", "cells"]].tolist() == [5, 6]
    assert found.loc[("all", "1", "Blasts"), ["correct", "cells"]].tolist() == [8, 9]
    assert found.loc[("all", "2", "Myeloid blasts"), "accuracy"] == 50
    assert found["interval"].eq("none: fewer than 5 patients").all() and found["low"].isna().all()
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.external.module_1.accuracy"] == pytest.approx(800 / 9)
    assert values["external.x.module_1.blast"] == pytest.approx(500 / 6) and values["external.y.module_1.blast"] == 100
    assert (result.facts["n"], result.facts["patients"]) == (9, 3)
    assert external.external_cells(cells(SMEARS, "test")) == Unavailable("no labelled cell of another site")


def test_external_cells_have_intervals_over_patients():
    smears = {f"p{i}": ("AML", ["BL/M" if i else "PM"] * 4) for i in range(6)}
    result = external.external_cells(cells(smears))
    # As in test_cell_level: five patients all correct, one all wrong; 24 cells are worth 5.
    effective = 5 * (stats.t.ppf(0.975, 23) / stats.t.ppf(0.975, 5)) ** 2
    bounds = (
        100 * stats.beta.ppf(0.025, 5 / 6 * effective, effective / 6 + 1),
        100 * stats.beta.ppf(0.975, 5 / 6 * effective + 1, effective / 6),
    )
    row = result.frame.set_index(["site", "module"]).loc[("all", "1")]
    assert (row["low"], row["high"], row["design_effect"]) == pytest.approx((*bounds, 4.8))
    value = {value.key: value for value in result.values}["text.external.module_1.accuracy"]
    assert (value.published, value.ci_low, value.ci_high) == (98, *(pytest.approx(end) for end in bounds))


def test_external_smears_as_section_3_3_counts_them():
    table = cells(SMEARS | {"e": ("AML", ["BL/M"]), "f": ("AML", ["BL/M"]), "g": ("AML", ["BL/M"])})
    result = external.external_smears(votes_of(table), table)
    values = {value.key: value for value in result.values}
    numbers = {key: value.reproduced for key, value in values.items()}
    assert numbers["external.smears.accuracy"] == pytest.approx(500 / 7)
    assert numbers["text.external.smears_module_1"] == pytest.approx(600 / 7)
    assert numbers["text.external.AML_sensitivity"] == 80 and numbers["text.external.ALL_smears_right"] == 1
    # Five patients of one smear each: variance 5/4 * (4/5 * 1/5) / 5 = 1/25, worth (4/25) / (1/25) = 4 trials.
    aml = values["text.external.AML_sensitivity"]
    bounds = (100 * stats.beta.ppf(0.025, 3.2, 1.8), 100 * stats.beta.ppf(0.975, 4.2, 0.8))
    assert (aml.ci_low, aml.ci_high) == pytest.approx(bounds) and aml.n_patients == 5
    assert np.isnan(values["text.external.ALL_sensitivity"].ci_low), "two patients"
    counts = [values[f"text.external.AML_smears{end}"] for end in ("", "_right")]
    assert [(one.reproduced, one.n_patients, one.n_smears, one.ci_low) for one in counts] == [
        (5, 5, 5, None), (4, 5, 5, None),
    ]  # fmt: skip
    assert result.facts["n"] == 7 and result.facts["counts"].loc["AML", "ALL"] == 1
    alone = cells(SMEARS, module_2=False)
    assert {v.key for v in external.external_smears(votes_of(alone), alone).values} == {
        "external.smears.accuracy", "external.smears.AL non-APL",
    }  # fmt: skip


def test_external_smears_without_a_diagnosis_are_left_out_and_counted():
    table = cells(SMEARS)
    table.loc[table["smear_id"].eq("b"), "diagnosis"] = ""
    result = external.external_smears(votes_of(table), table)
    numbers = {value.key: value.reproduced for value in result.values}
    assert numbers["external.smears.accuracy"] == pytest.approx(200 / 3) and result.facts["undiagnosed"] == 1
    assert numbers["text.external.AML_smears"] == 1 and numbers["text.external.smears_module_1"] == pytest.approx(
        200 / 3
    )
    nobody = table.assign(diagnosis=np.nan)
    assert external.external_smears(votes_of(nobody), nobody).reason.startswith("no smear has a diagnosis")


def test_examples_of_sites_need_two_sites():
    manifest = pd.concat([cells({"a": SMEARS["a"]}, site="x"), cells({"c": SMEARS["c"]}, site="y")], ignore_index=True)

    def read(names, side):
        return [np.full((side, side, 3), manifest.index[manifest["image_id"].eq(name)][0]) for name in names]

    found = external.site_examples(manifest, read, np.random.default_rng(0), each=2)
    assert {name: len(pictures) for name, pictures in found.items()} == {
        ("Myeloid blasts", "x"): 2,
        ("B-Lymphoblasts", "y"): 2,
    }
    assert all(picture[0, 0, 0] >= 3 and len(picture) >= 112 for picture in found["B-Lymphoblasts", "y"])
    one = external.site_examples(manifest.assign(site="x"), read, np.random.default_rng(0))
    assert one == Unavailable("blasts come from one site only")
