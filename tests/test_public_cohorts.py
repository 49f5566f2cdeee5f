"""Adapters of public sources on miniatures in their exact layout, and on the real files where they lie."""

import numpy as np
import pytest
from miniatures import TREES, attri, cnmc, idb, lmu, mll_cells, mll_patients, pbc, write_picture

from alnet_lib import audit, cohorts, images, segmentation
from alnet_lib.cohorts import (
    ADAPTERS,
    all_idb2,
    aml_lmu,
    aml_mll_helmholtz,
    classes,
    cnmc_2019,
    leukemia_attri,
    mll23,
    pbc_normal_dib,
)
from alnet_lib.cohorts.manifest import CohortError
from alnet_lib.cohorts.synthetic import morphology

NAMED = [pytest.param(module, tree, id=module.NAME) for module, tree in TREES.items()]


def _grow(module, tree, root, monkeypatch):
    counts = tree(root)
    if counts:
        monkeypatch.setattr(module, "COUNTS", counts)
    if module is cnmc_2019:
        monkeypatch.setattr(module, "PRELIMINARY", 4)
    return counts


@pytest.mark.parametrize(("module", "tree"), NAMED)
def test_a_miniature_becomes_a_cohort_that_passes_validation(module, tree, tmp_path, monkeypatch):
    _grow(module, tree, tmp_path / "in, ä", monkeypatch)
    cohort = cohorts.build(module.NAME, tmp_path / "out", data=tmp_path / "in, ä")
    assert cohort.kind == "public" and len(cohort.manifest)
    array = images.pixels(cohort, 32, cache=tmp_path / "cache")
    assert array.shape == (len(cohort.manifest), 32, 32, 3) and array.std() > 0


@pytest.mark.parametrize("module", [m for m in ADAPTERS.values() if m.KIND == "public"], ids=lambda m: m.NAME)
def test_no_folder_an_empty_one_and_another_data_set_are_refused(module, tmp_path):
    with pytest.raises(CohortError, match="DATA="):
        module.read(None)
    with pytest.raises(CohortError, match="is not a folder"):
        module.read(tmp_path / "nowhere")
    with pytest.raises(CohortError, match=r"expected|it holds nothing"):
        module.read(tmp_path)
    write_picture(tmp_path / "cats" / "1.jpg")
    with pytest.raises(CohortError, match=f"(?s)is not the {module.NAME} data set.*cats"):
        module.read(tmp_path)


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """A miniature of every source, by its name."""
    roots = {module.NAME: tmp_path_factory.mktemp(module.NAME) for module in TREES}
    for module, tree in TREES.items():
        tree(roots[module.NAME])
    return roots


@pytest.mark.parametrize("module", [m for m in ADAPTERS.values() if m.KIND == "public"], ids=lambda m: m.NAME)
def test_every_other_data_set_is_refused_by_name(module, trees):
    for other, root in trees.items():
        if other != module.NAME:
            with pytest.raises(CohortError, match=rf"(not the {module.NAME} data set|or not {module.NAME}\.)") as said:
                module.read(root)
            assert module.SOURCE in str(said.value), other


@pytest.mark.parametrize(
    ("module", "tree"), [pytest.param(m, t, id=m.NAME) for m, t in TREES.items() if t is not attri]
)
def test_a_half_unpacked_archive_is_refused_with_what_is_missing(module, tree, tmp_path, monkeypatch):
    counts = _grow(module, tree, tmp_path, monkeypatch)
    monkeypatch.setattr(module, "COUNTS", {name: n + 1 for name, n in counts.items()})
    with pytest.raises(CohortError, match=r"is incomplete: .* of .*Unpack the whole archive"):
        module.read(tmp_path)


def test_a_missing_class_folder_is_named(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path, monkeypatch)
    for file in (tmp_path / "PBC_dataset_normal_DIB" / "monocyte").iterdir():
        file.unlink()
    (tmp_path / "PBC_dataset_normal_DIB" / "monocyte").rmdir()
    with pytest.raises(CohortError, match="lacks monocyte: unpacked in part"):
        pbc_normal_dib.read(tmp_path)


