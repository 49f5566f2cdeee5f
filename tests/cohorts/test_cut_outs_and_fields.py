"""Cells cut out on black (C-NMC 2019) and cells boxed in fields (LeukemiaAttri): their layouts, oddities, scale."""

import numpy as np
import pytest
from miniatures import (
    as_macos_packs,
    attri,
    cnmc,
    counts,
    grow,
    write_picture,
)

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.manifest import CohortError
from alnet_lib.core.vocabulary import CELL_DIAMETERS
from alnet_lib.imaging import decoding


def test_cnmc_subjects_are_one_whatever_their_case_and_the_preliminary_set_tests(tmp_path, monkeypatch):
    grow("cnmc_2019", cnmc, tmp_path, monkeypatch)
    cohort = SOURCES["cnmc_2019"].read(tmp_path)
    patients = cohort.manifest.groupby("patient_id")
    assert patients.size()["cnmc_2019/B7"] == 2 and patients["split"].nunique().eq(1).all()
    left_out = cohort.excluded.set_index("reason")["count"]
    assert left_out["hem: normal B-precursors, no class of ALNet"] == 5
    assert left_out["file name is not UID_..._all.bmp"] == left_out["preliminary, of a subject in the folds"] == 1
    tested = cohort.manifest[cohort.manifest["split"].eq("test")]
    assert set(tested["patient_id"]) == {"cnmc_2019/57"} and len(tested) == 2
    assert tested["path"].str.contains("C-NMC_test_prelim_phase_data/").all()
    assert any("background reveals the class" in note for note in cohort.notes)


def test_cnmc_without_its_preliminary_set_holds_subjects_out(tmp_path, monkeypatch):
    counts("cnmc_2019", cnmc(tmp_path, preliminary=False), monkeypatch)
    cohort = SOURCES["cnmc_2019"].read(tmp_path)
    assert cohort.manifest.groupby("patient_id")["split"].nunique().eq(1).all()
    assert set(cohort.manifest["split"]) == {"train", "test"}
    assert any("held out for testing" in note for note in cohort.notes)


def test_a_preliminary_set_in_part_is_refused(tmp_path, monkeypatch):
    grow("cnmc_2019", cnmc, tmp_path, monkeypatch)
    next(tmp_path.rglob("C-NMC_test_prelim_phase_data/2.bmp")).unlink()
    with pytest.raises(CohortError, match=r"incomplete: preliminary 3 of 4\. Unpack"):
        SOURCES["cnmc_2019"].read(tmp_path)


def test_boxes_become_cells_of_one_scale_and_squeezed_fields_are_stretched(tmp_path):
    attri(tmp_path)
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    manifest = cohort.manifest.set_index("cell_type")
    named = [name for name in manifest.index if name]
    assert named == ["abnormal_promyelocyte", "reactive_lymphocyte", "myeloblast", "b_lymphoblast"]
    types = ["myeloblast", "reactive_lymphocyte", "abnormal_promyelocyte", "b_lymphoblast"]
    usual = np.array([CELL_DIAMETERS[name] for name in types])
    high = 36 * np.median(np.array([60, 60, 60, 50]) / usual)
    assert manifest["field_of_view_height"].unique() == pytest.approx([high])
    assert manifest["field_of_view"].unique() == pytest.approx([0.6 * high])
    assert manifest.loc["myeloblast", ["centre_x", "centre_y"]].tolist() == [118, 130]
    row = manifest.index.get_loc("myeloblast")
    shown = decoding.picture(cohort.files[row], cohort.crops[row])
    cell = shown[:, :, 1] < 140
    assert shown.shape == (round(high), round(high), 3)
    assert cell.any(0).sum() == pytest.approx(60, abs=2) and cell.any(1).sum() == pytest.approx(60, abs=2)
    assert np.argwhere(cell).mean(0) == pytest.approx([high / 2] * 2, abs=2)
    assert "0.60 of their width" in cohort.notes[0]


