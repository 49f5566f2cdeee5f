"""What a notebook's tables and figures leave in the run directory, and the marker that later steps depend on."""

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from alnet_lib.cohorts.schema import SchemaError
from alnet_lib.core.outcomes import MissingArtefact, Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Result, Value
from alnet_lib.workflow.run import CROSS_FITTED, MANIFEST, PREDICTIONS, Run, why_not

NOTEBOOK = "04_smear_roc"


@pytest.fixture
def run(tmp_path):
    return Run.open(NOTEBOOK, profile="smoke", run_dir=str(tmp_path / "run, é"))


def result():
    frame = pd.DataFrame({"share": [0.123456, 0.5]}, index=pd.Index(["<a>", "b"], name="class"))
    return Result(frame, (Value("own.key", "%", reproduced=12.5),), {"accuracy": 83.333, "n": 6})


def picture():
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    figure.alt = "A line that rises."
    return figure


def item(run, id):
    return json.loads((run.dir / "items" / f"{id}.json").read_text(encoding="utf-8"))


def test_a_table_of_a_result_is_a_file_with_all_digits_and_a_record_with_its_values(run):
    made = result()
    shown = run.table("table_08", made, "{accuracy:.1f}% of {n} cells", values=[Value("more")], digits=2)
    saved = pd.read_csv(run.dir / "tables" / "table_08.csv", index_col="class")
    pd.testing.assert_frame_equal(saved, made.frame)
    kept = item(run, "table_08")
    assert (kept["kind"], kept["status"], kept["notebook"]) == ("table", "reproduced", NOTEBOOK)
    assert kept["title"] == ITEMS["table_08"].title and kept["files"] == ["tables/table_08.csv"]
    assert kept["caption"] == "83.3% of 6 cells" and [value["key"] for value in kept["values"]] == ["own.key", "more"]
    assert kept["values"][0]["reproduced"] == 12.5
    assert "0.12" in shown.data and "0.1234" not in shown.data and "83.3% of 6 cells" in shown.data
    assert "&lt;a&gt;" in shown.data and "<a>" not in shown.data


def test_a_table_of_a_frame_has_no_values_and_its_caption_may_hold_braces(run):
    id = "extra_table_counts"
    run.table(id, pd.DataFrame({"n": [1, 2]}), "The set {1, 2}", title="Counts", index=False)
    kept = item(run, id)
    assert kept["caption"] == "The set {1, 2}" and kept["title"] == "Counts" and kept["values"] == []
    assert (run.dir / "tables" / f"{id}.csv").read_text() == "n\n1\n2\n"


def test_a_table_may_be_displayed_otherwise_than_it_is_kept(run):
    shown = run.table("table_08", result(), "Shown.", shown=pd.DataFrame({"said": ["in words"]}))
    assert "in words" in shown.data and "share" not in shown.data
    assert "share" in (run.dir / "tables" / "table_08.csv").read_text()


def test_what_is_unavailable_is_recorded_with_its_reason_and_has_no_file(run):
    for shown in (
        run.table("table_08", Unavailable("no <smear>"), "{accuracy} is not formatted"),
        run.figure("figure_04", Unavailable("no <smear>"), "{accuracy} is not formatted"),
        run.figure("figure_05", picture(), "{accuracy}", of=Unavailable("no <smear>")),
    ):
        assert "no &lt;smear&gt;" in shown.data
    for id in ("table_08", "figure_04", "figure_05"):
        kept = item(run, id)
        assert (kept["status"], kept["reason"], kept["files"]) == ("unavailable", "no <smear>", [])
        assert kept["kind"] == id.split("_")[0] and kept["title"] == ITEMS[id].title
    assert not (run.dir / "tables").exists() and not (run.dir / "figures").exists()


def test_a_figure_is_two_files_and_a_record_with_the_values_of_what_it_shows(run):
    shown = run.figure("figure_04", picture(), "{accuracy:.0f}%", of=result(), values=[Value("more")])
    kept = item(run, "figure_04")
    assert kept["files"] == ["figures/figure_04.svg", "figures/figure_04.png"]
    with Image.open(run.dir / "figures" / "figure_04.png") as saved:
        assert saved.width > 50
    assert "<svg" in (run.dir / "figures" / "figure_04.svg").read_text(encoding="utf-8")
    assert kept["caption"] == "83%" and [value["key"] for value in kept["values"]] == ["own.key", "more"]
    assert kept["alt"] == "A line that rises." and 'alt="A line that rises."' in shown.data
    run.figure("figure_04", picture(), "Plain.", alt="Given.")
    assert item(run, "figure_04")["alt"] == "Given." and item(run, "figure_04")["values"] == []


