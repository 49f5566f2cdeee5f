"""Memory that runs out, planted at each place: the work goes on with what is left, says so, and gives the same."""

import dataclasses

import numpy as np
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Preprocessing
from alnet_lib.training import device, feature_cache, fitting, inference, memory
from alnet_lib.training.feature_cache import FrozenMaps, Place
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=3, batch_size=8, lr_min=1e-4, lr_max=1e-3, fine_tuned_blocks=2, label="test")
CPU = torch.device("cpu")
PLANTED = torch.OutOfMemoryError("planted")


@pytest.fixture(scope="module")
def plan(images):
    return augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))


def network(name="squeezenet1_1"):
    return build(name, ("dark", "red"), 32, seed=3, dropout=0.2)


def maps_of(images, plan, folder, budget=1e9):
    return FrozenMaps(network(), images, plan, OPTIONS, budget=budget, folder=folder)


def planted(monkeypatch, owner, name, fails, error=PLANTED):
    """Let a function run out of memory wherever `fails`, given its arguments and the number of the call, is true."""
    original, calls = getattr(owner, name), []

    def limited(*given, **named):
        calls.append(given)
        if fails(given, len(calls)):
            raise error
        return original(*given, **named)

    monkeypatch.setattr(owner, name, limited)
    return calls


def losses(fitted):
    return fitted.history["loss"].tolist()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory of the past"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_failures(error, told):
    assert memory.ran_out(error) is told


def test_parts_are_halved_and_every_thing_is_done_once(monkeypatch):
    notes, moved = [], ["the maps left it"]

    def work(index):
        if len(index) > 3:
            raise torch.OutOfMemoryError("planted")
        return index

    found = list(
        memory.in_parts(
            work, 20, 16, what="maps", device=CPU, notes=notes, relieve=lambda: moved.pop() if moved else ""
        )
    )
    assert np.concatenate([done for _, done in found]).tolist() == list(range(20))
    told = ["the maps left it", *(f"from then on {n} at a time" for n in (8, 4, 2))]
    assert notes == [f"maps: out of memory, {one}" for one in told]


def test_one_image_that_does_not_fit_is_named_and_other_errors_pass():
    def fails(_):
        raise torch.OutOfMemoryError("planted")

    with pytest.raises(memory.TooLittleMemory, match=r"prediction: a single image does not fit.*GB free.*image_size"):
        list(memory.in_parts(fails, 4, 4, what="prediction", device=CPU))
    with pytest.raises(ValueError, match="another"):
        list(memory.in_parts(lambda _: int("another"), 4, 4, what="prediction", device=CPU))


def test_a_prediction_goes_on_in_smaller_parts(images, monkeypatch):
    net, notes = network(), []
    expected = inference.predict(net, images, OPTIONS)
    planted(monkeypatch, Preprocessing, "__call__", lambda given, _: len(given[1]) > 10)
    found = inference.predict(net, images, OPTIONS, batch=40, notes=notes)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert notes == [f"prediction: out of memory, from then on {n} at a time" for n in (20, 10)]


def test_features_go_on_in_smaller_parts(images, monkeypatch):
    net, notes, rows = network(), [], np.arange(30)[::-1]
    expected = inference.features(net, images.pixels, rows, OPTIONS)
    planted(monkeypatch, Preprocessing, "__call__", lambda given, _: len(given[1]) > 10)
    found = inference.features(net, images.pixels, rows, OPTIONS, batch=30, notes=notes)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert notes == [f"features: out of memory, from then on {n} at a time" for n in (15, 7)]
    planted(monkeypatch, Preprocessing, "__call__", lambda *_: True)
    with pytest.raises(memory.TooLittleMemory, match="features: a single image"):
        inference.features(net, images.pixels, rows, OPTIONS)


def test_a_network_that_does_not_fit_is_named(images, monkeypatch):
    net = network()
    planted(monkeypatch, torch.nn.Module, "to", lambda *_: True)
    for work in (inference.predict, lambda net, images, given: inference.features(net, images.pixels, [1], given)):
        with pytest.raises(memory.TooLittleMemory, match="the network squeezenet1_1 does not fit"):
            work(net, images, OPTIONS)


