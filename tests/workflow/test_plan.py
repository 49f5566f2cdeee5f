"""What a run will take: counts of networks, work of a profile, memory, weights, words; and what it took."""

import json
import math

import pandas as pd
import pytest
import torch

from alnet_lib.core.profile import Profile, Transfer
from alnet_lib.networks.starts import weights
from alnet_lib.workflow.plan import announcing, calibration, counting, measured, planning, wording, work
from alnet_lib.workflow.plan.calibration import Device, Rates
from alnet_lib.workflow.plan.memory import Memory
from alnet_lib.workflow.steps import COMPARISON, EXTERNAL

CARD = Device("cuda", "a card", "bf16", 8, 5 * 10**9, 60 * 10**9, 1)
SPEED = Rates(1e14, 1e11, 1e10, 1.0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Calibrations of these tests go nowhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "alnet"


@pytest.fixture
def card(monkeypatch):
    """A 5 GB card, of rates that are given."""
    monkeypatch.setattr(Device, "at_hand", classmethod(lambda cls, profile: CARD))
    monkeypatch.setattr(planning, "rates", lambda device, asked, again=False: SPEED)


def test_counts_are_those_that_papers_print():
    # 15.5 thousand million multiplications of VGG16 at 224 pixels, of which the classifier has 0.12.
    vgg = counting.count("vgg16", 224)
    assert sum(vgg.flops[:5]) == pytest.approx(2 * 15.35e9, rel=0.01)
    assert sum(vgg.parameters[:5]) == 14_714_688
    assert vgg.maps[:5] == tuple(c * s * s for c, s in ((64, 112), (128, 56), (256, 28), (512, 14), (512, 7)))


def test_what_is_kept_for_the_backward_pass_is_what_autograd_keeps():
    network = counting.unfilled("resnet_miniature", 32).to_empty(device="cpu").train()
    sizes = {}
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}

    def pack(tensor):
        if tensor.is_floating_point() and (at := tensor.untyped_storage().data_ptr()) not in own:
            sizes[at] = (tensor.numel(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.rand(2, 3, 32, 32)).sum().backward()
    kept = sum(counting.count("resnet_miniature", 32).kept)
    assert kept == pytest.approx(sum(n for n, _ in sizes.values()) / 2, rel=0.1)


def test_counts_are_kept_and_a_damaged_file_of_them_is_made_again(home):
    counting.count.cache_clear()
    first = counting.count("vgg16_miniature", 32)
    (home / "counts.json").write_text("{", encoding="utf-8")
    counting.count.cache_clear()
    assert counting.count("vgg16_miniature", 32) == first and json.loads((home / "counts.json").read_text())


def test_fewer_blocks_that_train_are_less_arithmetic_and_kept_maps_are_computed_once():
    counts = counting.count("vgg16_miniature", 32)
    given = {"step": "s", "what": "w", "network": "vgg16_miniature", "size": 32, "iterations": 10, "batch": 4}
    every = [work.Work(**given, blocks=n).training_flops(counts) for n in (1, 2, 3, 4, 5)]
    assert every == sorted(every) and every[-1] == pytest.approx(40 * 3 * sum(counts.flops))
    shared = work.Work(**given, blocks=2, mapped=30, of_blocks=1)
    assert shared.training_flops(counts) == pytest.approx(40 * 3 * sum(counts.flops[3:]))
    assert shared.prediction_flops(counts) == pytest.approx(30 * counts.flops[2])


def test_each_start_embeds_the_cells_of_the_groups_and_turns_those_that_vote():
    cells = ["myeloblast", "lymphocyte", "", "monocyte"]
    rows = [
        {
            "patient_id": f"p{number}", "smear_id": f"s{number}", "site": "a", "image_id": f"{number}{cell}",
            "diagnosis": "APL" if number < 2 else "AML", "cell_type": cell, "split": "train",
            "immature": cell in ("myeloblast", ""), "smear_known": True,
        }
        for number in range(4) for cell in cells
    ]  # fmt: skip
    starts = [{"network": "resnet_miniature", "start": start} for start in ("random", "cells")]
    transfer = Transfer(starts=starts, turns=3)
    profile = Profile.load("smoke").model_copy(update={"transfer": transfer, "ablations": None})
    found = [one for one in work.of_run(profile, pd.DataFrame(rows)) if one.what == "embeddings"]
    assert [(one.step, one.predicted) for one in found] == [(COMPARISON, 12)] * 2 + [(EXTERNAL, 3 * 8)] * 2


def test_memory_grows_with_the_batch_and_less_is_needed_one_image_at_a_time():
    counts = counting.count("vgg16_miniature", 32)
    given = {"step": "s", "what": "w", "network": "vgg16_miniature", "size": 32, "iterations": 10}
    small, large = (Memory.of(work.Work(**given, batch=n), counts, CARD) for n in (4, 4096))
    assert small.least == large.least < small.most(CARD.memory) < large.most(CARD.memory)
    assert large.most(small.least + 1) <= max(small.least + 1, large.least)


def test_the_plan_of_the_paper_says_what_will_not_fit(card, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "_free", lambda run_dir: 10**8)
    paper = Profile.load("paper")
    two = paper.comparison.model_copy(update={"backbones": ("vgg16", "senet154")})
    paper = paper.model_copy(update={"cohort_fraction": 0.02, "comparison": two, "transfer": None})
    made = planning.plan("synthetic", paper, run_dir=tmp_path)
    units = [step for step in made.steps if step.step.startswith("comparison/")]
    assert len(units) == 14 and all(step.flops > 0 for step in units)
    assert {step.step for step in made.steps} >= set(planning.chain.STEPS)
    assert any("of disk" in problem for problem in made.problems)
    by = {step.step: step for step in made.steps}
    # 525 million parameters: weights in 32 and 16 bits and gradients alone are 5.2 GB, with Adam's moments on the host.
    assert 5.2e9 < by["comparison/senet154-hold-out"].least_memory < 8e9
    assert by["comparison/senet154-hold-out"].host_memory > 12 * 525e6
    assert any("comparison/senet154 needs" in problem and "a card has 5.0 free" in problem for problem in made.problems)
    assert not any("comparison/vgg16 needs" in problem for problem in made.problems)
    assert max(step.seconds for step in made.steps) < made.seconds <= sum(step.seconds for step in made.steps)
    text = wording.text(made.as_dict())
    assert "comparison/senet154, 7 units" in text and "WILL NOT WORK" in text
    with_two = planning._together(made.steps, paper, Device(**CARD.__dict__ | {"cards": 2}), 16)
    assert with_two < planning._together(made.steps, paper, CARD, 16)


def test_a_weight_file_is_found_or_the_command_to_get_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("ALNET_WEIGHTS", str(tmp_path / "a folder"))
    absent = weights.look("vgg16", "imagenet")
    assert not absent.there and "vgg16-397923af.pth" in absent.said and "timm" not in absent.command
    assert absent.command == "alnet starts check --network vgg16 --fetch"
    assert "create_model" in weights.look("vit_small_patch16_224", "imagenet").command
    assert weights.look("vgg16", "random").there and weights.look("vgg16_miniature", "cells").there
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "vgg16-397923af.pth").write_bytes(b"x")
    assert "damaged" in weights.look("vgg16", "imagenet").said
    assert "no ImageNet weights" in weights.look("vgg16_miniature", "imagenet").said