def test_normal_promyelocytes_are_never_abnormal_ones(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path, monkeypatch)
    cohort = pbc_normal_dib.read(tmp_path)
    assert set(cohort.manifest["cell_type"]) == {"lymphocyte", "monocyte"}
    assert cohort.excluded.set_index("reason")["count"]["class ig"] == 2
    assert not cohort.manifest["smear_known"].any() and "never the vote" in cohort.notes[0]


def test_lmu_keeps_reannotations_and_brings_cells_to_scale(tmp_path, monkeypatch):
    _grow(aml_lmu, lmu, tmp_path, monkeypatch)
    cohort = aml_lmu.read(tmp_path)
    again = cohort.manifest.set_index("path")["reannotation_2"]
    assert again["LYT/LYT_0001.tiff"] == "LYA" and again["LYT/LYT_0002.tiff"] == ""
    # 36 micrometres at 14.14 pixels each are wider than the file: its mirror image fills the rest.
    assert cohort.manifest["view"].unique() == pytest.approx([36 * 14.14])
    wide = images.picture(cohort.files[0], cohort.places[0])
    assert wide.shape == (509, 509, 3)
    np.testing.assert_array_equal(wide[55:455, 55:455], images.decode(cohort.files[0]))


def test_unlabelled_cells_of_patients_are_external_and_only_for_the_vote(tmp_path, monkeypatch):
    _grow(aml_mll_helmholtz, mll_patients, tmp_path, monkeypatch)
    cohort = cohorts.build("aml_mll", tmp_path / "out", data=tmp_path)
    manifest = cohort.manifest
    assert manifest["cell_type"].eq("").all() and manifest["split"].eq("external").all()
    diagnoses = manifest.groupby("patient_id")["diagnosis"].first()
    assert diagnoses["aml_mll_helmholtz/CCC"] == "APL" and diagnoses["aml_mll_helmholtz/EEE"] == "AML"
    assert any("12 cells have no label" in note for note in cohort.notes)
    assert manifest.groupby("patient_id")["leucocytes_per_ul"].first()["aml_mll_helmholtz/CCC"] == 900


def test_the_micro_sign_of_the_table_of_patients_may_be_garbled(tmp_path, monkeypatch):
    _grow(aml_mll_helmholtz, mll_patients, tmp_path, monkeypatch)
    text = (tmp_path / "metadata.csv").read_text().replace("per_ul", "per_µl")
    (tmp_path / "metadata.csv").write_bytes(text.encode("latin-1"))
    manifest = aml_mll_helmholtz.read(tmp_path).manifest
    assert manifest.groupby("patient_id")["leucocytes_per_ul"].first()["aml_mll_helmholtz/CCC"] == 900


def test_what_macos_packs_beside_pictures_is_nopicture(tmp_path, monkeypatch):
    _grow(mll23, mll_cells, tmp_path, monkeypatch)
    cohort = mll23.read(tmp_path)
    assert cohort.manifest["cell_type"].value_counts()["monocyte"] == 2
    assert cohort.manifest.query("cell_type == 'monocyte'")["path"].iloc[0] == "monocyte/monocyte/monocyte_0000.TIF"
    assert not cohort.manifest["path"].str.contains("._", regex=False).any()
    assert cohort.excluded["reason"].tolist() == ["class basophil"]


def test_more_than_the_source_counts_is_noted(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path, monkeypatch)
    write_picture(tmp_path / "PBC_dataset_normal_DIB" / "monocyte" / "MO_4.jpg")
    assert any("monocyte 4, not 3" in note for note in pbc_normal_dib.read(tmp_path).notes)


def test_cnmc_subjects_are_one_whatever_their_case_and_the_preliminary_set_tests(tmp_path, monkeypatch):
    _grow(cnmc_2019, cnmc, tmp_path, monkeypatch)
    cohort = cnmc_2019.read(tmp_path)
    patients = cohort.manifest.groupby("patient_id")
    assert patients.size()["cnmc_2019/B7"] == 2 and patients["split"].nunique().eq(1).all()
    left_out = cohort.excluded.set_index("reason")["count"]
    assert left_out["hem: normal B-precursors, no class of ALNet"] == 5
    assert left_out["file name is not UID_..._all.bmp"] == left_out["preliminary, of a subject in the folds"] == 1
    tested = cohort.manifest[cohort.manifest["split"].eq("test")]
    assert set(tested["patient_id"]) == {"cnmc_2019/57"} and len(tested) == 2
    assert tested["path"].str.contains("C-NMC_test_prelim_phase_data/").all()
    assert any("background tells the class" in note for note in cohort.notes)


