"""Runs side by side: pictures are matched by content, differences paired where patients are shared."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from alnet_lib.cli import app
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.paper.values import Value
from alnet_lib.report import pairing
from alnet_lib.report.pages import comparison
from alnet_lib.workflow import provenance, recorder

NASTY = "<script>x</script>"


def _cells(patients, *, right=1.0, start=0, prefix=""):
    """Two testing smears of four lymphocytes a patient; the first `right` of the cells are predicted correctly."""
    rows = [
        {
            "image_id": f"{prefix}{p}-{s}-{i}", "sha256": f"{prefix}{start + p}-{s}-{i}", "cell_type": "lymphocyte",
            "smear_id": f"{prefix}{p}-{s}", "patient_id": f"P{p}", "site": "A", "diagnosis": "control", "split": "test",
            "eligible": True,
        }
        for p in range(patients)
        for s in range(2)
        for i in range(4)
    ]  # fmt: skip
    cells = pd.DataFrame(rows)
    good = cells.index < right * len(cells)
    for name, column in zip(MODULE_1_CLASSES, MODULE_1.columns, strict=True):
        cells[column] = 0.9 * (good if name == "lymphocyte" else ~good if name == "blast" else 0 * good)
    return cells


def _opened(name, cells):
    about = {"cohort": {"name": name, "kind": "public", "content_hash": name}, "profile": {"name": "smoke"}}
    return comparison.Opened(name, about, [], cells)


def test_the_same_patients_give_a_paired_difference_whatever_their_names():
    first, second = _cells(8, right=0.5), _cells(8, right=1.0)
    second[["image_id", "smear_id", "patient_id"]] = "x/" + second[["image_id", "smear_id", "patient_id"]]
    found = comparison.differences(_opened("a", first), _opened("b", second.sample(frac=1, random_state=0)))
    row = found.set_index("measure").loc["Module 1, accuracy, testing cells"]
    assert (row["a, %"], row["b, %"], row["difference"], row["patients"]) == (50, 100, 50, 8)
    assert row["judged on"] == "the same 64 cells" and 0 < row["low"] < 50 < row["high"]
    assert row["reading"] == "b is higher"
    smears = found.set_index("measure").loc["Correct final diagnosis, testing smears"]
    assert smears["judged on"] == "the same 16 smears" and smears["difference"] == 50
    # The same names are no sign of the same pictures.
    other = comparison.differences(_opened("a", first), _opened("b", _cells(8, start=100)))
    assert set(other["judged on"]) == {"64 and 64 other cells", "16 and 16 other smears"}


def test_a_smear_whose_pictures_lie_in_two_of_the_other_run_is_not_the_same():
    first, second = _cells(2), _cells(2)
    second.loc[0, "smear_id"] = "1-1"
    found = pairing.same_smears(pairing.same_cells(first, second))
    assert found.to_numpy().tolist() == [["0-1", "0-1"], ["1-0", "1-0"]]
    second["sha256"] = None
    assert not len(pairing.same_smears(pairing.same_cells(first, second)))
    assert not len(pairing.same_smears(pairing.same_cells(first, second.drop(columns="sha256"))))


def test_a_run_beside_itself_has_no_difference_and_no_verdict():
    found = comparison.differences(_opened("a", _cells(8)), _opened("b", _cells(8)))
    assert found["difference"].eq(0).all() and found["reading"].eq("no verdict: the interval includes 0").all()
    assert (found["low"] < 0).all() and (found["high"] > 0).all()


def test_too_few_shared_patients_do_not_stand_for_all():
    second = _cells(8, start=4)
    found = comparison.differences(_opened("a", _cells(8)), _opened("b", second))
    assert "64 and 64 other cells" in set(found["judged on"])
    few = comparison.differences(_opened("a", _cells(3)), _opened("b", _cells(3)))
    assert few["low"].isna().all() and few["reading"].eq("no verdict without an interval").all()


def test_a_run_without_predictions_gives_no_difference():
    assert not len(comparison.differences(_opened("a", None), _opened("b", _cells(8))))


def _run(folder, cells, value):
    folder.mkdir(parents=True)
    about = {"kind": "public", "images": len(cells), "smears": 16, "patients": 8, "name": NASTY, "content_hash": "h"}
    profile = {"name": "smoke", "threshold": 0.5, "module_1": {"iterations": int(value)}}
    provenance.write_provenance(folder, profile=profile, cohort=about, device="cpu", precision="float32", seed=1)
    number = Value("text.module_1.accuracy", "%", 94.2, None, value, value - 5, value + 5, "m", 8)
    recorder.write_item(folder, recorder.Item("table_08", "R", "table", "reproduced", values=(number,)))
    (folder / "predictions").mkdir()
    cells.to_parquet(folder / "predictions" / "cells.parquet")
    return folder


def test_the_command_writes_one_page_that_needs_no_other_and_leaves_the_runs_alone(tmp_path):
    runs = [_run(tmp_path / name / "run", _cells(8, right=share), value) for name, share, value in
            (("a", 0.5, 80.0), ("b", 1.0, 90.0))]  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out" / "page.html"
    result = CliRunner().invoke(app, ["compare", *map(str, runs), "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text(encoding="utf-8")
    assert [path for path in sorted(tmp_path.rglob("*")) if "out" not in path.parts[-2:]] == before
    assert "a/run" in page and "b/run is higher" in page and "80.0 (75.0 to 85.0 over 8 patients)" in page
    assert "module_1.iterations" in page and NASTY not in page.replace("</script>\n</body>", "")
    assert 'href="#main"' in page and page.count("href=") == 1 and "src=" not in page


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "nothing"]])
def test_fewer_than_two_runs_are_refused(tmp_path, names):
    _run(tmp_path / "a", _cells(2), 80.0)
    result = CliRunner().invoke(app, ["compare", *(str(tmp_path / name) for name in names)])
    assert result.exit_code == 1 and "Traceback" not in result.output
