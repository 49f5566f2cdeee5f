"""The register of sources, the neutral cell diameters, and the schema that reports everything at once."""

import ast
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pandas as pd
import pytest

from alnet_lib.cohorts import adapters, schema
from alnet_lib.cohorts.adapters.source import SOURCES, Source, listed, register
from alnet_lib.cohorts.building import table
from alnet_lib.cohorts.synthetic import morphology, twin
from alnet_lib.cohorts.validation import validate
from alnet_lib.core.code import closure
from alnet_lib.core.vocabulary import CELL_DIAMETERS, CELL_TYPES

FILES = [path for path in Path(adapters.__file__).parent.glob("by_*/*.py") if path.name != "__init__.py"]


def test_every_adapter_is_registered_and_frozen():
    assert {path.stem for path in FILES} | {twin.NAME} == set(SOURCES)
    assert [source.name for source in listed()] == table()["name"].tolist()
    assert listed()[0].name == twin.NAME and listed()[-1].name == "folder"
    for source in SOURCES.values():
        with pytest.raises(FrozenInstanceError):
            source.name = "other"
        assert source.about and source.reader.__name__ == "read"


def test_a_name_is_registered_once_and_a_kind_must_be_known():
    with pytest.raises(ValueError, match="two sources"):
        register(replace(SOURCES["mll23"]))
    with pytest.raises(ValueError, match="kind `secret`"):
        register(Source("x", "secret", "", "", "", ""))


def test_building_reaches_every_adapter_in_the_closure_of_imports():
    assert set(FILES) <= set(closure(["alnet_lib.cohorts.building"]))


def test_adapters_of_real_sources_know_nothing_of_the_synthetic_cohort():
    for path in [*FILES, *Path(adapters.__file__).parent.glob("*.py")]:
        imported = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not any("synthetic" in (name or "") for name in imported), path
    assert set(CELL_TYPES) <= set(CELL_DIAMETERS)


def test_drawing_uses_the_neutral_diameters_and_is_unchanged():
    assert morphology.MEAN["cell_diameter"].to_dict() == CELL_DIAMETERS
    assert list(morphology.MEAN.columns) == list(morphology.SPREAD.columns) == list(morphology.CRITERIA)
    # Sums of the table and of one image as they were before the diameters moved (commit 2b86d1e).
    assert morphology.MEAN.to_numpy().sum() == pytest.approx(1306.53, abs=1e-9)
    row = twin.manifest_of(0.004, 2021).iloc[0].to_dict()
    assert int(twin.draw(row).astype(int).sum()) == 76675828


def test_all_problems_of_a_manifest_are_reported_at_once(twin):
    manifest = twin.manifest.copy()
    manifest["immature"] = pd.Series(True, index=manifest.index).astype(object)
    for row, column, value in ((0, "cell_type", "?"), (1, "diagnosis", "?"), (2, "split", "?"), (3, "smear_id", ""),
                               (4, "patient_id", None), (5, "immature", "perhaps")):  # fmt: skip
        manifest.loc[row, column] = value
    manifest.loc[7, "image_id"] = manifest.loc[6, "image_id"]
    manifest = manifest.drop(columns="subtype")
    found = {(f.row, f.column) for f in schema.findings(manifest, schema.manifest_schema())}
    expected = {(0, "cell_type"), (1, "diagnosis"), (2, "split"), (3, "smear_id"), (4, "patient_id"), (5, "immature")}
    assert expected | {(7, "image_id"), (-1, "subtype")} == found
    problems = validate(replace(twin, manifest=manifest), check_images=False)
    assert {problem.row for problem in problems} >= {-1, 0, 1, 2, 3, 4, 5, 7}


def test_cells_and_votes_have_a_schema_and_say_all_that_is_wrong(twin):
    cells = twin.manifest.assign(**{f"p1_{name}": 0.2 for name in schema.MODULE_1_CLASSES}, eligible=True)
    assert schema.require(cells, schema.cells_schema(), "cells") is cells
    bad = cells.assign(p1_blast=1.5).drop(columns="p1_monocyte")
    with pytest.raises(
        schema.SchemaError, match=r"(?s)lacks the column `p1_monocyte`.*p1_blast is `1.5`; it is a share"
    ):
        schema.require(bad, schema.cells_schema(), "cells")
    votes = pd.DataFrame({name: [] for name in schema.votes_schema().columns})
    assert not schema.findings(votes, schema.votes_schema())


def test_a_manifest_of_any_index_is_reported_by_position(twin):
    shuffled = twin.manifest.iloc[::-1].copy()
    shuffled.iloc[2, shuffled.columns.get_loc("cell_type")] = "?"
    assert [f.row for f in schema.findings(shuffled, schema.manifest_schema())] == [2]
