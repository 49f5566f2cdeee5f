"""The reporting guidelines: every item has an answer, every answer resolves, nothing is shown unescaped."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import PROFILES_DIR
from alnet_lib.paper import printed
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Value
from alnet_lib.report import checklists
from alnet_lib.workflow import provenance, recorder

ROOT = Path(__file__).parents[2]
NASTY = '<script>alert("x")</script>'
_COUNTED = {
    "claim": " ".join(str(number) for number in range(1, 45)),
    "tripod_ai": (
        "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 16 17 18a 18b "
        "18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
    ),
    "stard_ai": (
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15a 15b 15c 15d 16a 16b 16c 17a 17b 18 19 20 21 22 23 24 25 26a 26b 27 28 29 "
        "30 31 32 33 34 35 36 37 38 39 40a 40b"
    ),
}
NUMBERS = {name: counted.split() for name, counted in _COUNTED.items()}
"""Of the guidelines, as they count their items."""


def _keys():
    known = set()
    for name in checklists.NAMES:
        for entry in checklists.definition(name)["items"]:
            for keys in (entry["answer"], entry.get("synthetic", [])):
                known |= set() if keys == checklists.AUTHOR else set(keys)
    return known


def _extras():
    """Ids beyond the paper's that the notebooks make."""
    found = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            names = re.findall(r'"(extra_(?:table|figure)_\w+)"', "".join(cell["source"]))
            found |= {(name, path.stem) for name in names}
    return sorted(found)


def _value(key, **more):
    value = Value(key, "%", None, None, 80.0, 70.0, 90.0, "Korn-Graubard over patients", 24)
    return asdict(value) | more


def _item(id, notebook, title="A title"):
    return asdict(recorder.Item(id, title, "table", "reproduced", notebook=notebook, caption="What it is."))


@pytest.fixture
def results():
    """A whole run's record: every item and value, and the provenance that a run writes."""
    cohort = {"name": "jhu_apl", "kind": "public", "images": 8150, "smears": 94, "patients": 94, "nameless": 0}
    profile = Profile.load("quick", "jhu_apl", PROFILES_DIR).model_dump(mode="json")
    about = provenance.provenance(
        profile=profile, cohort=cohort | {"content_hash": "abc"}, device="cpu", precision="bf16", seed=2021
    )
    items = [_item(id, known.notebook, known.title) for id, known in ITEMS.items()]
    items += [_item(id, notebook) for id, notebook in _extras()]
    items[0]["values"] = [_value(key.removeprefix("value:")) for key in sorted(_keys()) if key.startswith("value:")]
    return {"provenance": about, "items": items}


@pytest.mark.parametrize("name", checklists.NAMES)
def test_items_are_those_of_the_guideline_each_once_in_order_and_answered(name):
    guide = checklists.definition(name)
    assert [entry["number"] for entry in guide["items"]] == NUMBERS[name]
    for entry in guide["items"]:
        assert entry["item"] and entry["section"] and entry["answer"], entry
        assert entry["answer"] == checklists.AUTHOR or all(":" in key for key in entry["answer"]), entry
    for field in ("guideline", "full_name", "year", "citation", "doi", "read"):
        assert guide[field], field
    assert all(part["number"] and part["why"] for part in guide["left_out"])


def test_every_answer_is_known_to_a_whole_run(results):
    knows = checklists._Knowledge(results, None)
    unknown = {key: knows.answer(key).text for key in sorted(_keys()) if not knows.answer(key).known}
    assert not unknown
    with pytest.raises(KeyError):
        knows.answer("text:no such sentence")
    for name, frame in checklists.fill(results).items():
        assert set(frame["answered by"]) <= {"run", "run and author", "author"}, name
        assert not frame["answer"].str.contains("{", regex=False).any()


def test_the_networks_behind_cross_fitted_scores_are_named_and_the_threshold_is_not_said_to_rest_on_them(results):
    text = checklists._Knowledge(results, None).answer("text:cross_fitting").text
    assert "vgg16_miniature and 500 iterations" in text and "vgg16_miniature with 500" in text
    assert "the vote itself uses the profile's 0.5" in text


def test_values_are_names_that_the_kit_gives():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "alnet_lib").rglob("*.py"))
    record = set(printed.record().index)
    for key in (key.removeprefix("value:") for key in _keys() if key.startswith("value:")):
        # Some are written as "<stem>" and ".accuracy" or ".auc".
        assert key in record or f'"{re.sub(r"[.](accuracy|auc)$", "", key)}"' in sources, key


