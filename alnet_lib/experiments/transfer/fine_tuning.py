"""A network fine-tuned in each fold on the cells of APL and of AML patients, beside the other cells of blood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, sha256
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.profile import start_name
from alnet_lib.diagnosis.tasks import ModuleSpec
from alnet_lib.experiments import module_training
from alnet_lib.experiments.attention_vote import FLOOR
from alnet_lib.experiments.transfer.patients import DISCOVERY, Fold, teaching
from alnet_lib.networks import architectures
from alnet_lib.networks.starts import start as starts
from alnet_lib.training import inference
from alnet_lib.training.data import Images

if TYPE_CHECKING:
    from alnet_lib.core.profile import Training
    from alnet_lib.experiments.preparation import Setup
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options

CLASSES = ("APL", "AML")
"""The first classes: voting cells of patients with APL, and of patients with AML. Other cell types follow."""

TURNS = 4
"""Quarter turns at prediction."""


@dataclass(frozen=True)
class FineTuned:
    """The network fine-tuned in each fold of the first deal, and once for the external patients.

    Attributes
    ----------
    setup : Setup
        Of `embeddings.seen`.
    cells : DataFrame
        Of `patients.voting`.
    settings : Training
        Of the network.
    """

    setup: Setup
    cells: pd.DataFrame
    settings: Training

    key = "fine_tuned"

    @property
    def titles(self) -> dict[str, str]:
        """Key of each score to its name in tables."""
        return {self.key: "fine-tuned: mean log-odds", "fine_tuned_vote": "fine-tuned: paper's vote"}

    @property
    def note(self) -> str:
        """Which network it is, in a sentence."""
        name, start = architectures.title(self.settings.backbone), start_name(self.start)
        return f"Fine-tuned is {name} from the start {start}, {self.settings.iterations:,} iterations a fold."

    @property
    def start(self) -> str:
        """What its blocks begin with."""
        return self.setup.profile.start_of(self.settings.backbone)

    @property
    def pretrained(self) -> bool:
        """Whether anything is transferred."""
        return self.start != starts.RANDOM

    def __call__(self, fold: Fold) -> dict[str, np.ndarray]:
        """Log-odds of APL against AML, and the votes, of all cells; none for the later deals.

        A fold's log-odds are saved as `<folder>/transfer/<fold>.parquet`, so that a killed run goes on after it.

        Parameters
        ----------
        fold : Fold
            Its `fit` cells, and the other cell types of no patient of `judged`, are fitted on.

        Raises
        ------
        alnet_lib.networks.starts.files.StartError, alnet_lib.networks.starts.imagenet.WeightsError
            The profile asks for a start that cannot be had or does not fit.
        alnet_lib.training.fitting.TrainingDiverged
            The loss became NaN or infinite.
        """
        if fold.repeat not in (DISCOVERY, 1):
            return {}
        log_odds = self._of_fold(fold)
        return {self.key: log_odds, "fine_tuned_vote": (log_odds > 0).astype(float)}

    def _of_fold(self, fold: Fold) -> np.ndarray:
        setup, images, name = self.setup, self.images(fold), f"transfer/{fold.name}"
        spec = ModuleSpec("apl_transfer", "pt", {}, images.classes)
        origin = starts.describe(self.start, self.settings.backbone, setup.profile.weights_dir)
        made = module_training.fitted_key(setup, spec, images, self.settings, name=name)
        rows = self.cells["row"].to_numpy(np.int64)
        key = sha256(made, rows.tobytes(), origin.sha256, code_hash(__name__))[:16]
        path = setup.folder / "transfer" / f"{fold.name}.parquet"
        if (saved := kept(path, pd.read_parquet)) is not None and saved["key"].eq(key).all():
            return saved["log_odds"].to_numpy(float)
        network, options = module_training.fitted(setup, spec, images, self.settings, name=name, label=fold.name)
        log_odds = turned(network, setup.data.pixels[rows], options, batch=setup.profile.prediction_batch)
        found = pd.DataFrame({"image_id": self.cells["image_id"], "log_odds": log_odds, "key": key})
        with atomic_path(path) as partial:
            found.to_parquet(partial, index=False)
        return log_odds

    def images(self, fold: Fold) -> Images:
        """The images that a fold's network is fitted on.

        Parameters
        ----------
        fold : Fold
            Whose patients in `judged` are left out with all their cells.

        Returns
        -------
        Images
            Classes `APL`, `AML` and every other cell type with a label; images of unknown patients are left out, since
            they may be of a patient to be judged. For the external patients nothing external is fitted on.
        """
        manifest, cells = self.setup.data.manifest, self.cells
        name = manifest["cell_type"].replace("", None).astype(object).to_numpy(copy=True)
        name[cells["row"]] = cells["diagnosis"]
        rows = np.flatnonzero(teaching(manifest, cells, fold).to_numpy() & pd.notna(name))
        classes = (*CLASSES, *sorted(set(name[rows]) - set(CLASSES)))
        labels = pd.Series(name[rows]).map({one: i for i, one in enumerate(classes)}).to_numpy(np.int64)
        groups = manifest["patient_id"].astype(str).to_numpy()[rows]
        return Images(self.setup.data.pixels, rows, labels, groups, classes)


def turned(network: Network, pixels: np.ndarray, options: Options, *, batch: int = 256) -> np.ndarray:
    """Log-odds of the first class against the second, log-probabilities averaged over four quarter turns.

    Parameters
    ----------
    network : Network
        Of two classes or more.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB.
    options : Options
        Device and precision.
    batch : int
        Images a forward pass.

    Returns
    -------
    ndarray
        float (n,); probabilities below `attention_vote.FLOOR` count as it.
    """
    rows, total = np.arange(len(pixels)), np.zeros(len(pixels))
    for turns in range(TURNS):
        images = inference.unlabelled(np.rot90(pixels, turns, axes=(1, 2)), rows)
        found = np.log(np.maximum(inference.predict(network, images, options, batch=batch), FLOOR))
        total += found[:, 0] - found[:, 1]
    return total / TURNS