def test_a_step_spills_maps_and_images_before_it_cuts_the_batch(images, plan, tmp_path, monkeypatch):
    undisturbed = fitting.fit(network(), images, plan, images, OPTIONS, maps=maps_of(images, plan, tmp_path / "a"))
    resident, maps = images.on(CPU), maps_of(images, plan, tmp_path / "b")
    planted(monkeypatch, fitting.functional, "cross_entropy", lambda _, call: call in (2, 3))
    found = fitting.fit(network(), resident, plan, images, OPTIONS, maps=maps)
    assert maps.place is Place.file and resident.resident.pixels is None and found.micro_batch == 8
    assert losses(found) == losses(undisturbed), "what only lies elsewhere changes no number"
    assert found.notes == [
        "iteration 2: out of memory, the maps of frozen blocks left it and lie in a file",
        "iteration 2: out of memory, the images left it",
    ]


def test_then_the_batch_is_cut_then_adams_moments_leave_then_it_is_said(images, plan, monkeypatch):
    planted(monkeypatch, fitting.functional, "cross_entropy", lambda *_: True)
    with pytest.raises(memory.TooLittleMemory, match="test: one image does not fit into the memory of cpu"):
        fitting.fit(network(), images, plan, images, OPTIONS)
    calls = planted(monkeypatch, fitting.Steps, "_give_way", lambda *_: False)
    with pytest.raises(memory.TooLittleMemory):
        fitting.fit(network(), images, plan, images, OPTIONS)
    notes = calls[0][0].notes
    assert [note.split("memory, ")[1] for note in notes] == [
        *(f"micro-batch halved to {n}" for n in (4, 2, 1)), "Adam's moments lie in the memory of the host from then on",
    ]  # fmt: skip


@pytest.mark.parametrize("call", [1, 2])
def test_moments_that_do_not_fit_lie_on_the_host_and_give_the_same_numbers(images, plan, monkeypatch, call):
    undisturbed, same = network(), network()
    expected = fitting.fit(undisturbed, images, plan, images, OPTIONS)
    planted(monkeypatch, torch.optim.Adam, "step", lambda _, number: number == call)
    found = fitting.fit(same, images, plan, images, OPTIONS)
    assert losses(found) == losses(expected) and found.micro_batch == 8
    assert found.notes == [
        f"iteration {call}: out of memory, Adam's moments lie in the memory of the host from then on"
    ]
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), same.parameters(), strict=True))


def test_large_moments_leave_before_the_batch_is_cut(images, plan, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda _: 1e6)
    planted(monkeypatch, fitting.functional, "cross_entropy", lambda _, call: call == 1)
    found = fitting.fit(network(), images, plan, images, OPTIONS)
    assert found.micro_batch == 8 and "Adam's moments" in found.notes[0]


def test_moments_that_memory_ran_out_between_begin_anew():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], fused=True)
    optimizer.state[weight] = {"step": torch.zeros(()), "exp_avg": torch.zeros(3)}
    weight.grad = torch.ones(3)
    memory.HostUpdates(optimizer).step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 1e-3))


