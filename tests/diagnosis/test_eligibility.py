"""Which cells vote, worked out by hand."""

import pandas as pd

from alnet_lib.diagnosis.eligibility import eligible


def test_only_immature_cells_of_known_smears_are_eligible():
    manifest = pd.DataFrame({"immature": [True, True, False, False], "smear_known": [True, False, True, False]})
    assert eligible(manifest).tolist() == [True, False, False, False]
    assert eligible(manifest[["immature"]]).tolist() == [True, True, False, False]
    assert eligible(manifest[["smear_known"]]).tolist() == [True, False, True, False]


def test_without_such_columns_every_cell_is_eligible():
    manifest = pd.DataFrame({"image_id": ["a", "b"]}, index=[5, 3])
    assert eligible(manifest).to_dict() == {5: True, 3: True}