def test_a_figure_about_a_result_has_its_facts_and_leaves_its_values_to_the_table(run):
    run.figure("figure_04", picture(), "{accuracy:.0f}% of {n}", about=result())
    assert item(run, "figure_04")["caption"] == "83% of 6" and item(run, "figure_04")["values"] == []
    run.figure("figure_05", picture(), "{accuracy:.0f}%", about=Unavailable("no smear"))
    assert item(run, "figure_05")["status"] == "unavailable" and item(run, "figure_05")["reason"] == "no smear"


def _finished(run):
    text = run.finish()
    marked = json.loads((run.dir / "done" / f"{run.notebook}.json").read_text())
    assert marked["notebook"] == run.notebook and marked["results"][:12] in text
    return marked["results"]


def test_the_marker_changes_with_the_results_and_with_nothing_else(run):
    run.table("table_08", result(), "A table.")
    first = _finished(run)
    run.table("table_08", result(), "A table.")
    other = Run.open("06_feature_maps", profile="smoke", run_dir=str(run.dir))
    other.table("table_04", result(), "Of another notebook.")
    assert _finished(run) == first, "the same results, and one of another notebook"
    seen = {first}
    frame = result().frame
    for made in (
        Result(frame, (Value("own.key", "%", reproduced=12.6),)),
        Result(frame + 1e-9, result().values),
        Unavailable("no smear"),
    ):
        run.table("table_08", made, "A table.")
        seen.add(_finished(run))
    run.table("extra_table_more", result(), "One more.")
    assert len(seen | {_finished(run)}) == 5


@pytest.mark.parametrize(
    ("notebook", "artefact"),
    [
        ("01_data_audit", MANIFEST),
        *(
            ("03_alnet_training", made)
            for made in (PREDICTIONS, why_not(PREDICTIONS), CROSS_FITTED, why_not(CROSS_FITTED))
        ),
    ],
)
def test_the_marker_changes_with_the_artefact_that_the_notebook_makes(run, notebook, artefact):
    own = Run.open(notebook, profile="smoke", run_dir=str(run.dir))
    own_before, other_before = _finished(own), _finished(run)
    (run.dir / artefact).parent.mkdir()
    (run.dir / artefact).write_bytes(b"content")
    assert _finished(own) != own_before and _finished(run) == other_before


def test_predictions_come_back_and_what_is_missing_names_the_command(run, twin):
    with pytest.raises(MissingArtefact, match="--profile smoke --until 03_alnet_training"):
        run.predictions()
    with pytest.raises(MissingArtefact, match="--until 01_data_audit"):
        run.cohort()
    cells = twin.manifest.head(3).assign(**{f"p1_{name}": 0.2 for name in MODULE_1_CLASSES}, eligible=True)
    run.save_predictions(cells)
    pd.testing.assert_frame_equal(run.predictions(), cells)
    with pytest.raises(SchemaError, match="lacks the column `p1_blast`"):
        run.save_predictions(cells.drop(columns="p1_blast"))
    pd.testing.assert_frame_equal(run.predictions(), cells)
    reason = Unavailable("module 1 cannot be trained: “é”")
    run.save_predictions(reason)
    assert run.predictions() == reason and not (run.dir / PREDICTIONS).exists()
    run.save_predictions(cells)
    pd.testing.assert_frame_equal(run.predictions(), cells)


def test_cross_fitted_predictions_come_back_or_the_reason_why_there_are_none(run, twin):
    with pytest.raises(MissingArtefact, match="--until 03_alnet_training"):
        run.cross_fitted()
    cells = twin.manifest.head(3).assign(**{f"p1_{name}": 0.2 for name in MODULE_1_CLASSES}, eligible=True, fold=1)
    run.save_cross_fitted(cells)
    pd.testing.assert_frame_equal(run.cross_fitted(), cells)
    with pytest.raises(SchemaError, match=r"cross-fitted predictions has 1 problems:\n.*`p1_blast`"):
        run.save_cross_fitted(cells.drop(columns="p1_blast"))
    pd.testing.assert_frame_equal(run.cross_fitted(), cells)
    reason = Unavailable("fewer than two patients have “é”")
    run.save_cross_fitted(reason)
    assert run.cross_fitted() == reason and not (run.dir / CROSS_FITTED).exists()
    run.save_cross_fitted(cells)
    pd.testing.assert_frame_equal(run.cross_fitted(), cells)


def test_an_unknown_notebook_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown notebook `08_more`: known are 01_data_audit"):
        Run.open("08_more", profile="smoke", run_dir=str(tmp_path))