def test_a_training_with_moments_on_the_host_is_resumed(images, plan, tmp_path, monkeypatch):
    options = dataclasses.replace(OPTIONS, checkpoint_seconds=0)
    expected = fitting.fit(network(), images, plan, images, options)

    def kill(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        planted(patch, torch.optim.Adam, "step", lambda _, number: number == 1)
        fitting.fit(network(), images, plan, images, options, checkpoint=tmp_path / "c", progress=kill)
    for fails in (False, True):
        with monkeypatch.context() as patch:
            if fails:  # Where moments did not fit, they do not fit when they come from the checkpoint.
                planted(patch, torch.optim.Adam, "load_state_dict", lambda _, number: number == 1)
            (tmp_path / "again").write_bytes((tmp_path / "c").read_bytes())
            found = fitting.fit(network(), images, plan, images, options, checkpoint=tmp_path / "again")
        assert found.resumed_at == 2 and losses(found) == losses(expected)
        assert len(found.notes) == fails


def test_maps_are_made_in_smaller_parts_after_earlier_ones_have_left(images, plan, tmp_path, monkeypatch):
    plain, maps = maps_of(images, plan, tmp_path / "a"), maps_of(images, plan, tmp_path / "b")
    entries = plain.drawn
    plain.after(2, entries)
    maps.after(2, entries)
    planted(monkeypatch, FrozenMaps, "_through", lambda given, _: len(given[1]) > 10)
    torch.testing.assert_close(maps.after(3, entries), plain_after(plain, monkeypatch, entries), rtol=1e-5, atol=1e-6)
    assert "the maps of frozen blocks left it and lie in a file" in maps.notes[0]
    assert "from then on" in maps.notes[1] and maps.place is Place.device


def plain_after(maps, monkeypatch, entries):
    monkeypatch.undo()
    return maps.after(3, entries)


def test_maps_without_room_anywhere_are_computed_each_time(images, plan, tmp_path, monkeypatch):
    expected = maps_of(images, plan, tmp_path / "a")
    plain = fitting.fit(network(), images, plan, images, OPTIONS, maps=expected)
    full = type("usage", (), {"free": 0})
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: full)
    maps = maps_of(images, plan, tmp_path / "b", budget=0)
    found = fitting.fit(network(), images, plan, images, OPTIONS, maps=maps)
    assert maps.place is Place.nowhere and "computed each time" in maps.notes[0]
    np.testing.assert_allclose(losses(found), losses(plain), rtol=1e-4)
    torch.testing.assert_close(maps.after(4, maps.drawn[:5]), expected.after(4, maps.drawn[:5]), rtol=1e-4, atol=1e-5)


def test_a_disk_that_fills_while_maps_are_made_is_no_end(images, plan, tmp_path, monkeypatch):
    planted(monkeypatch, feature_cache.os, "posix_fallocate", lambda *_: True, OSError(28, "No space left on device"))
    maps = maps_of(images, plan, tmp_path, budget=0)
    maps.after(3, maps.drawn[:5])
    assert maps.place is Place.nowhere and not list(tmp_path.iterdir())


def test_memory_that_is_free_says_where_maps_lie_old_and_new_ones_counted(images, plan, tmp_path, monkeypatch):
    maps, room = maps_of(images, plan, tmp_path), []
    monkeypatch.setattr(memory, "free", lambda _: room[0] - (maps.maps.nbytes if maps.place is Place.device else 0))
    room.append(1e9)
    sizes = []
    for kept in (3, 4):
        maps.after(kept, maps.drawn[:2])
        assert maps.place is Place.device and not maps.notes
        sizes.append(maps.maps.nbytes)
    maps.close()
    # Half of what is free must be enough: for either it is, for one beside the other it is not.
    room[0] = 2.05 * max(sizes)
    maps.after(3, maps.drawn[:2])
    maps.after(4, maps.drawn[:2])
    assert maps.place is Place.device and "no room for those before and after" in maps.notes[0]
    maps.close()
    room[0] = 0
    maps.after(3, maps.drawn[:2])
    assert maps.place is Place.file


@pytest.mark.parametrize(
    ("seconds", "place"),
    [((1, 2, 3), Place.host), ((2, 1, 3), Place.file), ((3, 2, 1), Place.nowhere), ((None, 2, 3), Place.file)],
)
def test_on_cuda_maps_come_from_where_they_come_fastest(images, plan, tmp_path, monkeypatch, seconds, place):
    maps = maps_of(images, plan, tmp_path, budget=0)
    some = torch.zeros(4, 2, 3, 3)
    maps.device = type("cuda", (), {"type": "cuda"})
    if seconds[0] is None:
        monkeypatch.setattr(memory, "free", lambda _: 0)
    asked = []
    monkeypatch.setattr(
        maps,
        "_seconds",
        lambda places, *_: asked.append(places) or dict(zip(Place.__members__.values(), (0, *seconds), strict=True)),
    )
    assert maps._elsewhere((4, 2, 3, 3), torch.float32, some, 1)[1] is place
    assert asked == [[Place.host, Place.file] if seconds[0] else [Place.file]]


