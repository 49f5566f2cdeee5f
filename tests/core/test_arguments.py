"""The argument DATA: a folder, or one for each of combined sources."""

import pytest

from alnet_lib.core.arguments import cohort_folders


@pytest.mark.parametrize(
    ("cohort", "data", "folders"),
    [
        ("pbc", "", {}),
        ("pbc", "/a, b=c/d", {"pbc": "/a, b=c/d"}),
        ("pbc", "pbc=/a", {"pbc": "/a"}),
        ("pbc+jhu_apl", "", {}),
        ("pbc+jhu_apl", "jhu_apl=/x", {"jhu_apl": "/x"}),
        ("pbc+jhu_apl", "pbc=/a, with comma,jhu_apl=C:\\b c", {"pbc": "/a, with comma", "jhu_apl": "C:\\b c"}),
        ("pbc+jhu_apl", "pbc=,jhu_apl=/x", {"jhu_apl": "/x"}),
    ],
)
def test_each_name_has_its_folder(cohort, data, folders):
    assert cohort_folders(cohort, data) == folders


def test_a_name_that_is_no_part_of_the_cohort_is_refused_with_the_right_form():
    with pytest.raises(ValueError, match=r"DATA names mll23: for pbc\+jhu_apl write pbc=FOLDER,jhu_apl=FOLDER"):
        cohort_folders("pbc+jhu_apl", "pbc=/a,mll23=/b")
