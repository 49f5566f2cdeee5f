"""The user's own images: folders, or a manifest file."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.cohorts import building
from alnet_lib.cohorts.adapters.by_patient import folder
from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.manifest import CohortError


def _fill(root, twin, names):
    rows = iter(range(len(twin.manifest)))
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(twin.file(next(rows)).read_bytes())


def test_patients_smears_and_cell_types_come_from_folders(twin, tmp_path):
    names = ["P 1/s1/myeloblast/a.jpg", "P 1/s2/myeloblast/a.jpg", "Žofie/s1/lymphocyte/b, c.jpg"]
    _fill(tmp_path, twin, [*names, "P 1/s1/artefact/x.jpg"])
    cohort = building.build("folder", tmp_path / "out", data=tmp_path)
    assert cohort.kind == "private"
    assert sorted(cohort.manifest["smear_id"]) == ["P 1/s1", "P 1/s2", "Žofie/s1"]
    assert set(cohort.manifest["diagnosis"]) == {"AML", "control"}
    assert cohort.excluded["count"].tolist() == [1] and "artefact" in cohort.excluded["reason"][0]


def test_a_folder_per_cell_type_says_that_smears_are_unknown(twin, tmp_path):
    _fill(tmp_path, twin, ["monocyte/1.png", "monocyte/2.png"])
    cohort = SOURCES["folder"].read(tmp_path)
    assert cohort.manifest["smear_id"].is_unique and "cell-level" in cohort.notes[0]


def test_a_manifest_file_is_read_and_filled(twin, tmp_path):
    _fill(tmp_path, twin, ["a.jpg", "b.jpg"])
    about = {"path": ["a.jpg", "b.jpg"], "cell_type": "myeloblast", "smear_id": ["s1", "s2"], "diagnosis": "AML"}
    pd.DataFrame(about).to_csv(tmp_path / "manifest.csv", index=False)
    cohort = building.build("folder", tmp_path / "out", data=tmp_path)
    assert cohort.manifest["patient_id"].tolist() == ["s1", "s2"]
    assert cohort.manifest["split"].eq("train").all()


@pytest.mark.parametrize("missing", folder.MANDATORY)
def test_a_manifest_file_without_a_mandatory_column_is_refused(tmp_path, missing):
    about = {"path": ["a.jpg"], "cell_type": ["myeloblast"], "smear_id": ["s"], "diagnosis": ["AML"]}
    pd.DataFrame(about).drop(columns=missing).to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(CohortError, match=f"lacks the columns {missing}"):
        SOURCES["folder"].read(tmp_path)


def test_an_empty_folder_a_missing_one_and_another_layout_are_refused(twin, tmp_path):
    with pytest.raises(CohortError, match="Expected"):
        SOURCES["folder"].read(tmp_path / "nowhere")
    with pytest.raises(CohortError, match="no image"):
        SOURCES["folder"].read(tmp_path)
    _fill(tmp_path, twin, ["cats/1.jpg"])
    with pytest.raises(CohortError, match=r"cats \(1 images\)"):
        SOURCES["folder"].read(tmp_path)


def test_truths_and_places_of_a_table_are_read_as_such(tmp_path):
    rows = pd.DataFrame({"path": ["a.png", "b.png", "c.png"], "cell_type": "monocyte", "smear_id": ["1", "2", "3"]})
    rows = rows.assign(diagnosis="control", smear_known=["no", "TRUE", ""], immature=["0", "1.0", "yes"])
    rows = rows.assign(centre_x=["12.5", "", "3"], field_of_view=["90", "90", ""])
    rows.to_csv(tmp_path / "manifest.csv", index=False)
    cohort = SOURCES["folder"].read(tmp_path)
    assert cohort.manifest["smear_known"].tolist() == [False, True, True]
    assert cohort.manifest["immature"].tolist() == [False, True, True]
    assert cohort.crops[0][0] == 12.5 and np.isnan(cohort.crops[1][0]) and np.isnan(cohort.crops[2][2])
    rows.assign(field_of_view="1,5").to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(CohortError, match=r"column field_of_view holds numbers, not `1,5` \(row \d+\)"):
        SOURCES["folder"].read(tmp_path)
    rows.assign(smear_known="perhaps").to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(CohortError, match=r"column smear_known is true or false, not `perhaps` \(row \d+\)"):
        SOURCES["folder"].read(tmp_path)


def test_what_macos_packs_beside_the_users_pictures_is_no_picture(twin, tmp_path):
    _fill(tmp_path, twin, ["monocyte/1.jpg"])
    (tmp_path / "monocyte" / "._1.jpg").write_bytes(b"Mac OS X")
    assert len(SOURCES["folder"].read(tmp_path).manifest) == 1


MAPPING = "name,cell_type\nBlast,myeloblast\nNRBC,\n"


def test_a_mapping_file_translates_names_of_folders(twin, tmp_path):
    _fill(tmp_path, twin, ["P1/s1/Blast/a.jpg", "P1/s1/NRBC/b.jpg", "P1/s1/monocyte/c.jpg", "P1/s1/smudge/d.jpg"])
    (tmp_path / "mapping.csv").write_text("\ufeff" + MAPPING, encoding="utf-8")
    cohort = SOURCES["folder"].read(tmp_path)
    assert sorted(cohort.manifest["cell_type"]) == ["monocyte", "myeloblast"]
    assert cohort.excluded.set_index("reason")["count"].to_dict() == {
        "folder `P1/s1/smudge` is no cell type": 1, "`NRBC` is left out by mapping.csv": 1,
    }  # fmt: skip


def test_a_mapping_file_translates_a_manifest_and_unlabelled_cells_stay(tmp_path):
    rows = pd.DataFrame({"path": list("abcd"), "cell_type": ["Blast", "NRBC", "", "monocyte"], "smear_id": "1"})
    rows.assign(diagnosis="AML").to_csv(tmp_path / "manifest.csv", index=False)
    (tmp_path / "mapping.csv").write_text(MAPPING)
    cohort = SOURCES["folder"].read(tmp_path / "manifest.csv")
    assert cohort.manifest["cell_type"].tolist() == ["myeloblast", "", "monocyte"]
    assert cohort.excluded["count"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,type\na,b\n", "lacks the columns cell_type"),
        ("name,cell_type\na,blast\n", "maps to blast; known are lymphocyte"),
        ("name,cell_type\na,monocyte\na,lymphocyte\n", "names a twice"),
    ],
)
def test_a_mapping_file_that_makes_no_sense_is_refused(text, says, twin, tmp_path):
    _fill(tmp_path, twin, ["monocyte/1.jpg"])
    (tmp_path / "mapping.csv").write_text(text)
    with pytest.raises(CohortError, match=says):
        SOURCES["folder"].read(tmp_path)


@pytest.mark.parametrize("content", ["", "\x00\x01"])
def test_a_manifest_that_is_no_table_is_named(content, tmp_path):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(CohortError, match=r"manifest\.csv"):
        building.read("folder", tmp_path)


def test_a_mapping_that_cannot_be_read_is_named(tmp_path):
    rows = {"path": ["a.png"], "cell_type": ["x"], "smear_id": ["1"], "diagnosis": ["control"]}
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    for content in (b"name,cell_type\nx\xff,monocyte", b""):
        (tmp_path / "mapping.csv").write_bytes(content)
        with pytest.raises(CohortError, match=r"mapping\.csv cannot be read"):
            SOURCES["folder"].read(tmp_path)
