"""The fast parts of the campaign of faults, and what its table is made of."""

import functools
import json

import numpy as np
import pytest
from command import alnet_here
from hostile import HOSTILE

from alnet_lib.core.profile import Profile
from faults import __main__ as program
from faults import images, inputs, pages, runs
from faults.tally import Tally, each


@pytest.mark.slow
def test_changed_manifests_and_folders_are_named_or_work(tmp_path):
    line = Tally("input")
    each(line, functools.partial(inputs.built, tmp_path, 3), range(24), apart=False)
    assert line.tried == 24 and not line.failures


@pytest.mark.slow
def test_changed_smears_and_models_are_named_or_work(tmp_path):
    line = Tally("diagnose")
    each(line, functools.partial(inputs.diagnosed, tmp_path, 3), range(8), apart=False)
    assert line.tried == 8 and not line.failures


def test_changed_images_are_decoded_or_named(tmp_path):
    line = Tally("images")
    each(line, functools.partial(images.decoded, tmp_path, 3), range(300), apart=False)
    assert line.tried == 300 and not line.failures


def test_the_same_seed_gives_the_same_changes():
    one, two = (images.mutated(images.SEEDS[0], np.random.default_rng([1, 2])) for _ in range(2))
    assert one == two != images.SEEDS[0]


@pytest.mark.slow
def test_a_hostile_cohort_is_one_that_works(twin, tmp_path):
    manifest = pages.cohort(tmp_path / "data", twin, HOSTILE)
    done = alnet_here("cohort", "build", "folder", tmp_path / "out", "--data", manifest)
    assert inputs.told(done) == "" and done.exit_code == 0 and (tmp_path / "out" / "manifest.parquet").is_file()


@pytest.mark.parametrize(
    "bad",
    [
        "<script>1</script><script>2</script>",
        "<p onclick=x>",
        "<form action=x>",
        "<iframe>",
        "<img src=http://x>",
        "<a href=javascript:x>",
    ],
)
def test_what_acts_or_loads_on_a_page_is_found(tmp_path, bad):
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    (tmp_path / "a.html").write_text(policy + "<img src='data:image/png;base64,AA=='><script>0</script>")
    assert pages.wrong_with(tmp_path / "a.html") == ""
    (tmp_path / "a.html").write_text(policy + bad)
    assert pages.wrong_with(tmp_path / "a.html")


def _case(number):
    if number == 1:
        raise KeyError("one")
    return "two" if number == 2 else ""


def test_a_case_that_raises_or_says_what_went_wrong_has_failed():
    line = Tally("x")
    each(line, _case, range(4), apart=False)
    assert line.tried == 4 and [text[:6] for text in line.failures] == ["case 1", "case 2"]
    assert line.as_dict()["handled"] == 2


def test_parts_that_did_not_run_keep_their_lines(tmp_path, monkeypatch):
    page, results = tmp_path / "page.md", tmp_path / "faults.json"
    page.write_text("a\n<!-- faults: by the program -->\nold\n<!-- /faults -->\nb\n")
    monkeypatch.setattr(program, "PAGE", page)
    monkeypatch.setattr(program, "RESULTS", results)
    about = {"date": "d", "commit": "c", "machine": "m", "seconds": 1}
    program.write({"pages": about | {"lines": [Tally("one", 3, ["bad"]).as_dict()]}})
    program.write({"input": about | {"lines": [Tally("two", 5).as_dict()]}})
    assert list(json.loads(results.read_text())) == ["input", "pages"]
    text = page.read_text()
    assert (
        "| input: two | 5 | 5 | 0 |\n| pages: one | 3 | 2 | 1 |" in text and "old" not in text and text.endswith("b\n")
    )


def test_the_profile_of_the_campaign_can_be_read_and_leaves_a_checkpoint_after_each_iteration():
    assert Profile.load(runs.PROFILE).checkpoint_minutes == 0