def test_patients_and_diagnoses_of_fields_come_from_their_names(tmp_path):
    attri(tmp_path)
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    manifest = cohort.manifest.set_index("cell_type")
    labelled, bare = manifest[manifest.index != ""], manifest[manifest.index == ""]
    assert labelled["diagnosis"].to_dict() == {
        "abnormal_promyelocyte": "APL", "reactive_lymphocyte": "AML", "myeloblast": "AML", "b_lymphoblast": "ALL",
    }  # fmt: skip
    assert manifest.loc["reactive_lymphocyte", "patient_id"] == "leukemia_attri/3"
    assert labelled["split"].to_dict()["abnormal_promyelocyte"] == "test" and labelled["split"].eq("train").sum() == 3
    assert cohort.excluded.set_index("reason")["count"].to_dict() == {
        "category None, APL patient": 1, "patient with CLL: no diagnosis of ALNet": 1, "box without area": 2,
    }  # fmt: skip
    assert labelled["immature"].to_dict() == {
        "abnormal_promyelocyte": True, "reactive_lymphocyte": False, "myeloblast": True, "b_lymphoblast": True,
    }  # fmt: skip
    # A lymphoblast of an AML patient: the diagnosis does not decide who votes.
    assert bare["diagnosis"].tolist() == ["AML"] and bare["immature"].all()


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("*.png", r"5 of 5 pictures that its COCO files name are missing"),
        ("21_2_1000_CLL.png", r"1 of 5 pictures .* missing \(21_2_1000_CLL.png\)\. Unpack H_100X_C1 again"),
        ("test.json", r"has no COCO file test.json; expected .*Unpack H_100X_C1 again"),
        ("*.json", "has no COCO file train.json and no test.json"),
    ],
)
def test_fields_unpacked_in_part_are_refused(lost, says, tmp_path):
    attri(tmp_path)
    for path in list(tmp_path.rglob(lost)):
        path.unlink()
    with pytest.raises(CohortError, match=says):
        SOURCES["leukemia_attri"].read(tmp_path)


def test_a_field_that_no_coco_file_names_is_refused(tmp_path):
    attri(tmp_path)
    write_picture(next(tmp_path.rglob("Images/train")) / "9_9_1000_ALL.png", (640, 640))
    with pytest.raises(CohortError, match=r"1 of 6 pictures are in no COCO file, so one is missing \(9_9_1000_ALL"):
        SOURCES["leukemia_attri"].read(tmp_path)


def test_a_patient_on_both_sides_of_the_sources_split_tests(tmp_path):
    attri(tmp_path)
    for path in tmp_path.rglob("test.json"):
        path.write_text(path.read_text().replace("23_7_1000_APML", "3_7_1000_AML").replace("Abnormal pro", "Mono"))
    next(tmp_path.rglob("23_7_1000_APML.png")).rename(next(tmp_path.rglob("Images/test")) / "3_7_1000_AML.png")
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    assert cohort.manifest.groupby("patient_id")["split"].first().to_dict() == {
        "leukemia_attri/3": "test", "leukemia_attri/4": "train", "leukemia_attri/5": "train",
    }  # fmt: skip
    assert any(note.startswith("1 fields of patients on both sides") for note in cohort.notes)


def test_boxes_without_area_are_left_out(tmp_path):
    attri(tmp_path)
    for path in tmp_path.rglob("train.json"):
        path.write_text(path.read_text().replace("[100, 100, 36, 60]", "[100, 100, 36, 0]"))
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    assert cohort.excluded.set_index("reason")["count"]["box without area"] == 1 + 2
    assert "myeloblast" not in set(cohort.manifest["cell_type"])


def test_links_are_followed_and_what_macos_packs_is_passed_over(tmp_path, monkeypatch):
    grow("leukemia_attri", attri, tmp_path / "real", monkeypatch)
    subset = next((tmp_path / "real").rglob("H_100X_C1"))
    for folder in (subset / "json_labels", subset / "Images" / "train"):
        as_macos_packs(folder)
    (tmp_path / "linked" / "H_100x_C1").mkdir(parents=True)
    for name in ("Images", "json_labels"):
        (tmp_path / "linked" / "H_100x_C1" / name).symlink_to(subset / name)
    (tmp_path / "linked" / "H_100x_C1" / "round").symlink_to(tmp_path / "linked")
    direct, linked = (
        SOURCES["leukemia_attri"].read(tmp_path / "real"),
        SOURCES["leukemia_attri"].read(tmp_path / "linked"),
    )
    assert linked.manifest.drop(columns="path").equals(direct.manifest.drop(columns="path"))


def test_a_preliminary_set_without_its_table_is_refused(tmp_path, monkeypatch):
    grow("cnmc_2019", cnmc, tmp_path, monkeypatch)
    next(tmp_path.rglob("C-NMC_test_prelim_phase_data_labels.csv")).unlink()
    with pytest.raises(CohortError, match="is there without its table C-NMC_test_prelim_phase_data_labels"):
        SOURCES["cnmc_2019"].read(tmp_path)


def test_cut_out_marrow_never_votes(tmp_path, monkeypatch):
    grow("cnmc_2019", cnmc, tmp_path, monkeypatch)
    assert not SOURCES["cnmc_2019"].read(tmp_path).manifest["immature"].any()
