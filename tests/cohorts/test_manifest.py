"""Bad input is named by row and file, all of it at once, before anything trains."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from alnet_lib.cohorts import building, validation
from alnet_lib.cohorts.document import document
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.validation import as_frame, validate, validated
from alnet_lib.core.vocabulary import MANIFEST_COLUMNS


def changed(cohort: Cohort, **columns: dict[int, str]) -> Cohort:
    """The cohort with cells of the manifest replaced: column -> {row: value}."""
    manifest = cohort.manifest.copy()
    for column, values in columns.items():
        for row, value in values.items():
            manifest.loc[row, column] = value
    return replace(cohort, manifest=manifest)


def with_value(cohort: Cohort, column: str, value: object) -> Cohort:
    """The cohort with a value of any kind in row 1 of a column."""
    values = cohort.manifest[column].tolist()
    values[1] = value
    return replace(cohort, manifest=cohort.manifest.assign(**{column: pd.Series(values, dtype=object)}))


def errors(cohort: Cohort, **options) -> list[str]:
    return [str(p) for p in validate(cohort, **options) if p.severity == "error"]


@pytest.fixture
def copied(twin, tmp_path):
    """The drawn cohort with images of its own, to be broken."""
    shutil.copytree(twin.root, tmp_path / "broken, é")
    return replace(twin, root=tmp_path / "broken, é")


def test_a_good_cohort_has_no_error(twin):
    assert errors(twin) == []


def test_unknown_words_are_all_reported_by_row_and_file(twin):
    found = errors(
        changed(twin, cell_type={0: "blastocyte"}, diagnosis={2: "AUL"}, split={5: "valid"}), check_images=False
    )
    assert len(found) >= 3
    for row, word in ((0, "blastocyte"), (2, "AUL"), (5, "valid")):
        assert any(f"row {row}," in line and word in line and twin.manifest["path"][row] in line for line in found)
    assert any("known are lymphocyte" in line for line in found)


@pytest.mark.parametrize("column", MANIFEST_COLUMNS)
def test_what_is_no_text_is_named_with_row_and_column(twin, column):
    for value in (3, 2.5, b"x", ["a"], {"a": 1}):
        cohort = with_value(twin, column, value)
        for images in (False, True) if column == "path" else (False,):
            found = [problem for problem in validate(cohort, check_images=images) if problem.severity == "error"]
            assert [(problem.row, problem.column) for problem in found] == [(1, column)], (value, found)
            assert "must be text" in found[0].what + found[0].fix and f"({type(value).__name__})" in found[0].what


@pytest.mark.parametrize("column", ["path", "cell_type", "smear_id", "split"])
@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA])
def test_nothing_in_a_mandatory_column_is_named_with_row_and_column(twin, column, nothing):
    found = [problem for problem in validate(with_value(twin, column, nothing)) if problem.severity == "error"]
    assert [(problem.row, problem.column) for problem in found] == [(1, column)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("immature", pd.NA), ("immature", ["x"]), ("centre_x", "left"), ("field_of_view", {}), ("smear_known", b"1")],
)
def test_flags_and_numbers_that_are_none_are_named_with_row_and_column(twin, column, value):
    usual = True if column in ("immature", "smear_known") else 30.0
    filled = replace(twin, manifest=twin.manifest.assign(**{column: [usual] * len(twin.manifest)}))
    cohort = with_value(filled, column, value)
    found = [problem for problem in validate(cohort, check_images=False) if problem.column == column]
    assert [(problem.row, problem.severity) for problem in found] == [(1, "error")]


def test_a_path_that_no_file_can_have_is_named(twin):
    found = errors(changed(twin, path={1: "a" * 300 + ".png"}))
    assert len(found) == 1 and "row 1" in found[0] and "too long" in found[0]


@pytest.mark.parametrize(("column", "words"), [("patient_id", "patients"), ("diagnosis", "diagnoses")])
def test_a_smear_of_several_patients_or_diagnoses_is_told(twin, column, words):
    def told(cohort):
        return [str(p) for p in validate(cohort, check_images=False) if f"have several {words}" in p.what]

    smear = twin.manifest["smear_id"].value_counts().index[0]
    rows = twin.manifest.index[twin.manifest["smear_id"].eq(smear)]
    other = {
        "patient_id": "somebody else",
        "diagnosis": "APL" if twin.manifest["diagnosis"][rows[1]] != "APL" else "ALL",
    }
    several = changed(twin, **{column: {rows[1]: other[column]}})
    assert told(twin) == [] and len(told(several)) == 1
    assert (
        f"`{smear}`" in told(several)[0] and other[column] in told(several)[0] and f"row {rows[0]}" in told(several)[0]
    )
    nameless = twin.manifest["smear_id"].ne(smear)
    assert told(replace(several, manifest=several.manifest.assign(smear_known=nameless))) == []


def test_a_field_of_view_below_a_pixel_and_a_height_alone_are_errors(twin):
    few = replace(twin, manifest=twin.manifest.head(3))
    fields = few.manifest.assign(field_of_view=[0.0001, None, 30.0], field_of_view_height=[None, 30.0, 0.2])
    found = errors(replace(few, manifest=fields))
    assert ["row 0" in found[0], "row 1" in found[1], "row 2" in found[2]] == [True] * 3 and len(found) == 3
    assert "0.0001 pixels is impossible" in found[0] and "given without `field_of_view`" in found[1]
    assert "30 by 0.2 pixels is impossible" in found[2]


@pytest.mark.parametrize("column", ["path", "cell_type", "smear_id", "split"])
def test_a_missing_column_is_named(twin, column):
    found = errors(replace(twin, manifest=twin.manifest.drop(columns=column)))
    assert found == [f"error: the manifest lacks the column `{column}`. docs/cohorts.md lists them."]


def test_an_empty_manifest_and_missing_ids_are_errors(twin):
    assert any("no row" in line for line in errors(replace(twin, manifest=twin.manifest.head(0))))
    assert any("row 4" in line and "no smear_id" in line for line in errors(changed(twin, smear_id={4: ""})))
    twice = twin.manifest["image_id"][0]
    assert any("used twice" in line for line in errors(changed(twin, image_id={1: twice}), check_images=False))


def test_a_smear_on_both_sides_of_the_split_is_an_error(twin):
    smear = twin.manifest["smear_id"].value_counts().index[0]
    row = twin.manifest.index[twin.manifest["smear_id"].eq(smear)][0]
    other = "test" if twin.manifest["split"][row] != "test" else "train"
    found = errors(changed(twin, split={row: other}), check_images=False)
    assert any(f"smear `{smear}` is on both sides" in line for line in found)


def test_broken_files_are_all_named_at_once(copied):
    picture = Image.open(copied.file(0))
    copied.file(1).unlink()
    copied.file(2).write_bytes(b"")
    copied.file(3).write_text("cell")
    copied.file(4).write_bytes(copied.file(4).read_bytes()[:-200])
    picture.convert("L").save(copied.file(5))
    found = errors(copied)
    reasons = ("missing", "zero bytes", "not an image", "truncated", "greyscale")
    assert len(found) == 5
    for row, reason in enumerate(reasons, start=1):
        assert any(line.startswith(f"error: row {row},") and reason in line for line in found), reason
    with pytest.raises(CohortError, match="has 5 errors, nothing was trained"):
        validated(copied)


def test_a_truncated_file_is_used_and_counted_where_the_profile_says_so(copied):
    copied.file(4).write_bytes(copied.file(4).read_bytes()[:-200])
    assert any("truncated" in note for note in validated(copied, allow_truncated=True).notes)


def test_the_same_picture_twice_is_an_error_across_splits_and_a_warning_within(copied):
    train = copied.manifest.index[copied.manifest["split"].eq("train")]
    test = copied.manifest.index[copied.manifest["split"].eq("test")]
    shutil.copy(copied.file(train[0]), copied.file(train[1]))
    assert errors(copied) == []
    assert any("same image" in p.what for p in validate(copied))
    shutil.copy(copied.file(train[0]), copied.file(test[0]))
    found = errors(copied)
    assert len(found) == 1 and "same image" in found[0] and f"row {test[0]}" in found[0]


def test_a_class_without_training_images_is_a_warning(twin):
    rows = twin.manifest.index[twin.manifest["cell_type"].eq("monoblast") & twin.manifest["split"].eq("train")]
    told = validate(replace(twin, manifest=twin.manifest.drop(index=rows)), check_images=False)
    assert any("`monoblast` is empty" in p.what and p.severity == "warning" for p in told)


def test_problems_make_a_table(twin):
    frame = as_frame(validate(changed(twin, cell_type={0: "?"}), check_images=False))
    assert list(frame.columns) == ["severity", "row", "path", "what", "fix"] and len(frame)


def test_a_saved_cohort_comes_back_equal(twin, tmp_path):
    twin.save(tmp_path / "copy")
    again = Cohort.load(tmp_path / "copy")
    pd.testing.assert_frame_equal(again.manifest, twin.manifest)
    assert again.content_hash == twin.content_hash and again.files == twin.files
    with pytest.raises(CohortError, match="alnet cohort build"):
        Cohort.load(tmp_path)


def test_unknown_cohorts_and_unwritable_folders_are_refused(tmp_path):
    with pytest.raises(CohortError, match="known are synthetic"):
        building.build("nobody", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CohortError, match="cannot be written"):
        building.build("synthetic", tmp_path / "file" / "below", fraction=0.004)


def test_docs_of_the_cohorts_are_those_of_the_adapters():
    from pathlib import Path

    written = Path(__file__).parents[2] / "docs" / "cohorts.md"
    assert written.read_text(encoding="utf-8") == document(), "run `python -m alnet_lib.cohorts > docs/cohorts.md`"


def test_a_message_lists_so_many_errors_and_counts_the_others(twin, monkeypatch):
    monkeypatch.setattr(validation, "SHOWN", 2)
    told = []
    with pytest.raises(CohortError, match="5 errors") as caught:
        validated(changed(twin, cell_type=dict.fromkeys(range(5), "blob")), progress=lambda *n: told.append(n))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4 and "row 1, " in lines[2] and lines[3] == "  and 3 more"
    # The table is checked before the first image is read: something is said at once.
    assert told[:2] == [(0, len(twin.manifest)), (1, len(twin.manifest))]