def test_cnmc_without_its_preliminary_set_holds_subjects_out(tmp_path, monkeypatch):
    monkeypatch.setattr(cnmc_2019, "COUNTS", cnmc(tmp_path, preliminary=False))
    cohort = cnmc_2019.read(tmp_path)
    assert cohort.manifest.groupby("patient_id")["split"].nunique().eq(1).all()
    assert set(cohort.manifest["split"]) == {"train", "test"}
    assert any("subjects are held out" in note for note in cohort.notes)


def test_a_preliminary_set_in_part_is_refused(tmp_path, monkeypatch):
    _grow(cnmc_2019, cnmc, tmp_path, monkeypatch)
    next(tmp_path.rglob("C-NMC_test_prelim_phase_data/2.bmp")).unlink()
    with pytest.raises(CohortError, match=r"incomplete: preliminary 3 of 4\. Unpack"):
        cnmc_2019.read(tmp_path)


@pytest.mark.parametrize(("module", "tree", "diameter"), [(cnmc_2019, cnmc, 204), (all_idb2, idb, 120)])
def test_cells_tell_the_scale_where_the_source_does_not(module, tree, diameter, tmp_path, monkeypatch):
    _grow(module, tree, tmp_path, monkeypatch)
    cohort = module.read(tmp_path)
    usual = morphology.MEAN.loc["b_lymphoblast", "cell_diameter"]
    assert cohort.manifest["view"].unique() == pytest.approx([36 * diameter / usual], rel=0.06)
    shown = images.resize(images.picture(cohort.files[-1], cohort.places[-1]), 360)
    # A cut-out has no background that could be told from the cell by its stain.
    cell = segmentation.segment(shown).cell if tree is idb else shown.max(2) > 60
    # As many pixels as a B-lymphoblast has in a CellaVision picture, 0.1 micrometre each.
    assert classes.across(cell) == pytest.approx(10 * usual, rel=0.08)


def test_boxes_become_cells_of_one_scale_and_squeezed_fields_are_stretched(tmp_path):
    attri(tmp_path)
    cohort = leukemia_attri.read(tmp_path)
    manifest = cohort.manifest.set_index("cell_type")
    assert list(manifest.index) == ["abnormal_promyelocyte", "reactive_lymphocyte", "myeloblast", "b_lymphoblast"]
    types = ["myeloblast", "reactive_lymphocyte", "abnormal_promyelocyte", "b_lymphoblast"]
    usual = morphology.MEAN.loc[types, "cell_diameter"]
    high = 36 * np.median(np.array([60, 60, 60, 50]) / usual)
    assert manifest["view_height"].unique() == pytest.approx([high])
    assert manifest["view"].unique() == pytest.approx([0.6 * high])
    assert manifest.loc["myeloblast", ["centre_x", "centre_y"]].tolist() == [118, 130]
    row = manifest.index.get_loc("myeloblast")
    shown = images.picture(cohort.files[row], cohort.places[row])
    cell = shown[:, :, 1] < 140
    assert shown.shape == (round(high), round(high), 3)
    assert cell.any(0).sum() == pytest.approx(60, abs=2) and cell.any(1).sum() == pytest.approx(60, abs=2)
    assert np.argwhere(cell).mean(0) == pytest.approx([high / 2] * 2, abs=2)
    assert "0.60 of as wide" in cohort.notes[0]