def test_a_calibration_is_kept_and_one_of_another_precision_is_not_taken(home, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.1)
    monkeypatch.setattr(calibration, "busy", lambda: False)
    device = Device("cpu", "a processor", "float32", 1, 8 * 10**9, 8 * 10**9)
    asked = [("resnet_miniature", 32, 4)]
    first = calibration.rates(device, asked)
    assert first.matmul > 0 and first.of("resnet_miniature", 32, training=True) > 0
    monkeypatch.setattr(calibration, "_machine", lambda device: pytest.fail("measured again"))
    assert calibration.rates(device, asked) == first
    with pytest.raises(pytest.fail.Exception):
        calibration.rates(Device(**device.__dict__ | {"precision": "bf16"}), asked)
    (home / "calibration.json").write_text('{"x": 1}', encoding="utf-8")
    monkeypatch.setattr(calibration, "_machine", lambda device: first)
    assert calibration.rates(device, asked) == first


def test_what_is_measured_on_a_busy_machine_is_not_kept(home, monkeypatch):
    monkeypatch.setattr(calibration, "busy", lambda: True)
    monkeypatch.setattr(calibration, "_machine", lambda device: SPEED)
    device = Device("cpu", "a processor", "float32", 1, 8 * 10**9, 8 * 10**9)
    assert calibration.rates(device, []).disturbed and not calibration.cache().is_file()
    monkeypatch.setattr(calibration, "busy", lambda: False)
    assert not calibration.rates(device, []).disturbed and calibration.cache().is_file()


def test_a_network_too_large_for_the_time_keeps_an_assumed_rate(monkeypatch):
    device = Device("cpu", "a processor", "float32", 1, 8 * 10**9, 8 * 10**9)
    monkeypatch.setattr(calibration, "_machine", lambda device: Rates(1e9, 1e9, 1e9, 1.0))
    found = calibration.rates(device, [("vgg16_miniature", 224, 64)])
    assert found.of("vgg16_miniature", 224, training=True) == calibration.ASSUMED * 1e9


def test_the_plan_is_made_once_and_stands_beside_what_was_taken(card, tmp_path, monkeypatch):
    first = announcing.content(tmp_path, cohort="synthetic", profile="smoke")
    monkeypatch.setattr(planning, "plan", lambda *_, **__: pytest.fail("planned again"))
    assert announcing.content(tmp_path, cohort="synthetic", profile="smoke") == first
    measured.record(tmp_path, "03_alnet_training")
    beside = measured.beside_the_plan(tmp_path)
    taken = {step["step"]: step["taken"] for step in beside["steps"]}
    assert taken["03_alnet_training"]["processor_seconds"] > 0 and taken["04_smear_roc"] is None
    assert taken["03_alnet_training"]["host_memory"] > 10_000_000
    assert str(tmp_path) not in json.dumps(beside) and "took" in wording.table(beside)
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    assert measured.beside_the_plan(tmp_path) is None


def test_a_run_goes_on_where_no_plan_can_be_made(tmp_path, capfd):
    announcing.announce(tmp_path, cohort="jhu_apl", profile="smoke", data=str(tmp_path))
    assert "No plan could be made" in capfd.readouterr().err


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_written_in_the_unit_that_fits(seconds, said):
    assert wording.duration(seconds) == said and math.isfinite(seconds)
