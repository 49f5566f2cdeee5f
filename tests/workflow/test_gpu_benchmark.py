"""The benchmark of a card: its numbers are there, what does not fit into its time is named, its table says of what."""

import json
import time

import pytest
from miniatures import benchmark

SMALL = """--networks vgg16_miniature --size 32 --batch 4 --predicted 4 --images 8 --seconds 0 --iterations 1
--fraction 0.01 --device cpu --threads 1"""


@pytest.fixture(scope="module")
def gpu():
    return benchmark("gpu")


@pytest.fixture
def given(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return gpu.arguments(SMALL.split())


def test_the_defaults_are_the_papers(gpu):
    given = gpu.arguments(["--device", "cpu"])
    assert given.networks == ["vgg16", "vgg19", "resnet101", "densenet121", "senet154"]
    assert (given.size, given.batch, given.iterations, given.whole, given.limit < 600) == (224, 64, 47, 470, True)


def test_a_network_has_a_row_for_each_precision_and_layout(gpu, given):
    rows = list(gpu.rows("vgg16_miniature", given, time.time() + 3600))
    assert [(row["precision"], row["layout"]) for row in rows] == [
        (precision, form) for precision in ("float32", "bf16") for form in ("NCHW", "NHWC")
    ]
    for row in rows:
        assert row["matmul"] > 0 and row["the_kit_chooses"] == "NHWC"
        for part, passes in (("training", 3), ("prediction", 1)):
            own = row[part]
            assert all(value > 0 for value in own.values())
            reached = own["kit"] * passes * row["flops_of_an_image"]
            assert own["share_of_matmul"] == pytest.approx(reached / row["matmul"])


def test_what_does_not_fit_is_left_out_and_memory_that_runs_out_ends_nothing(gpu, given, monkeypatch):
    assert [set(row) for row in gpu.rows("vgg16_miniature", given, 0)] == [{"left_out"}] * 4

    def none(*_):
        raise MemoryError

    assert gpu.tried(none, "cpu") == (None, None)
    with pytest.raises(ZeroDivisionError):
        gpu.tried(lambda: 1 / 0, "cpu")


def test_units_of_table_3_are_predicted_measured_and_put_together(gpu, given, tmp_path, monkeypatch):
    evaluations, train = ("fold-1", "hold-out", "fold-2"), gpu.backbone_comparison.train_unit

    def no_time_after(setup, name, evaluation):
        if evaluation == "hold-out":
            monkeypatch.setattr(gpu, "SLACK", 1e9)
        return train(setup, name, evaluation)

    monkeypatch.setattr(gpu, "units", lambda profile: [("vgg16_miniature", under) for under in evaluations])
    monkeypatch.setattr(gpu.backbone_comparison, "train_unit", no_time_after)
    monkeypatch.setattr(gpu.calibration, "SECONDS", 0.1)
    *found, left = gpu.table_3(given, time.time() + 3600, tmp_path)
    assert [one["unit"] for one in found] == ["vgg16_miniature-fold-1", "vgg16_miniature-hold-out"]
    for one in found:
        assert one["trainings"] == 5 and 0 < one["iterations_seconds"] < one["seconds"]
        assert 0 < one["predicted"] < one["predicted_whole"]
    assert left["left_out"] == "vgg16_miniature-fold-2"
    all_of_it = gpu.together([*found, left], 470)
    assert (all_of_it["units"], all_of_it["units_asked"], all_of_it["left_out"]) == (2, 3, [left["left_out"]])
    fold, hold_out = (one["seconds"] + 469 * one["iterations_seconds"] for one in found)
    assert all_of_it["measured_whole"] == pytest.approx(2 * fold + hold_out), "a fold left out is as the others"
    assert gpu.together([found[1], left], 470)["measured_whole"] is None, "no fold was measured"
    assert gpu.together([], 470)["measured_whole"] is None


def test_the_table_says_what_it_was_measured_on(tmp_path, monkeypatch):
    readme = benchmark("readme")
    part = {"kit": 20.0, "plain": 10.0, "share_of_matmul": 0.5, "kit_memory_gb": 1.0, "plain_memory_gb": None}
    lost = dict.fromkeys(part)
    about = {"precision": "bf16", "matmul": 1e12, "the_kit_chooses": "NHWC"}
    content = {
        "date": "2026-01-02", "torch": "x", "minutes": 1.0, "device": {"kind": "cpu", "name": "a processor"},
        "settings": {"threads": 2, "size": 64, "batch": 4, "predicted": 8, "iterations": 2, "whole": 470,
                     "fraction": 0.1, "precision": "bf16"},
        "rows": [about | {"network": "vgg16", "layout": "NHWC", "training": part, "prediction": lost}],
        "table_3": {"units": 1, "units_asked": 6, "trainings": 5, "networks": ["vgg16"], "predicted": 10, "seconds": 12,
                    "predicted_whole": 600, "measured_whole": None, "left_out": ["vgg16-fold-2"]},
        "left_out": [], "busy": True,
        "cohort": {"images": 10, "bytes": 10**9, "resident": True, "drawn, s": 1.0},
    }  # fmt: skip
    monkeypatch.setattr(readme, "MEASURED", tmp_path)
    (tmp_path / "gpu.json").write_text(json.dumps(content), encoding="utf-8")
    text = readme.gpu()
    assert text.startswith("**Not a GPU:** 2 threads of a processor (a processor), by its own seconds; 64 pixels")
    assert "| vgg16 | bf16 | NHWC (the kit's) | 20 | 10 | 2 | 50 | 1 |  |  |  |  |" in text
    assert (
        "Other programs were at work" in text
        and "1 of 6 units" in text
        and "Left out, for the time given: vgg16-fold-2." in text
        and "drawn, s 1.0" in text
    )
    content["device"] = {"kind": "cuda", "name": "a card"}
    (tmp_path / "gpu.json").write_text(json.dumps(content), encoding="utf-8")
    assert readme.gpu().startswith("a card; 64 pixels")