def test_patients_and_diagnoses_of_fields_come_from_their_names(tmp_path):
    attri(tmp_path)
    cohort = leukemia_attri.read(tmp_path)
    manifest = cohort.manifest.set_index("cell_type")
    assert manifest["diagnosis"].to_dict() == {
        "abnormal_promyelocyte": "APL", "reactive_lymphocyte": "AML", "myeloblast": "AML", "b_lymphoblast": "ALL",
    }  # fmt: skip
    assert manifest.loc["reactive_lymphocyte", "patient_id"] == "leukemia_attri/3"
    assert manifest["split"].to_dict()["abnormal_promyelocyte"] == "test" and manifest["split"].eq("train").sum() == 3
    assert cohort.excluded.set_index("reason")["count"].to_dict() == {
        "category None": 1, "patient with CLL: no diagnosis of ALNet": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("*.png", r"4 of 4 pictures that its COCO files name are missing"),
        ("21_2_1000_CLL.png", r"1 of 4 pictures .* missing \(21_2_1000_CLL.png\)\. Unpack H_100X_C1 again"),
        ("test.json", r"1 of 4 pictures are in no COCO file, so one is missing \(23_7_1000_APML.png\)"),
        ("*.json", "has no COCO file with boxes"),
    ],
)
def test_fields_unpacked_in_part_are_refused(lost, says, tmp_path):
    attri(tmp_path)
    for path in list(tmp_path.rglob(lost)):
        path.unlink()
    with pytest.raises(CohortError, match=says):
        leukemia_attri.read(tmp_path)