def test_every_place_is_really_timed(images, plan, tmp_path):
    maps = maps_of(images, plan, tmp_path)
    some = maps.after(1, maps.drawn[:4])
    found = maps._seconds([Place.host, Place.file], some, 1)
    assert set(found) == {Place.host, Place.file, Place.nowhere} and min(found.values()) > 0


def test_images_are_put_on_a_device_that_has_room_and_leave_it(images, monkeypatch):
    index = np.arange(5)
    there = images.on(CPU)
    assert torch.equal(there.batch(index, "cpu"), images.batch(index, "cpu"))
    assert there.leave() and not there.leave()
    assert torch.equal(there.batch(index, "cpu"), images.batch(index, "cpu"))
    planted(monkeypatch, augmentation, "to_tensor", lambda *_: True)
    assert images.on(CPU) is images
    monkeypatch.setattr(memory, "free", lambda _: images.pixels.nbytes)
    assert images.on(CPU) is images and not images.leave()


def test_the_layout_is_measured_without_a_trace_and_only_on_cuda(monkeypatch):
    net = network("resnet_miniature")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.blocks[0].requires_grad_(False)
    assert device.layout(net, CPU, "float32") == "NHWC"
    assert device.faster_layout(net, CPU, "float32") in device.LAYOUTS
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters()) and net.training
    assert not any(parameter.requires_grad for parameter in net.blocks[0].parameters())
    assert all(parameter.requires_grad for parameter in net.blocks[1].parameters())
    monkeypatch.setattr(device, "seconds_of", lambda work, _: work() or next(seconds))
    for times, expected in (((1, 2), "NHWC"), ((2, 1), "NCHW")):
        seconds = iter(times)
        assert device.faster_layout(net, CPU, "float32") == expected
    monkeypatch.setattr(device, "MEASURED_IMAGES", 2)
    planted(monkeypatch, device, "_there_and_back", lambda *_: True)
    assert device.faster_layout(net, CPU, "float32") == "", "too little memory to measure"


def test_the_layout_is_measured_once_on_a_device_and_kept(monkeypatch, tmp_path):
    net, asked, answers = network("resnet_miniature"), [], ["", "NCHW", "NHWC", "NHWC", "NHWC", "NHWC"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device, "_known", {})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(device, "faster_layout", lambda *_: asked.append(1) or answers[len(asked) - 1])
    for expected, times in (("NHWC", 1), ("NCHW", 2), ("NCHW", 2)):
        device._known.clear()  # As a new process begins.
        assert device._measured_once(net, CPU, "bf16") == expected and len(asked) == times
    assert device._measured_once(net, CPU, "float32") == "NHWC", "another precision is another measurement"
    device._known.clear()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "another card")
    assert device._measured_once(net, CPU, "bf16") == "NHWC" and len(asked) == 4
    device._known.clear()
    device.layouts().write_text("{", encoding="utf-8")
    assert device._measured_once(net, CPU, "bf16") == "NHWC" and len(asked) == 5
    monkeypatch.setenv("XDG_CACHE_HOME", str(device.layouts() / "no folder"))
    device._known.clear()
    assert device._measured_once(net, CPU, "bf16") == "NHWC"


def test_a_layout_can_be_fixed_for_a_while(images, plan):
    net = network("vgg16_miniature")
    with device.fixed_layout("NCHW"):
        fitted = fitting.fit(
            net, images, plan, images.take(np.empty(0, int)), dataclasses.replace(OPTIONS, iterations=1)
        )
        weight = net.blocks[1][0].weight
        assert fitted.layout == "NCHW" and weight.is_contiguous()
    assert device.layout(net, CPU, "float32") == "NHWC"


def test_a_loss_that_is_read_late_is_named_by_its_own_iteration():
    pending = [(1, torch.tensor(0.5), 0.1), (2, torch.tensor(float("nan")), 0.1), (3, torch.tensor(0.5), 0.1)]
    with pytest.raises(fitting.TrainingDiverged, match="the loss is nan at iteration 2 of 3"):
        fitting._read(pending, OPTIONS)
