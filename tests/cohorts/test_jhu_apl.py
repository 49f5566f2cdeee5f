"""The adapter of the Johns Hopkins cohort: a miniature in its layout, and the real one where it lies."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.cohorts import building
from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.manifest import CohortError
from alnet_lib.diagnosis.eligibility import eligible
from alnet_lib.diagnosis.prediction import predict_cells
from alnet_lib.diagnosis.tasks import MODULES
from alnet_lib.evaluation.audit import composition
from alnet_lib.evaluation.smear_level import smear_reference
from alnet_lib.experiments.datasets import CellImages, labelled

RNG = np.random.default_rng(3)


def _cell(path, size=(360, 363)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two APL and two AML discovery patients, one prospective, one without folder; the layout's oddities."""
    people = [("00", "APL", "Discovery"), ("01", "APL", "Discovery"), ("02", "AML", "Discovery")]
    people += [("03", "AML", "Discovery"), ("04", "AML", "Validation"), ("05", "AML", "Validation")]
    rows = [{"Patient_ID": f"Patient_{n}", "Diagnosis": d, "Cohort": c, "Gender": "F"} for n, d, c in people]
    data = tmp_path / "Data"
    for n, _, _ in people[:5]:
        signed = data / "All" / f"Patient_{n}" / ("S12-3" if n == "01" else "") / "Signed slides"
        _cell(signed / "Lymphocyte" / "LYT_1.jpg")
        _cell(signed / "Lymphocyte, variant" / "LYA_2.jpg", (416, 363))
        _cell(signed / "Promyelocyte" / "PMO_3.jpg")
        _cell(signed / "Blast, no lineage spec" / "PMO_4.jpg", (360, 365))
        _cell(signed / "Eosinophil" / "EOS_5.jpg")
        (signed / "Thumbs.db").write_bytes(b"x")
        _cell(signed.parent / "Unsigned slides" / "LYT_6.jpg")
    pd.DataFrame(rows).to_csv(data / "master.csv", index=False)
    return tmp_path


def test_types_come_from_the_folder_and_the_diagnosis(tree):
    cohort = SOURCES["jhu_apl"].read(tree)
    counts = cohort.manifest.groupby(["diagnosis", "cell_type"]).size()
    assert counts.to_dict() == {
        ("APL", "lymphocyte"): 2,
        ("APL", "reactive_lymphocyte"): 2,
        ("APL", "abnormal_promyelocyte"): 4,
        ("AML", "lymphocyte"): 3,
        ("AML", "reactive_lymphocyte"): 3,
        ("AML", "myeloblast"): 3,
        ("AML", ""): 3,
    }
    left_out = cohort.excluded.set_index("reason")["count"]
    assert left_out["unsigned slides (repeat signed cells, unlabelled)"] == 5
    assert left_out["not an image (Thumbs.db and the like)"] == 5
    assert left_out["patient in master.csv without a folder (patients)"] == 1
    assert left_out["signed as Eosinophil, AML patient"] == 3


def test_immature_cells_vote_whatever_the_diagnosis(tree):
    cohort = building.build("jhu_apl", tree / "out", data=tree)
    manifest = cohort.manifest
    voting = manifest[eligible(manifest)]
    # Two signed as blast or promyelocyte a patient, of both diagnoses; Eosinophils and lymphocytes do not vote.
    assert voting.groupby("patient_id").size().to_dict() == {f"Patient_{n}": 2 for n in ("00", "01", "02", "03", "04")}
    bare = voting[voting["cell_type"].eq("")]
    assert bare["diagnosis"].eq("AML").all() and bare["image_id"].str.contains("/Promyelocyte/").all()
    assert "3 promyelocytes of 3 AML patients vote without a label" in cohort.notes
    assert any("3 cells have no label" in note and "3 vote" in note for note in cohort.notes)
    # They are predicted, and are part of no training, no reference class and no class of a table.
    assert set(predict_cells(manifest, np.empty((0,)), {})["image_id"]) == set(manifest["image_id"])
    images = CellImages(manifest, np.empty((len(manifest), 0, 0, 3), np.uint8))
    for spec in MODULES:
        used = labelled(images, spec, split=None).rows
        assert not manifest["cell_type"].iloc[used].eq("").any() and len(used)
    assert smear_reference(voting)["Patient_02"] == "blast"


def test_tables_count_a_cell_without_label_by_diagnosis_but_in_no_class(tree):
    cohort = SOURCES["jhu_apl"].read(tree)
    labelled_ones = replace(cohort, manifest=cohort.manifest[cohort.manifest["cell_type"].ne("")])
    table, before = composition.table_2(cohort), composition.table_2(labelled_ones)
    assert table.frame.loc["total"].eq(before.frame.loc["total"]).all() and "no label" not in before.frame.index
    assert table.frame.loc["no label", ["images_train", "images_test", "patients"]].tolist() == [1, 1, 2]
    assert table.facts["unlabelled"] == 2 and "2 of them vote" in table.facts["note"]
    assert before.facts == {"unlabelled": 0, "note": ""}
    first, first_before = composition.table_1(cohort).frame, composition.table_1(labelled_ones).frame
    images = ["images_train", "images_test"]
    assert (first - first_before).loc[("AML", ""), images].tolist() == [1, 1]
    assert composition.overview(cohort)["unlabelled"] == 3


def test_an_unlabelled_copy_of_a_labelled_cell_does_not_vote_again(tree):
    signed = tree / "Data" / "All" / "Patient_02" / "Signed slides"
    shutil.copy(signed / "Blast, no lineage spec" / "PMO_4.jpg", signed / "Promyelocyte" / "PMO_9.jpg")
    cohort = building.build("jhu_apl", tree / "out", data=tree)
    own = cohort.manifest[cohort.manifest["patient_id"].eq("Patient_02")]
    assert own["immature"].sum() == 2 and not own["image_id"].str.endswith("PMO_9").any()
    left_out = cohort.excluded.set_index("reason")["count"]
    assert left_out["an unlabelled copy of a labelled image of the same split"] == 1


