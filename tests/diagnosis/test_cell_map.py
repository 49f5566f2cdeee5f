"""The map of cells: the embedding of the same forward pass, on its first two principal components."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from alnet_lib.diagnosis import cell_map
from alnet_lib.diagnosis.prediction import predict_cells
from alnet_lib.networks.building import build
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=1, batch_size=1, lr_min=1.0, lr_max=1.0)


def test_coordinates_keep_the_directions_of_most_variance_and_are_the_same_again():
    rng = np.random.default_rng(1)
    embedding = (rng.normal(size=(60, 8)) * [9, 4, 1, 1, 1, 1, 1, 1] + 5).astype(np.float32)
    found = cell_map.coordinates(embedding)
    assert found.shape == (60, 2) and np.allclose(found.mean(0), 0, atol=1e-4)
    assert np.allclose(found.var(0, ddof=1), PCA(2).fit(embedding).explained_variance_, rtol=1e-3)
    assert (found == cell_map.coordinates(embedding)).all()


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (5, 1)])
def test_too_few_cells_or_features_lie_in_one_point(shape):
    assert (cell_map.coordinates(np.ones(shape)) == np.zeros((shape[0], 2))).all()


def test_predicted_cells_lie_where_the_last_layers_input_puts_them():
    torch.manual_seed(0)
    network = build("squeezenet1_1", ("lymphocyte", "blast"), 32)
    pixels = np.random.default_rng(2).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    manifest = pd.DataFrame({"image_id": list("abcdef"), "cell_type": "", "split": "test"})
    cells = predict_cells(manifest, pixels, {"module_1": (network, OPTIONS)}, batch=4)
    with cell_map.embeddings(network) as kept:
        predict_cells(manifest, pixels, {"module_1": (network, OPTIONS)}, batch=6)
    assert len(kept) == 1 and kept[0].shape == (6, network.hidden[1])
    assert np.allclose(cells[list(cell_map.COLUMNS)], cell_map.coordinates(kept[0]), atol=1e-4)
    assert not network.head.fc3._forward_pre_hooks
