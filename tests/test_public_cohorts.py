"""Adapters of public sources on miniatures in their exact layout, and on the real files where they lie."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib import audit, cohorts, images
from alnet_lib.cohorts import (
    ADAPTERS,
    all_idb2,
    aml_lmu,
    aml_mll_helmholtz,
    bodzas_2023,
    cnmc_2019,
    leukemia_attri,
    mll23,
    pbc_normal_dib,
)
from alnet_lib.cohorts.manifest import CohortError

RNG = np.random.default_rng(11)


def _picture(path, size=(24, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    if mode == "RGBA":
        noise[..., 3] = 255
    Image.fromarray(noise, mode=mode).save(path)


def _class_folders(root, files, mode="RGB", size=(24, 24)):
    for folder, names in files.items():
        for name in names:
            _picture(root / folder / name, size, mode)


def pbc(root):
    base = root / "PBC_dataset_normal_DIB"
    files = {"lymphocyte": ["LY_1.jpg", "LY_2.jpg"], "monocyte": ["MO_1.jpg", "MO_2.jpg", "MO_3.jpg"]}
    files |= {"ig": ["PMY_1.jpg", "MY_1.jpg"], "platelet": ["PLATELET_1.jpg"], "neutrophil": ["BNE_1.jpg"]}
    _class_folders(base, files)
    (base / "lymphocyte" / ".DS_Store").write_bytes(b"x")
    return {"lymphocyte": 2, "monocyte": 3}


def lmu(root):
    base = root / "AML-Cytomorphology"
    names = {"LYT": 3, "MON": 2, "LYA": 1, "PMB": 1, "MYO": 4, "MOB": 1, "NGS": 2, "PMO": 1}
    files = {name: [f"{name}_{i:04d}.tiff" for i in range(1, n + 1)] for name, n in names.items()}
    _class_folders(base, files, "RGBA", (400, 400))
    lines = [f"{name}/{file} {name} nan nan" for name in files for file in files[name]]
    lines[0] = lines[0].replace("nan nan", "LYT LYA")
    (base / "annotations.dat").write_text("\n".join(lines))
    return {name: n for name, n in names.items() if name in aml_lmu.MAPPING}


def mll_patients(root):
    folders = {"control": ["AAA", "BBB"], "PML_RARA": ["CCC"], "NPM1": ["DDD"], "CBFB_MYH11": ["EEE"]}
    for subtype, patients in (folders | {"RUNX1_RUNX1T1": ["FFF"]}).items():
        for patient in patients:
            for i in range(2):
                _picture(root / "data" / subtype / patient / f"image_{i}.tif", (144, 144))
    about = {"patient_id": ["AAA", "CCC"], "bag_label": ["control", "PML_RARA"], "leucocytes_per_ul": [5000, 900]}
    pd.DataFrame(about).to_csv(root / "metadata.csv", index=False)
    return {"patients": 6, "images": 12}


def mll_cells(root):
    names = {"lymphocyte": 2, "monocyte": 2, "lymphocyte_reactive": 1, "promyelocyte_atypical": 2, "myeloblast": 3}
    files = {name: [f"{name}_{i:04d}.TIF" for i in range(n)] for name, n in (names | {"basophil": 2}).items()}
    _class_folders(root, files, size=(288, 288))
    return names


def bodzas(root):
    names = {"Lymphoblast": 2, "Myeloblast": 2, "Lymphocyte": 3, "Monocyte": 1}
    files = {name: [f"{i}.bmp" for i in range(n)] for name, n in (names | {"Neutrophil segment": 1}).items()}
    _class_folders(root, files, size=(120, 120))
    return names


def cnmc(root):
    for fold in range(3):
        _picture(root / f"fold_{fold}" / "all" / f"UID_1{fold}_1_1_all.bmp", (45, 45))
        _picture(root / f"fold_{fold}" / "all" / f"UID_1{fold}_1_2_all.bmp", (45, 45))
        _picture(root / f"fold_{fold}" / "hem" / f"UID_H1{fold}_1_1_hem.bmp", (45, 45))
    _picture(root / "fold_0" / "all" / "UID_h3_1_1_all.bmp", (45, 45))
    _picture(root / "fold_0" / "all" / "UID_H3_1_2_all.bmp", (45, 45))
    _picture(root / "fold_0" / "all" / "copy of something.bmp", (45, 45))
    return {"all": 8}


def idb(root):
    for i in range(1, 4):
        _picture(root / "img" / f"Im{i:03d}_1.tif", (257, 257))
    _picture(root / "img" / "Im131_0.tif", (257, 257))
    return {"1": 3, "0": 1}


def attri(root):
    base = root / "H_100X_C1"
    for name in ("3_12.png", "7_1.png"):
        _picture(base / "images" / name, (640, 640))
    names = ["Myeloblast", "Abnormal promyelocyte", "Atypical lymphocyte", "None", "Lymphoblast"]
    boxes = [(1, 0, [100, 100, 60, 50]), (1, 2, [0, 300, 40, 40]), (2, 1, [500, 20, 90, 80]), (2, 3, [5, 5, 30, 30])]
    content = {
        "images": [{"id": 1, "file_name": "3_12.png"}, {"id": 2, "file_name": "images/7_1.png"}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": f, "category_id": c, "bbox": b} for i, (f, c, b) in enumerate(boxes)],
    }
    (base / "annotations.json").write_text(json.dumps(content))


TREES = {
    pbc_normal_dib: pbc,
    aml_lmu: lmu,
    aml_mll_helmholtz: mll_patients,
    mll23: mll_cells,
    bodzas_2023: bodzas,
    cnmc_2019: cnmc,
    all_idb2: idb,
    leukemia_attri: attri,
}
NAMED = [pytest.param(module, tree, id=module.NAME) for module, tree in TREES.items()]


def _grow(module, tree, root, monkeypatch):
    counts = tree(root)
    if counts:
        monkeypatch.setattr(module, "COUNTS", counts)
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
    _picture(tmp_path / "cats" / "1.jpg")
    with pytest.raises(CohortError, match=f"(?s)is not the {module.NAME} data set.*cats"):
        module.read(tmp_path)


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


def test_one_subject_of_cnmc_is_written_in_lower_case(tmp_path, monkeypatch):
    _grow(cnmc_2019, cnmc, tmp_path, monkeypatch)
    cohort = cnmc_2019.read(tmp_path)
    patients = cohort.manifest.groupby("patient_id")
    assert patients.size()["cnmc_2019/H3"] == 2 and patients["split"].nunique().eq(1).all()
    assert cohort.excluded["count"].tolist() == [3, 1]
    assert any("background tells the class" in note for note in cohort.notes)


def test_boxes_become_cells_of_one_scale(tmp_path):
    attri(tmp_path)
    cohort = leukemia_attri.read(tmp_path)
    manifest = cohort.manifest.set_index("cell_type")
    assert manifest["view"].eq(60 / 0.4).all()
    assert manifest.loc["myeloblast", ["centre_x", "centre_y"]].tolist() == [130, 125]
    assert manifest.loc["abnormal_promyelocyte", "diagnosis"] == "APL"
    assert manifest.loc["reactive_lymphocyte", "patient_id"] == "leukemia_attri/3"
    field = images.decode(cohort.files[0])
    row = manifest.index.get_loc("myeloblast")
    np.testing.assert_array_equal(images.picture(cohort.files[row], cohort.places[row]), field[50:200, 55:205])
    assert cohort.excluded["reason"].tolist() == ["category None"]
    (tmp_path / "H_100X_C1" / "images" / "7_1.png").unlink()
    with pytest.raises(CohortError, match=r"1 of the \d pictures .* missing \(7_1.png\). Unpack H_100X_C1 again"):
        leukemia_attri.read(tmp_path)


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
