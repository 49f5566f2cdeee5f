"""The adapter of the Johns Hopkins cohort: a miniature in its layout, and the real one where it lies."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.cohorts import building
from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.manifest import CohortError

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
    }
    left_out = cohort.excluded.set_index("reason")["count"]
    assert left_out["signed as Promyelocyte, AML patient"] == 3
    assert left_out["unsigned slides (repeat signed cells, unlabelled)"] == 5
    assert left_out["not an image (Thumbs.db and the like)"] == 5
    assert left_out["patient in master.csv without a folder (patients)"] == 1
    assert left_out["signed as Eosinophil, AML patient"] == 3


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
    assert manifest["patient_id"].nunique() == 94 and len(manifest) == 8150
    patients = manifest.groupby("patient_id").first()
    assert patients["site"].eq("JHU").sum() == 82
    discovery = manifest[manifest["site"].eq("JHU")]
    assert discovery["cell_type"].value_counts().to_dict().keys() == {
        "lymphocyte",
        "monocyte",
        "reactive_lymphocyte",
        "abnormal_promyelocyte",
        "myeloblast",
    }


@pytest.mark.jhu_apl
def test_the_promyelocyte_fraction_of_the_discovery_patients_is_the_known_one(jhu_folder):
    from sklearn.metrics import roc_auc_score

    patients = SOURCES["jhu_apl"].read(jhu_folder).manifest.groupby("patient_id").first()
    discovery = patients[patients["site"].eq("JHU")]
    fraction = discovery["n_promyelocyte_signed"] / discovery["n_signed"]
    assert roc_auc_score(discovery["diagnosis"].eq("APL"), fraction) == pytest.approx(0.69, abs=0.005)