def test_every_sentence_and_label_is_used():
    known, kinds = checklists.definition("known"), {"texts": "text", "values": "value"}
    for part, entries in known.items():
        assert {f"{kinds.get(part, part)}:{name}" for name in entries} <= _keys()


def test_a_number_stands_with_its_interval_and_the_patients_behind_it(results):
    knows = checklists._Knowledge(results, None)
    answer = knows.answer("value:end_to_end.accuracy")
    interval = "95% interval, Korn-Graubard over patients, 24 patients: 70.0 to 90.0"
    assert answer.text == f"Correct diagnoses, testing smears: 80.0% ({interval})"
    assert answer.link == "01_data_audit.html#table_01"
    few = _value("end_to_end.accuracy", ci_low=None, ci_high=None, interval="", n_patients=3)
    results["items"][0]["values"] = [few]
    answer = checklists._Knowledge(results, None).answer("value:end_to_end.accuracy")
    assert answer.text == "Correct diagnoses, testing smears: 80.0% (3 patients, no interval)"


def test_a_partial_run_says_what_is_missing_and_why(results):
    results["items"] = [entry for entry in results["items"] if entry["id"] in ("table_01", "table_09b")]
    results["items"][1] |= {"status": "unavailable", "reason": "no testing smear of AML"}
    results["items"][0]["values"] = []
    frame = checklists.fill(results)["stard_ai"].set_index("number")
    assert frame.loc["30", "answered by"] == "not in this run"
    assert "not measured in this run (no testing smear of AML)" in frame.loc["30", "answer"]
    assert "Accuracy of module 1, testing cells: not measured in this run" in frame.loc["31", "answer"]
    assert frame.loc["26b", "answered by"] == "run" and frame.loc["15c", "answered by"] == "run in part"


def test_an_empty_run_knows_nothing_of_itself():
    for frame in checklists.fill({"provenance": {}, "items": []}).values():
        assert frame["answer"].ne("").all() and frame["links"].eq("").all()
    claim = checklists.fill({})["claim"].set_index("number")
    assert claim.loc["24", "answer"] == "profile.start, seed: not recorded in this run"
    assert claim.loc["24", "answered by"] == "not in this run"


def test_links_lead_only_to_pages_that_are_there(results):
    frame = checklists.fill(results, ["03_alnet_training.html"])["claim"].set_index("number")
    assert frame.loc["37", "links"] == "report/03_alnet_training.html#table_08"
    assert frame.loc["36", "links"] == ""


def test_a_synthetic_run_names_no_patients_study(results, tmp_path):
    results["provenance"]["cohort"] |= {"name": "synthetic", "kind": "synthetic"}
    frame = checklists.fill(results)["tripod_ai"].set_index("number")
    assert frame.loc["17", "answer"] == "No patient: every image of the synthetic cohort is drawn by a program."
    assert frame.loc["18a", "answer"] == "author"
    assert "describe\nno study of patients" in checklists.page(tmp_path, results)


def test_a_cohort_of_ones_own_leaves_its_source_to_the_author(results):
    results["provenance"]["cohort"] |= {"name": "folder", "kind": "private"}
    frame = checklists.fill(results)["claim"].set_index("number")
    assert "Licence of the images: not recorded in this run" in frame.loc["43", "answer"]


def test_two_sources_are_told_apart(results):
    results["provenance"]["cohort"]["name"] = "jhu_apl+pbc_normal_dib"
    text = checklists._Knowledge(results, None).answer("source:citation").text
    assert text.startswith("Source of the images: jhu_apl: Sidhom") and "; pbc_normal_dib: Acevedo" in text


def test_the_page_escapes_everything_and_the_files_are_whole(results, tmp_path):
    results["provenance"]["cohort"]["name"] = NASTY
    for entry in results["items"]:
        entry["title"], entry["caption"] = NASTY, NASTY
    results["items"][3] |= {"status": "unavailable", "reason": NASTY}
    results["items"][7]["notebook"] = "javascript:alert(1)//"
    body = checklists.page(tmp_path, results)
    assert "<script" not in body and "&lt;script&gt;" in body and "javascript:" not in body
    assert re.findall(r'<h2 id="(\w+)">', body) == list(checklists.NAMES)
    assert body.count("<tr id=") == sum(map(len, NUMBERS.values()))
    written = sorted(path.name for path in (tmp_path / "checklists").iterdir())
    assert written == ["claim.csv", "stard_ai.csv", "tripod_ai.csv"]
    for name, frame in checklists.fill(results).items():
        read = pd.read_csv(tmp_path / "checklists" / f"{name}.csv", dtype=str, keep_default_na=False)
        pd.testing.assert_frame_equal(read, frame.astype(str), check_dtype=False)