def test_patients_are_split_whole_and_prospective_ones_are_external(tree):
    manifest = SOURCES["jhu_apl"].read(tree).manifest
    assert manifest.groupby("patient_id")["split"].nunique().eq(1).all()
    assert set(manifest.loc[manifest["site"].eq("JHU-prospective"), "split"]) == {"external"}
    home = manifest[manifest["split"].ne("external")]
    assert home.groupby(["diagnosis", "split"])["patient_id"].nunique().to_dict() == {
        ("AML", "test"): 1,
        ("AML", "train"): 1,
        ("APL", "test"): 1,
        ("APL", "train"): 1,
    }
    assert SOURCES["jhu_apl"].read(tree).manifest.equals(manifest)
    assert set(manifest.loc[manifest["patient_id"].eq("Patient_01"), "smear_id"]) == {"Patient_01/S12-3"}


def test_the_folder_may_be_given_with_or_without_data(tree):
    assert len(SOURCES["jhu_apl"].read(tree / "Data").manifest) == len(SOURCES["jhu_apl"].read(tree).manifest)


def test_folders_that_are_not_this_data_set_are_refused(tmp_path, tree):
    with pytest.raises(CohortError, match="DATA="):
        SOURCES["jhu_apl"].read(None)
    with pytest.raises(CohortError, match="not a folder"):
        SOURCES["jhu_apl"].read(tmp_path / "nowhere")
    (tmp_path / "other" / "basophil").mkdir(parents=True)
    with pytest.raises(CohortError, match="it holds basophil"):
        SOURCES["jhu_apl"].read(tmp_path / "other")
    half = tmp_path / "half" / "Data"
    (half / "All").mkdir(parents=True)
    (half / "master.csv").write_text("Patient_ID,Diagnosis,Cohort\nPatient_00,APL,Discovery\n")
    with pytest.raises(CohortError, match="unpack the whole archive"):
        SOURCES["jhu_apl"].read(half.parent)
    (tree / "Data" / "master.csv").write_text("Patient_ID,Diagnosis\nPatient_00,APL\n")
    with pytest.raises(CohortError, match="lacks the columns Cohort"):
        SOURCES["jhu_apl"].read(tree)
    (tree / "Data" / "master.csv").write_text("Patient_ID,Diagnosis,Cohort\nPatient_00,CML,Discovery\n")
    with pytest.raises(CohortError, match="unknown diagnosis `CML`"):
        SOURCES["jhu_apl"].read(tree)


def test_a_discovery_patient_without_a_folder_means_half_unpacked(tree):
    shutil.rmtree(tree / "Data" / "All" / "Patient_03")
    with pytest.raises(CohortError, match=r"incomplete: discovery patients 3 of 4\. Unpack the whole archive again"):
        SOURCES["jhu_apl"].read(tree)


def test_odd_lines_of_the_table_odd_names_and_macos_files_lose_no_patient(tree):
    whole = SOURCES["jhu_apl"].read(tree).manifest
    master = tree / "Data" / "master.csv"
    text = master.read_text().rstrip("\n")
    master.write_text(f"{text}\n{text.splitlines()[1]}\n,,,\n")
    signed = tree / "Data" / "All" / "Patient_02" / "Signed slides"
    (signed / "Lymphocyte" / "._LYT_1.jpg").write_bytes(b"Mac OS X")
    signed.rename(signed.with_name("signed slides"))
    again = SOURCES["jhu_apl"].read(tree).manifest
    assert len(again) == len(whole) and set(again["smear_id"]) == set(whole["smear_id"])


def test_a_discovery_patient_without_a_picture_means_half_unpacked(tree):
    for path in (tree / "Data" / "All" / "Patient_03").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(CohortError, match="incomplete: discovery patients 3 of 4"):
        SOURCES["jhu_apl"].read(tree)


@pytest.mark.jhu_apl
def test_the_real_cohort_has_the_counts_known(jhu_folder, tmp_path):
    cohort = building.build("jhu_apl", tmp_path, data=jhu_folder, manifest_only=True)
    manifest = cohort.manifest
    assert manifest["patient_id"].nunique() == 94 and len(manifest) == 8395
    voting = manifest[manifest["immature"]].groupby(["site", "diagnosis"]).size()
    assert voting["JHU-prospective", "AML"] == 238 and voting["JHU-prospective", "APL"] == 272
    assert voting["JHU", "AML"] == 2425 and voting["JHU", "APL"] == 800
    assert manifest.groupby("patient_id")["immature"].sum()["Patient_95"] == 91
    patients = manifest.groupby("patient_id").first()
    assert patients["site"].eq("JHU").sum() == 82
    discovery = manifest[manifest["site"].eq("JHU")]
    assert discovery["cell_type"].value_counts().to_dict().keys() == {
        "lymphocyte",
        "monocyte",
        "reactive_lymphocyte",
        "abnormal_promyelocyte",
        "myeloblast",
        "",
    }


@pytest.mark.jhu_apl
def test_the_promyelocyte_fraction_of_the_discovery_patients_is_the_known_one(jhu_folder):
    from sklearn.metrics import roc_auc_score

    patients = SOURCES["jhu_apl"].read(jhu_folder).manifest.groupby("patient_id").first()
    discovery = patients[patients["site"].eq("JHU")]
    fraction = discovery["n_promyelocyte_signed"] / discovery["n_signed"]
    assert roc_auc_score(discovery["diagnosis"].eq("APL"), fraction) == pytest.approx(0.69, abs=0.005)
