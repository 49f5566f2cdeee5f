"""Adapters of public sources on miniatures in their exact layout, and on the real files where they lie."""

from dataclasses import replace

import numpy as np
import pytest
from miniatures import (
    TREES,
    attri,
    bodzas,
    cnmc,
    counts,
    grow,
    idb,
    lmu,
    mll_cells,
    mll_patients,
    pbc,
    write_picture,
)
from PIL import Image

from alnet_lib.cohorts import building, validation
from alnet_lib.cohorts.adapters.by_class import aml_lmu
from alnet_lib.cohorts.building import SOURCES
from alnet_lib.cohorts.combining import combine
from alnet_lib.cohorts.document import section
from alnet_lib.cohorts.manifest import CohortError
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import CELL_DIAMETERS
from alnet_lib.diagnosis.prediction import predict_cells
from alnet_lib.evaluation.audit import composition
from alnet_lib.imaging import decoding, pixels, segmentation
from alnet_lib.statistics import intervals

NAMED = list(TREES.items())
PUBLIC = [source.name for source in building.listed() if source.kind == "public"]


@pytest.mark.parametrize("source", PUBLIC)
def test_a_source_says_all_about_itself_and_why_it_labels_as_it_does(source):
    about = SOURCES[source]
    for fact in ("home", "download", "licence", "citation", "layout", "scale", "identifiers", "oddities", "images"):
        assert getattr(about, fact), fact
    text = section(about)
    labelled = [*about.mapping, *(f"{kind}, {diagnosis} patient" for diagnosis, kind in about.immature)]
    for name in labelled:
        assert about.why[name] in text, name
    assert "| counts checked |" in text


@pytest.mark.parametrize(("source", "tree"), NAMED)
def test_a_miniature_becomes_a_cohort_that_passes_validation(source, tree, tmp_path, monkeypatch):
    grow(source, tree, tmp_path / "in, ä", monkeypatch)
    cohort = building.build(source, tmp_path / "out", data=tmp_path / "in, ä")
    assert cohort.kind == "public" and len(cohort.manifest)
    array = pixels.pixel_array(
        cohort.files, cohort.crops, 32, cache=tmp_path / "cache", content_hash=cohort.content_hash
    )
    assert array.shape == (len(cohort.manifest), 32, 32, 3) and array.std() > 0


@pytest.mark.parametrize("source", PUBLIC)
def test_no_folder_an_empty_one_and_another_data_set_are_refused(source, tmp_path):
    with pytest.raises(CohortError, match="DATA="):
        SOURCES[source].read(None)
    with pytest.raises(CohortError, match="is not a folder"):
        SOURCES[source].read(tmp_path / "nowhere")
    with pytest.raises(CohortError, match=r"expected|it holds nothing"):
        SOURCES[source].read(tmp_path)
    write_picture(tmp_path / "cats" / "1.jpg")
    with pytest.raises(CohortError, match=f"(?s)is not the {source} data set.*cats"):
        SOURCES[source].read(tmp_path)


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """A miniature of every source, by its name."""
    roots = {source: tmp_path_factory.mktemp(source) for source in TREES}
    for source, tree in TREES.items():
        tree(roots[source])
    return roots


@pytest.mark.parametrize("source", PUBLIC)
def test_every_other_data_set_is_refused_by_name(source, trees):
    for other, root in trees.items():
        if other != source:
            with pytest.raises(CohortError, match=rf"(not the {source} data set|or not {source}\.)") as said:
                SOURCES[source].read(root)
            assert SOURCES[source].home in str(said.value), other


@pytest.mark.parametrize(("source", "tree"), [(name, tree) for name, tree in TREES.items() if tree is not attri])
def test_a_half_unpacked_archive_is_refused_with_what_is_missing(source, tree, tmp_path, monkeypatch):
    found = grow(source, tree, tmp_path, monkeypatch)
    counts(source, {name: n + 1 for name, n in found.items()}, monkeypatch)
    with pytest.raises(CohortError, match=r"is incomplete: .* of .*Unpack the whole archive"):
        SOURCES[source].read(tmp_path)