@pytest.mark.parametrize(
    ("module", "tree", "file", "content"),
    [
        (leukemia_attri, attri, "train.json", '{"images": [{"id": 1, "file_na'),
        (leukemia_attri, attri, "train.json", '{"images": [], "annotations": [{"image_id": 1}], "categories": []}'),
        (cnmc_2019, cnmc, "C-NMC_test_prelim_phase_data_labels.csv", "nothing,known\n1,2\n"),
        (aml_lmu, lmu, "annotations.dat", "LYT/LYT_0001.tiff LYT\na b c d e f\n"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_message_not_a_traceback(module, tree, file, content, tmp_path, monkeypatch):
    _grow(module, tree, tmp_path, monkeypatch)
    for path in tmp_path.rglob(file):
        path.write_text(content)
    with pytest.raises(CohortError, match=rf"could not be read as {module.NAME} .*Unpack the whole archive again"):
        cohorts.read(module.NAME, tmp_path)


def test_a_centre_outside_its_picture_is_a_problem(tmp_path):
    attri(tmp_path)
    cohort = leukemia_attri.read(tmp_path)
    cohort.manifest.loc[0, "centre_x"] = 640
    with pytest.raises(CohortError, match="lies outside the picture of 640x640"):
        cohorts.validation.validated(cohort)


def test_repeats_of_a_source_that_we_split_are_left_out_and_counted(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path, monkeypatch)
    base = tmp_path / "PBC_dataset_normal_DIB"
    (base / "monocyte" / "MO_9.jpg").write_bytes((base / "monocyte" / "MO_1.jpg").read_bytes())
    (base / "monocyte" / "MO_8.jpg").write_bytes((base / "lymphocyte" / "LY_2.jpg").read_bytes())
    cohort = cohorts.build("pbc", tmp_path / "out", data=tmp_path)
    reasons = cohort.excluded.set_index("reason")["count"]
    assert reasons["the same picture again"] == 1 and reasons["the same picture with two labels"] == 2
    assert cohort.manifest["sha256"].is_unique and len(cohort.manifest) == 4


def test_repeats_across_splits_of_a_public_source_are_left_out_of_training(tmp_path, monkeypatch):
    _grow(cnmc_2019, cnmc, tmp_path / "in", monkeypatch)
    trained = next(tmp_path.rglob("UID_10_1_1_all.bmp"))
    next(tmp_path.rglob("C-NMC_test_prelim_phase_data/1.bmp")).write_bytes(trained.read_bytes())
    same_side = next(tmp_path.rglob("UID_11_1_1_all.bmp"))
    next(tmp_path.rglob("UID_11_1_2_all.bmp")).write_bytes(same_side.read_bytes())
    cohort = cohorts.build("cnmc_2019", tmp_path / "out", data=tmp_path / "in")
    assert cohort.excluded.set_index("reason")["count"]["the same picture again"] == 1
    paths = cohort.manifest["path"]
    assert not paths.str.endswith("UID_10_1_1_all.bmp").any() and paths.str.endswith("phase_data/1.bmp").sum() == 1
    assert any("the same picture as" in note for note in cohort.notes)  # within training: kept, and said


def test_sources_are_combined_and_keep_their_name(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path / "a", monkeypatch)
    _grow(aml_mll_helmholtz, mll_patients, tmp_path / "b, c", monkeypatch)
    data = f"pbc={tmp_path / 'a'},aml_mll={tmp_path / 'b, c'}"
    cohort = cohorts.build("pbc+aml_mll", tmp_path / "out", data=data)
    assert cohort.name == "pbc_normal_dib+aml_mll_helmholtz"
    assert cohort.manifest["source"].value_counts().to_dict() == {"aml_mll_helmholtz": 12, "pbc_normal_dib": 5}
    assert cohort.manifest["image_id"].is_unique and all(path.is_file() for path in cohort.files)
    assert not cohort.manifest.loc[cohort.manifest["source"].eq("pbc_normal_dib"), "smear_known"].any()
    assert "source predicts class" in cohort.notes[0]
    # A source brings its own scale; CellaVision pictures are used whole.
    assert cohort.manifest.groupby("source")["view"].first().isna().tolist() == [False, True]


def test_images_of_no_named_person_add_no_person_and_no_smear(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path, monkeypatch)
    alone = cohorts.build("pbc", tmp_path / "alone", data=tmp_path)
    assert alone.describe().filter(["smears", "patients"]).to_numpy().sum() == 0
    counted = {value.key: value.reproduced for value in audit.totals(alone)}
    assert counted["text.images"] == 5 and counted["text.infections"] == 0
    for unknown in ("text.smears", "text.testing_share", "text.healthy_controls", "table_02.total.persons"):
        assert unknown not in counted
    assert not len(audit.both_sides(alone))
    assert audit.table_2(alone).loc["total", ["smears_train", "smears_test", "patients"]].sum() == 0


def test_beside_nameless_images_those_with_a_name_are_counted(tmp_path, monkeypatch):
    _grow(pbc_normal_dib, pbc, tmp_path / "a", monkeypatch)
    _grow(cnmc_2019, cnmc, tmp_path / "b", monkeypatch)
    both = cohorts.build("pbc+cnmc_2019", tmp_path / "out", data=f"pbc={tmp_path / 'a'},cnmc_2019={tmp_path / 'b'}")
    named = both.manifest[both.manifest["source"].eq("cnmc_2019")]
    counted = {value.key: value.reproduced for value in audit.totals(both)}
    assert counted["text.smears"] == named["smear_id"].nunique() > 0
    assert counted["text.acute_leukaemia"] == named["patient_id"].nunique()
    assert "text.healthy_controls" not in counted and "table_02.total.persons" not in counted
    assert audit.table_2(both).loc["total", "patients"] == named["patient_id"].nunique()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("pbc+nothing", "", "unknown cohort `nothing`"),
        ("aml", "", "may mean aml_lmu, aml_mll_helmholtz"),
        ("pbc+pbc_normal_dib", "", "twice"),
        ("synthetic+pbc", "", "not combined"),
        ("pbc+jhu_apl", "/somewhere", "DATA names /somewhere"),
        ("pbc+jhu_apl", "pbc=/x,mll23=/y", "DATA names mll23"),
    ],
)
def test_names_and_folders_that_make_no_sense_are_refused(tmp_path, name, data, says):
    with pytest.raises(CohortError, match=says):
        cohorts.build(name, tmp_path, data=data)


def test_the_real_pbc_images_have_the_known_counts(pbc_folder, tmp_path):
    cohort = cohorts.build("pbc", tmp_path, data=pbc_folder)
    repeats = cohort.excluded.set_index("reason")["count"].filter(like="the same picture")
    counts = pbc_normal_dib.read(pbc_folder).manifest["cell_type"].value_counts().to_dict()
    assert counts == {"lymphocyte": 1214, "monocyte": 1420}
    assert len(cohort.manifest) + repeats.sum() == 2634


def test_the_real_annotations_of_lmu_have_the_known_counts(lmu_metadata):
    labels = aml_lmu.annotations(lmu_metadata / "annotations.dat")["label"].value_counts()
    assert labels.sum() == 18365 and labels["PMO"] == 70
    assert {name: labels[name] for name in aml_lmu.COUNTS} == aml_lmu.COUNTS
