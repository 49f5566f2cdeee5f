"""Embeddings, and starts judged frozen: the numbers are those of numpy and scikit-learn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from faults.damage import WAYS, damage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from alnet_lib.core.integrity import index
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import FrozenStart, Transfer
from alnet_lib.diagnosis.tasks import SIX_CLASSES
from alnet_lib.experiments.datasets import labelled
from alnet_lib.experiments.transfer import embeddings, probing
from alnet_lib.imaging.augmentation import to_float
from alnet_lib.networks.building import build

RANDOM = FrozenStart(network="squeezenet1_1", start="random")


@pytest.fixture
def seen(setup):
    """The tiny cohort with settings of `transfer`: a random start, and one that cannot be had."""
    absent = FrozenStart(network="squeezenet1_1", start="/nowhere/none.safetensors")
    transfer = Transfer(starts=(RANDOM, absent), image_size=32, crop=0.7, neighbours=(1, 500))
    setup = replace(setup, profile=setup.profile.model_copy(update={"transfer": transfer}))
    asked = []

    def images(size, crop):
        asked.append((size, crop))
        return setup.data

    found = embeddings.seen(setup, images)
    assert asked == [(32, 0.7)] and (found.profile.image_size, found.profile.crop) == (32, 0.7)
    return found


def embedded(setup, **asked):
    """The tiny cohort's cells of the six groups by the random start."""
    rows = np.flatnonzero(setup.data.manifest["cell_type"].isin(SIX_CLASSES.mapping))
    return embeddings.embedded(setup, (RANDOM,), rows, part="grouped", **asked)


def test_mean_and_deviation_of_the_central_half_are_those_of_numpy():
    network = build("squeezenet1_1", ("a", "b"), 64)
    pixels = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    found = embeddings.embed(network, pixels, np.array([3, 1]), batch=1)
    with torch.inference_mode():
        x, parts = network.preprocessing(to_float(pixels[[3, 1]])), []
        for block in network.blocks:
            x = block(x)
            maps = x.numpy()
            top, left = maps.shape[2] // 4, maps.shape[3] // 4
            middle = maps[:, :, top : maps.shape[2] - top, left : maps.shape[3] - left]
            parts += [middle.mean((2, 3)), middle.std((2, 3))]
    assert found.dtype == np.float32 and np.allclose(found, np.concatenate(parts[2:], 1), atol=1e-4)
    assert np.allclose(
        embeddings.embed(network, pixels, np.array([3, 1]), last=1), np.concatenate(parts[-2:], 1), atol=1e-4
    )
    assert embeddings.embed(network, pixels, np.array([], int)).shape == (0, 0)


def test_embeddings_are_averaged_over_quarter_turns():
    network = build("squeezenet1_1", ("a", "b"), 64)
    pixels = np.random.default_rng(2).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    rows, told = np.array([2, 0]), []
    parts = [embeddings.embed(network, np.rot90(pixels, k, axes=(1, 2)), rows) for k in range(4)]
    assert not np.allclose(parts[0], parts[1], atol=1e-2), "one position is not the other"
    found = embeddings.embed(network, pixels, rows, batch=1, turns=4, progress=lambda *seen: told.append(seen))
    assert found.dtype == np.float32 and np.allclose(found, np.mean(parts, axis=0), atol=1e-4)
    assert np.allclose(embeddings.embed(network, np.rot90(pixels, 3, axes=(1, 2)), rows, turns=4), found, atol=1e-4)
    assert told == [(done, 8) for done in range(1, 9)]