def test_a_missing_class_folder_is_named(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    for file in (tmp_path / "PBC_dataset_normal_DIB" / "monocyte").iterdir():
        file.unlink()
    (tmp_path / "PBC_dataset_normal_DIB" / "monocyte").rmdir()
    with pytest.raises(CohortError, match="lacks monocyte: unpacked in part"):
        SOURCES["pbc_normal_dib"].read(tmp_path)


def test_normal_promyelocytes_are_never_abnormal_ones(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    cohort = SOURCES["pbc_normal_dib"].read(tmp_path)
    assert set(cohort.manifest["cell_type"]) == {"lymphocyte", "monocyte"}
    assert cohort.excluded.set_index("reason")["count"]["class ig"] == 2
    assert not cohort.manifest["smear_known"].any() and "never the vote" in cohort.notes[0]


def test_lmu_keeps_reannotations_and_brings_cells_to_scale(tmp_path, monkeypatch):
    grow("aml_lmu", lmu, tmp_path, monkeypatch)
    cohort = SOURCES["aml_lmu"].read(tmp_path)
    again = cohort.manifest.set_index("path")["reannotation_2"]
    assert again["LYT/LYT_0001.tiff"] == "LYA" and again["LYT/LYT_0002.tiff"] == ""
    # 36 micrometres at 14.14 pixels each are wider than the file: its mirror image fills the rest.
    assert cohort.manifest["field_of_view"].unique() == pytest.approx([36 * 14.14])
    wide = decoding.picture(cohort.files[0], cohort.crops[0])
    assert wide.shape == (509, 509, 3)
    np.testing.assert_array_equal(wide[55:455, 55:455], decoding.decode(cohort.files[0]))


def test_unlabelled_cells_of_patients_are_external_and_only_for_the_vote(tmp_path, monkeypatch):
    grow("aml_mll_helmholtz", mll_patients, tmp_path, monkeypatch)
    cohort = building.build("aml_mll", tmp_path / "out", data=tmp_path)
    manifest = cohort.manifest
    assert manifest["cell_type"].eq("").all() and manifest["split"].eq("external").all()
    diagnoses = manifest.groupby("patient_id")["diagnosis"].first()
    assert diagnoses["aml_mll_helmholtz/CCC"] == "APL" and diagnoses["aml_mll_helmholtz/EEE"] == "AML"
    assert any("12 cells have no label" in note for note in cohort.notes)
    assert manifest.groupby("patient_id")["leucocytes_per_ul"].first()["aml_mll_helmholtz/CCC"] == 900


def test_the_micro_sign_of_the_table_of_patients_may_be_garbled(tmp_path, monkeypatch):
    grow("aml_mll_helmholtz", mll_patients, tmp_path, monkeypatch)
    text = (tmp_path / "metadata.csv").read_text().replace("per_ul", "per_µl")
    (tmp_path / "metadata.csv").write_bytes(text.encode("latin-1"))
    manifest = SOURCES["aml_mll_helmholtz"].read(tmp_path).manifest
    assert manifest.groupby("patient_id")["leucocytes_per_ul"].first()["aml_mll_helmholtz/CCC"] == 900


def test_what_macos_packs_beside_pictures_is_nopicture(tmp_path, monkeypatch):
    grow("mll23", mll_cells, tmp_path, monkeypatch)
    cohort = SOURCES["mll23"].read(tmp_path)
    assert cohort.manifest["cell_type"].value_counts()["monocyte"] == 2
    assert cohort.manifest.query("cell_type == 'monocyte'")["path"].iloc[0] == "monocyte/monocyte/monocyte_0000.TIF"
    assert not cohort.manifest["path"].str.contains("._", regex=False).any()
    assert cohort.excluded["reason"].tolist() == ["class basophil"]


def test_more_than_the_source_counts_is_noted(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    write_picture(tmp_path / "PBC_dataset_normal_DIB" / "monocyte" / "MO_4.jpg")
    assert any("monocyte 4, not 3" in note for note in SOURCES["pbc_normal_dib"].read(tmp_path).notes)


@pytest.mark.parametrize(("source", "tree", "diameter"), [("cnmc_2019", cnmc, 204), ("all_idb2", idb, 120)])
def test_cells_tell_the_scale_where_the_source_does_not(source, tree, diameter, tmp_path, monkeypatch):
    grow(source, tree, tmp_path, monkeypatch)
    cohort = SOURCES[source].read(tmp_path)
    usual = CELL_DIAMETERS["b_lymphoblast"]
    assert cohort.manifest["field_of_view"].unique() == pytest.approx([36 * diameter / usual], rel=0.06)
    shown = decoding.resize(decoding.picture(cohort.files[-1], cohort.crops[-1]), 360)
    # A cut-out has no background that could be told from the cell by its stain.
    cell = segmentation.segment(shown).cell if tree is idb else shown.max(2) > 60
    # As many pixels as a B-lymphoblast has in a CellaVision picture, 0.1 micrometre each.
    assert segmentation.across(cell) == pytest.approx(10 * usual, rel=0.08)


def test_archives_are_to_be_unpacked_not_downloaded_again(tmp_path):
    (tmp_path / "myeloblast.zip").write_bytes(b"PK")
    with pytest.raises(CohortError, match=r"it holds archives \(myeloblast.zip\)\. Unpack them there first"):
        SOURCES["mll23"].read(tmp_path)


def test_one_missing_blast_of_all_idb2_is_incomplete_not_another_data_set(tmp_path, monkeypatch):
    grow("all_idb2", idb, tmp_path, monkeypatch)
    next(tmp_path.rglob("Im001_1.tif")).unlink()
    with pytest.raises(CohortError, match=r"all_idb2 is incomplete: Im<NNN>_1.tif 2 of 3"):
        SOURCES["all_idb2"].read(tmp_path)


def test_a_cell_that_cannot_be_measured_leaves_the_picture_whole_and_says_so(tmp_path, monkeypatch):
    grow("all_idb2", idb, tmp_path, monkeypatch)
    for path in tmp_path.rglob("Im*_1.tif"):
        Image.new("RGB", (257, 257), (230, 225, 220)).save(path)
    cohort = SOURCES["all_idb2"].read(tmp_path)
    assert cohort.manifest["field_of_view"].isna().all() and any("used whole" in note for note in cohort.notes)


def test_lines_that_occur_twice_in_tables_count_once(tmp_path, monkeypatch):
    for source, tree, file in (
        ("aml_lmu", lmu, "annotations.dat"),
        ("aml_mll_helmholtz", mll_patients, "metadata.csv"),
    ):
        root = tmp_path / source
        grow(source, tree, root, monkeypatch)
        text = (root / file).read_text().rstrip("\n")
        (root / file).write_text(f"{text}\n{text.splitlines()[1]}\n")
        assert SOURCES[source].read(root).manifest["image_id"].is_unique


@pytest.mark.parametrize(
    ("source", "tree", "name"), [("bodzas_2023", bodzas, "0.bmp"), ("aml_lmu", lmu, "LYT_0001.tiff")]
)
def test_allow_truncated_is_for_jpeg_and_promises_nothing_else(source, tree, name, tmp_path, monkeypatch):
    grow(source, tree, tmp_path / "in", monkeypatch)
    path = next((tmp_path / "in").rglob(name))
    path.write_bytes(path.read_bytes()[:-9000])
    for allowed in (False, True):
        with pytest.raises(CohortError, match=name) as said:
            building.build(source, tmp_path / "out", data=tmp_path / "in", allow_truncated=allowed)
        assert "--allow-truncated" not in str(said.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"field_of_view": -5.0}, "a field of view of -5 by 131"),
        ({"field_of_view_height": 1e6}, "by 1e"),
        ({"field_of_view": np.nan}, "without `field_of_view`"),
    ],
)
def test_places_that_cannot_be_are_problems(change, says, tmp_path):
    attri(tmp_path)
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    for column, value in change.items():
        cohort.manifest.loc[0, column] = value
    with pytest.raises(CohortError, match=says):
        validation.validated(cohort)


