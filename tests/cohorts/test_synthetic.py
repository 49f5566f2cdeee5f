"""The drawn cohort has the paper's composition, and the same seed draws the same bytes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.cohorts.synthetic import morphology
from alnet_lib.cohorts.synthetic.composition import composition
from alnet_lib.cohorts.synthetic.twin import build, draw, extras, masks
from alnet_lib.core.vocabulary import CELL_TYPES, MANIFEST_COLUMNS


@pytest.fixture(scope="module")
def whole():
    return composition(1.0)


# Images and smears, train and test: the rows of the paper's Table 2.
TABLE_2 = {
    "lymphocyte": (3288, 312, 82, 13),
    "monocyte": (1205, 117, 83, 4),
    "reactive_lymphocyte": (1852, 459, 168, 46),
    "abnormal_promyelocyte": (2575, 1358, 19, 14),
    "myeloblast": (2234, 630, 200, 25),
    "monoblast": (636, 144, 24, 5),
    "b_lymphoblast": (617, 1023, 48, 27),
}


@pytest.mark.parametrize("cell_type", CELL_TYPES)
def test_fraction_1_has_the_images_and_smears_of_table_2(whole, cell_type):
    own = whole[whole["cell_type"].eq(cell_type) & whole["split"].ne("external")]
    images = own["split"].value_counts()
    smears = own.groupby("split")["smear_id"].nunique()
    assert (images["train"], images["test"], smears["train"], smears["test"]) == TABLE_2[cell_type]


def test_fraction_1_has_the_patients_and_totals_of_tables_1_and_2(whole):
    home = whole[whole["split"].ne("external")]
    persons = home.groupby("diagnosis")["patient_id"].nunique()
    assert persons.to_dict() == {"control": 100, "infection": 191, "APL": 15, "AML": 96, "ALL": 37}
    assert home["split"].value_counts().to_dict() == {"train": 12407, "test": 4043}
    npm1 = home[home["subtype"].eq("AML with mutated NPM1")]
    assert (npm1["patient_id"].nunique(), *npm1["split"].value_counts()[["train", "test"]]) == (13, 669, 68)


def test_fraction_1_has_the_external_set(whole):
    external = whole[whole["split"].eq("external")]
    assert external["diagnosis"].value_counts().to_dict() == {"AML": 322, "ALL": 59}
    assert external.groupby("diagnosis")["smear_id"].nunique().to_dict() == {"AML": 5, "ALL": 2}
    assert external["site"].nunique() == 2


def test_sites_are_called_synthetic_and_smears_are_drawn_as_under_their_former_names(whole):
    external = whole[whole["split"].eq("external")]
    assert whole["site"].str.fullmatch("synthetic (home|east|west) site").all()
    assert set(external["smear_id"].str.extract(r"^external-(\w+)-")[0]) == {"east", "west"}
    first = external[external["smear_id"].eq("external-west-myeloblast-0")].head(1)
    drawn = morphology.parameters(first, 2021).iloc[0]
    assert (drawn["draw_cell_diameter"], drawn["draw_nc_ratio"], drawn["draw_granules"]) == (16.2563, 0.8749, 2.2806)


def test_some_patients_have_smears_on_both_sides_as_in_the_paper(whole):
    sides = whole[whole["split"].ne("external")].groupby("patient_id")["split"].nunique()
    assert 10 < (sides == 2).sum() < len(sides) / 2
    assert whole.groupby("smear_id")["split"].nunique().eq(1).all()


@pytest.mark.parametrize("fraction", [0.004, 0.02, 0.1, 0.5])
def test_smaller_fractions_keep_every_class_split_and_site(whole, fraction):
    small = composition(fraction)
    for columns in (["cell_type", "split"], ["diagnosis", "split"], ["site"], ["subtype"]):
        assert set(map(tuple, small[columns].drop_duplicates().to_numpy())) == set(
            map(tuple, whole[columns].drop_duplicates().to_numpy())
        )
    assert small.groupby("smear_id").size().min() >= 3
    assert len(small) >= fraction * len(whole) * 0.98


def test_a_fraction_outside_its_range_is_refused():
    for fraction in (0, -1, 1.5):
        with pytest.raises(ValueError, match="cohort fraction"):
            composition(fraction)


def test_manifest_has_the_contracts_columns_and_drawing_parameters_in_range(twin):
    assert set(MANIFEST_COLUMNS) <= set(twin.manifest.columns)
    for name, (_, low, high) in morphology.CRITERIA.items():
        values = twin.manifest[f"draw_{name}"]
        assert values.between(low, high).all(), name


def test_pictures_have_the_size_of_the_papers(twin):
    with Image.open(twin.file(0)) as picture:
        assert picture.size == (360, 363) and picture.mode == "RGB"


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers_or_on_what_was_there(twin, few_drawn, tmp_path):
    few_drawn(6)  # of seven types: a part of the work for each of two processes
    drawn = build(tmp_path, fraction=0.004, workers=2).manifest["path"].tolist()
    again, by_one = [tmp_path / path for path in drawn], [twin.root / path for path in drawn]
    kept, lost = again[0].stat().st_mtime_ns, again[1].read_bytes()
    again[1].unlink()
    build(tmp_path, fraction=0.004, workers=1)
    assert again[0].stat().st_mtime_ns == kept, "a picture that was there is drawn again"
    assert again[1].read_bytes() == lost
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(again, by_one, strict=True))
    assert len(again) == 42 and set(by_one) <= set(twin.files)


def test_pictures_of_another_seed_are_not_kept(few_drawn, tmp_path):
    few_drawn(1)
    first = build(tmp_path, fraction=0.002, seed=1, workers=1)
    before = first.file(0).read_bytes()
    assert build(tmp_path, fraction=0.002, seed=2, workers=1).file(0).read_bytes() != before
    assert build(tmp_path, fraction=0.002, seed=1, workers=1).file(0).read_bytes() == before


def test_parameters_of_an_image_do_not_depend_on_the_other_rows(whole):
    some = whole.iloc[[5, 5000, 12000]]
    alone = morphology.parameters(some, 1)
    more = morphology.parameters(whole.iloc[[3, 5, 5000, 7000, 12000]], 1)
    pd.testing.assert_frame_equal(alone, more.loc[alone.index])


def test_masks_are_a_nucleus_within_a_cell_of_the_drawn_ratio(twin):
    for row in twin.manifest.groupby("cell_type").first().reset_index().to_dict("records"):
        cell, nucleus = masks(row)
        assert cell.shape == nucleus.shape == (363, 360)
        assert (nucleus <= cell).all() and nucleus.any()
        assert nucleus.sum() / cell.sum() == pytest.approx(row["draw_nc_ratio"], abs=0.25)


def test_nucleus_is_darker_than_cytoplasm_and_cytoplasm_than_background(twin):
    row = twin.manifest[twin.manifest["cell_type"].eq("monocyte")].iloc[0].to_dict()
    picture, (cell, nucleus) = draw(row).astype(float).mean(2), masks(row)
    background = np.percentile(picture, 95)
    assert picture[nucleus].mean() < picture[cell & ~nucleus].mean() < background


def test_granulocytes_are_drawn_outside_the_cohort(twin):
    pictures = extras(1)
    assert list(pictures) == ["neutrophil", "eosinophil", "basophil"]
    assert not set(pictures) & set(twin.manifest["cell_type"])