def test_a_start_is_embedded_once_until_something_changes(seen, monkeypatch):
    first = embedded(seen)
    real, calls = embeddings.embed, []
    monkeypatch.setattr(embeddings, "embed", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = embedded(seen)
    assert not calls and np.array_equal(first.values[RANDOM], again.values[RANDOM])
    embeddings.embedded(seen, (RANDOM,), first.rows[:4], part="voting")
    embedded(seen)
    assert calls == [1], "other cells have a file of their own"
    embedded(replace(seen, data=replace(seen.data, content_hash="another")))
    embedded(replace(seen, profile=seen.profile.model_copy(update={"crop": 0.9})))
    embedded(seen, turns=2)
    assert len(calls) == 4
    rows = first.rows[[5, 2]]
    assert np.array_equal(first.of(RANDOM, rows), first.values[RANDOM][[5, 2]])


@pytest.mark.parametrize("way", WAYS)
def test_damaged_embeddings_are_put_aside_and_made_again(seen, way):
    index.begin(seen.folder)
    first = embedded(seen).values[RANDOM]
    (file,) = (seen.folder / "transfer").glob("*random_grouped.npz")
    index.record(file)
    damage(file, way, keep_time=True)
    assert np.array_equal(embedded(seen).values[RANDOM], first)
    assert file.with_name(f"{file.name}.damaged").is_file()


def test_names_of_starts():
    file = FrozenStart(network="vgg16", start="/home/me/My-start.v2.safetensors")
    assert embeddings.title(file) == "VGG16, My-start.v2" and file.key == "vgg16_my_start_v2"
    hub = FrozenStart(network="vit_small_patch14_dinov2", start="hf-hub:a/b")
    assert hub.key == "vit_small_patch14_dinov2_hf_hub_a_b" and embeddings.pretrained(hub)
    assert not embeddings.pretrained(RANDOM)


def test_neighbours_and_probe_are_those_of_scikit_learn(seen):
    result, data = probing.judged(seen), seen.data
    train = labelled(data, SIX_CLASSES)
    test = labelled(data, SIX_CLASSES, split="test", classes=train.classes)
    found = embedded(seen)
    x, y = found.of(RANDOM, train.rows), found.of(RANDOM, test.rows)
    scaler = StandardScaler().fit(x)
    predicted = {
        "1 nearest": KNeighborsClassifier(1, metric="cosine").fit(x, train.labels).predict(y),
        "linear probe": LogisticRegression(max_iter=1000).fit(scaler.transform(x), train.labels).predict(
            scaler.transform(y)
        ),
    }  # fmt: skip
    table = result.frame.set_index(["classifier", "measure"])["value"]
    for name, own in predicted.items():
        assert np.isclose(table[name, "weighted F1"], 100 * f1_score(test.labels, own, average="weighted"))
        assert np.isclose(table[name, "balanced accuracy"], 100 * balanced_accuracy_score(test.labels, own))
    assert result.facts["missing"].startswith(" Left out: SqueezeNet 1.1, none (")
    keys = {value.key for value in result.values}
    assert {"transfer.starts.squeezenet1_1_random.1_nearest.weighted_f1",
            "transfer.starts.squeezenet1_1_random.linear_probe.balanced_accuracy"} <= keys  # fmt: skip
    assert len(result.frame) == 6, "more neighbours than cells are all cells"


def test_without_a_start_or_testing_cells_it_is_unavailable(seen):
    none = seen.profile.transfer.model_copy(update={"starts": seen.profile.transfer.starts[1:]})
    found = probing.judged(replace(seen, profile=seen.profile.model_copy(update={"transfer": none})))
    assert isinstance(found, Unavailable) and "no start can be had" in found.reason
    manifest = seen.data.manifest
    for changed, words in (
        (manifest[manifest["split"].ne("test")], "no testing image is of"),
        (manifest.assign(cell_type="lymphocyte"), "two classes"),
    ):
        found = probing.judged(replace(seen, data=seen.data.with_manifest(changed)))
        assert isinstance(found, Unavailable) and words in found.reason


def test_weighted_f1_has_an_interval_over_patients():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"patient_id": np.repeat(np.arange(12), 5), "reference": rng.choice(["a", "b"], 60)})
    frame["predicted"] = frame["reference"].where(rng.random(60) < 0.8, "a")
    found = probing.weighted_f1(frame)
    assert np.isclose(found.estimate, f1_score(frame["reference"], frame["predicted"], average="weighted"))
    assert found.low < found.estimate < found.high and found.n_patients == 12 and "jackknife" in found.method