@pytest.mark.parametrize(
    ("source", "tree", "file", "content"),
    [
        ("leukemia_attri", attri, "train.json", '{"images": [{"id": 1, "file_na'),
        ("leukemia_attri", attri, "train.json", '{"images": [], "annotations": [{"image_id": 1}], "categories": []}'),
        ("cnmc_2019", cnmc, "C-NMC_test_prelim_phase_data_labels.csv", "nothing,known\n1,2\n"),
        ("aml_lmu", lmu, "annotations.dat", "LYT/LYT_0001.tiff LYT\na b c d e f\n"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_message_not_a_traceback(source, tree, file, content, tmp_path, monkeypatch):
    grow(source, tree, tmp_path, monkeypatch)
    for path in tmp_path.rglob(file):
        path.write_text(content)
    with pytest.raises(CohortError, match=rf"could not be read as {source} .*Unpack the whole archive again"):
        building.read(source, tmp_path)


def test_a_centre_outside_its_picture_is_a_problem(tmp_path):
    attri(tmp_path)
    cohort = SOURCES["leukemia_attri"].read(tmp_path)
    cohort.manifest.loc[0, "centre_x"] = 640
    with pytest.raises(CohortError, match="lies outside the image of 640x640"):
        validation.validated(cohort)


def test_repeats_of_a_source_that_we_split_are_left_out_and_counted(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    base = tmp_path / "PBC_dataset_normal_DIB"
    (base / "monocyte" / "MO_9.jpg").write_bytes((base / "monocyte" / "MO_1.jpg").read_bytes())
    (base / "monocyte" / "MO_8.jpg").write_bytes((base / "lymphocyte" / "LY_2.jpg").read_bytes())
    cohort = building.build("pbc", tmp_path / "out", data=tmp_path)
    reasons = cohort.excluded.set_index("reason")["count"]
    assert reasons["the same image again"] == 1 and reasons["the same image with two labels"] == 2
    assert cohort.manifest["sha256"].is_unique and len(cohort.manifest) == 4


def test_repeats_across_splits_of_a_public_source_are_left_out_of_training(tmp_path, monkeypatch):
    grow("cnmc_2019", cnmc, tmp_path / "in", monkeypatch)
    trained = next(tmp_path.rglob("UID_10_1_1_all.bmp"))
    next(tmp_path.rglob("C-NMC_test_prelim_phase_data/1.bmp")).write_bytes(trained.read_bytes())
    same_side = next(tmp_path.rglob("UID_11_1_1_all.bmp"))
    next(tmp_path.rglob("UID_11_1_2_all.bmp")).write_bytes(same_side.read_bytes())
    cohort = building.build("cnmc_2019", tmp_path / "out", data=tmp_path / "in")
    assert cohort.excluded.set_index("reason")["count"]["the same image again"] == 1
    paths = cohort.manifest["path"]
    assert not paths.str.endswith("UID_10_1_1_all.bmp").any() and paths.str.endswith("phase_data/1.bmp").sum() == 1
    assert any("the same image as" in note for note in cohort.notes)  # within training: kept, and said
    own = tmp_path / "own"
    write_picture(own / "monocyte" / "1.png")
    mixed = building.build("cnmc_2019+folder", tmp_path / "both", data=f"cnmc_2019={tmp_path / 'in'}, folder={own}")
    assert mixed.kind == "private" and len(mixed.manifest) == len(cohort.manifest) + 1


def test_sources_are_combined_and_keep_their_name(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path / "a", monkeypatch)
    grow("aml_mll_helmholtz", mll_patients, tmp_path / "b, c", monkeypatch)
    data = f"pbc={tmp_path / 'a'},aml_mll={tmp_path / 'b, c'}"
    cohort = building.build("pbc+aml_mll", tmp_path / "out", data=data)
    assert cohort.name == "pbc_normal_dib+aml_mll_helmholtz"
    assert cohort.manifest["source"].value_counts().to_dict() == {"aml_mll_helmholtz": 12, "pbc_normal_dib": 5}
    assert cohort.manifest["image_id"].is_unique and all(path.is_file() for path in cohort.files)
    assert not cohort.manifest.loc[cohort.manifest["source"].eq("pbc_normal_dib"), "smear_known"].any()
    assert "source predicts class" in cohort.notes[0]
    # A source brings its own scale; CellaVision pictures are used whole.
    assert cohort.manifest.groupby("source")["field_of_view"].first().isna().tolist() == [False, True]


def test_predictions_of_combined_cohorts_know_whose_patients_are_unknown(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path / "a", monkeypatch)
    grow("cnmc_2019", cnmc, tmp_path / "b", monkeypatch)
    both = building.build("pbc+cnmc_2019", tmp_path / "out", data=f"pbc={tmp_path / 'a'},cnmc_2019={tmp_path / 'b'}")
    cells = predict_cells(both.manifest, np.empty(0), {})
    nameless = cells["source"].eq("pbc_normal_dib")
    assert cells["smear_known"].eq(~nameless).all() and cells["site"].ne("").all()
    # The images of unknown patients are one cluster, those of known ones one a patient.
    of = intervals.clusters(cells)
    assert of[nameless].nunique() == 1 < cells.loc[nameless, "patient_id"].nunique()
    assert of[~nameless].nunique() == cells.loc[~nameless, "patient_id"].nunique()
    counted = composition.overview(both)
    assert counted["patients"] == of[~nameless].nunique() and counted["unidentified"] == nameless.sum()


def test_a_source_without_sites_gets_its_name_as_one(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    cohort = SOURCES["pbc_normal_dib"].read(tmp_path)
    sites = {"a": None, "b": ""}
    parts = [replace(cohort, name=k, manifest=cohort.manifest.assign(site=site)) for k, site in sites.items()]
    assert combine(parts).manifest.groupby("source")["site"].unique().map(list).to_dict() == {"a": ["a"], "b": ["b"]}


def test_images_of_no_named_person_add_no_person_and_no_smear(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path, monkeypatch)
    alone = building.build("pbc", tmp_path / "alone", data=tmp_path)
    assert alone.describe().filter(["smears", "patients"]).to_numpy().sum() == 0
    counted = {value.key: value.reproduced for value in composition.table_2(alone).values}
    assert counted["text.images"] == 5 and counted["text.infections"] == 0
    for unknown in ("text.smears", "text.testing_share", "text.healthy_controls", "table_02.total.persons"):
        assert unknown not in counted
    assert composition.both_sides(alone) == Unavailable("the source names no patients")
    assert composition.table_2(alone).frame.loc["total", ["smears_train", "smears_test", "patients"]].sum() == 0


def test_beside_nameless_images_those_with_a_name_are_counted(tmp_path, monkeypatch):
    grow("pbc_normal_dib", pbc, tmp_path / "a", monkeypatch)
    grow("cnmc_2019", cnmc, tmp_path / "b", monkeypatch)
    both = building.build("pbc+cnmc_2019", tmp_path / "out", data=f"pbc={tmp_path / 'a'},cnmc_2019={tmp_path / 'b'}")
    named = both.manifest[both.manifest["source"].eq("cnmc_2019")]
    counted = {value.key: value.reproduced for value in composition.table_2(both).values}
    assert counted["text.smears"] == named["smear_id"].nunique() > 0
    assert counted["text.acute_leukaemia"] == named["patient_id"].nunique()
    assert "text.healthy_controls" not in counted and "table_02.total.persons" not in counted
    assert composition.table_2(both).frame.loc["total", "patients"] == named["patient_id"].nunique()


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
        building.build(name, tmp_path, data=data)


def test_the_real_pbc_images_have_the_known_counts(pbc_folder, tmp_path):
    cohort = building.build("pbc", tmp_path, data=pbc_folder)
    repeats = cohort.excluded.set_index("reason")["count"].filter(like="the same image")
    counts = SOURCES["pbc_normal_dib"].read(pbc_folder).manifest["cell_type"].value_counts().to_dict()
    assert counts == {"lymphocyte": 1214, "monocyte": 1420}
    assert len(cohort.manifest) + repeats.sum() == 2634


def test_the_real_annotations_of_lmu_have_the_known_counts(lmu_metadata):
    labels = aml_lmu.read_annotations(lmu_metadata / "annotations.dat")["label"].value_counts()
    assert labels.sum() == 18365 and labels["PMO"] == 70
    assert {name: labels[name] for name in SOURCES["aml_lmu"].counts} == SOURCES["aml_lmu"].counts
