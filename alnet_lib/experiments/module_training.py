"""One module of ALNet trained, saved and loaded again (paper section 3.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis import outside
from alnet_lib.diagnosis.eligibility import known_smear
from alnet_lib.diagnosis.prediction import predict_cells
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments.datasets import fit_and_validation, planned, validation_rows
from alnet_lib.experiments.preparation import Setup, begin, engine_hash, options, training_key
from alnet_lib.imaging import augmentation
from alnet_lib.networks import storage
from alnet_lib.networks.starts.start import fingerprint
from alnet_lib.training import fitting, inference, memory

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile, Training
    from alnet_lib.diagnosis.outside import HeldOut
    from alnet_lib.diagnosis.tasks import ModuleSpec
    from alnet_lib.networks.network import Network
    from alnet_lib.training.data import Images
    from alnet_lib.training.options import Options


@dataclass
class Trained:
    """A trained network with what its training left.

    Attributes
    ----------
    name : str
        Of the training; names its files.
    network : Network
        On the device it was trained on.
    options : Options
        How it was trained, and is to predict.
    history : DataFrame
        One row an iteration: iteration, loss, learning_rate.
    counts : DataFrame
        Per class, the images in `train`, in `train, balanced` (augmented) and in `validation`.
    train_accuracy, validation_accuracy : float
        In [0, 1], on images without augmentation.
    seconds : float
        Duration of the training.
    notes : list of str
        What a reader should know, e.g. a batch that was halved for lack of memory.
    """

    name: str
    network: Network
    options: Options
    history: pd.DataFrame
    counts: pd.DataFrame
    train_accuracy: float
    validation_accuracy: float
    seconds: float
    notes: list[str]


def train(
    setup: Setup, spec: ModuleSpec, settings: Training, *, name: str = "", fine_tuned_blocks: int = 5
) -> Trained | Unavailable:
    """Train a network for a task on the cohort's training split, or load it if this very training was finished before.

    Saved as `<folder>/models/<name>.safetensors` with its description; a killed training continues from its checkpoint.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder, device.
    spec : ModuleSpec
        The task.
    settings : Training
        The profile's settings for this network.
    name : str
        Names the training and its files; the task's name where empty.
    fine_tuned_blocks : int
        1 to 5; 5 trains the whole network, as the paper's modules are.

    Returns
    -------
    Trained or Unavailable
        Unavailable where the training split has fewer than two classes of the task.

    Raises
    ------
    alnet_lib.training.fitting.TrainingDiverged
        The loss became NaN or infinite.
    alnet_lib.networks.starts.imagenet.WeightsError
        The profile asks for weights that cannot be had.
    """
    name = name or spec.name
    data, profile = setup.data, setup.profile
    opts = options(setup, settings, name=name, fine_tuned_blocks=fine_tuned_blocks)
    if isinstance(plannable := planned(data.manifest, spec, profile), Unavailable):
        return plannable
    fit_on, validation = fit_and_validation(data, spec, profile)
    plan = augmentation.balancing_plan(
        fit_on.labels,
        settings.upsample_target,
        profile.generator(f"plan/{spec.name}/{settings.upsample_target}"),
        augmentations_per_image=profile.augmentations_per_image,
        rotation=profile.rotation,
    )
    inputs = repr(_inputs(profile, settings.backbone))
    key = training_key(settings.backbone, fit_on, plan, opts, data.content_hash, inputs, engine_hash())
    path = setup.folder / "models" / f"{name}.safetensors"
    counts = _counts(fit_on, plan, validation)
    if (loaded := _load_trained(path, key, name, opts, counts)) is not None:
        return loaded
    network = begin(profile, settings.backbone, fit_on, name=name)
    checkpoint = path.with_name(f"{name}-{key}.checkpoint")
    line = setup.progress(f"{name}, iterations")
    done = fitting.fit(network, fit_on, plan, validation, opts, checkpoint=checkpoint, progress=line)
    probability = inference.predict(network, fit_on, opts, batch=profile.prediction_batch, notes=done.notes)
    train_accuracy = float((probability.argmax(1) == fit_on.labels).mean())
    description = {
        "key": key,
        "crop": profile.crop,
        "train_accuracy": train_accuracy,
        "validation_accuracy": done.validation_accuracy,
        "seconds": done.seconds,
        "notes": done.notes,
        "layout": done.layout,
        "threshold": profile.threshold,
    }
    if data.kind:
        description["trained_on"] = {"cohort": data.cohort, "kind": data.kind, "profile": profile.name}
    storage.save_network(network, path, description, history=done.history)
    index.remove(checkpoint)
    return Trained(
        name, network, opts, done.history, counts, train_accuracy, done.validation_accuracy, done.seconds,
        done.notes,
    )  # fmt: skip


def predicted(setup: Setup, *modules: Trained | Unavailable) -> pd.DataFrame | Unavailable:
    """Class probabilities of every cell of the cohort.

    Parameters
    ----------
    setup : Setup
        Images, profile, progress.
    *modules : Trained or Unavailable
        Module 1, and module 2, whose probabilities are missing where it is unavailable.

    Returns
    -------
    DataFrame or Unavailable
        Of `diagnosis.prediction.predict_cells`; unavailable without module 1, which decides first on every cell.
    """
    if isinstance(modules[0], Unavailable):
        return Unavailable(f"module 1 cannot be trained: {modules[0].reason}")
    there = {module.name: (module.network, module.options) for module in modules if isinstance(module, Trained)}
    profile, data = setup.profile, setup.data
    return predict_cells(
        data.manifest, data.pixels, there,
        validation=validation_rows(data, MODULE_1, profile), batch=profile.prediction_batch, progress=setup.progress,
    )  # fmt: skip


@if_available
def counted(cells: pd.DataFrame) -> str:
    """Say how many cells were predicted.

    Parameters
    ----------
    cells : DataFrame
        Of `predicted`.
    """
    tested = int(cells["split"].eq("test").sum())
    return f"{len(cells):,} cells classified, {tested:,} of them of the testing split."


def hold_out(setup: Setup, module: Trained | Unavailable, cells: pd.DataFrame | Unavailable) -> HeldOut | Unavailable:
    """Keep testing smears in the embedding of module 1 beside it, so that a diagnosis can say what lies outside.

    Parameters
    ----------
    setup : Setup
        Images, profile, folder.
    module : Trained or Unavailable
        Module 1.
    cells : DataFrame or Unavailable
        Of `predicted`.

    Returns
    -------
    HeldOut or Unavailable
        As written; where it is unavailable, no file is left.
    """
    folder = setup.folder / "models"
    index.remove(folder / outside.FILE)
    if isinstance(module, Unavailable) or isinstance(cells, Unavailable):
        return Unavailable("module 1 cannot be trained")
    tested = cells[cells["split"].eq("test") & known_smear(cells)]
    rng = setup.profile.generator("held-out cells")
    tested = tested.iloc[np.sort(rng.permutation(len(tested))[: outside.MOST_CELLS])]
    rows, batch = setup.data.rows_of(tested["image_id"]), setup.profile.prediction_batch
    features = inference.features(module.network, setup.data.pixels, rows, module.options, batch=batch)
    found = outside.held_out(features, tested, rng)
    if isinstance(found, outside.HeldOut):
        description = json.loads((folder / f"{module.name}.json").read_text(encoding="utf-8"))
        found = replace(found, weights=description[storage.DIGEST])
        found.save(folder)
    return found


@if_available
def held(found: HeldOut) -> str:
    """Say what `hold_out` kept."""
    return (
        f"{len(found.smears):,} testing smears of {found.patients} patients are kept with module 1: `alnet diagnose` "
        f"measures a smear's distance from them. At most {found.false_alarms:.0%} of smears like them lie beyond its "
        "limit."
    )


def lacking(*modules: Trained | Unavailable) -> list[tuple[str, dict[str, str]]]:
    """Say which modules there are not, and why: templates with their facts, for `figures.display.findings`.

    Parameters
    ----------
    *modules : Trained or Unavailable
        Module 1 and module 2.
    """
    return [
        (f"Module {number} is unavailable: {{reason}}.", {"reason": module.reason})
        for number, module in enumerate(modules, start=1)
        if isinstance(module, Unavailable)
    ]


def noted(*trainings: Trained | Unavailable) -> str:
    """Say for a caption what gave way in trainings, e.g. when memory ran out; empty where nothing did.

    Parameters
    ----------
    *trainings : Trained or Unavailable
        Those that are unavailable are left out.
    """
    return memory.told([f"{one.name}: {note}" for one in trainings if isinstance(one, Trained) for note in one.notes])


def fitted(
    setup: Setup,
    spec: ModuleSpec,
    images: Images,
    settings: Training,
    *,
    name: str,
    jitter: float | None = None,
    seed: int = 0,
    label: str = "",
) -> tuple[Network, Options]:
    """Train a network on given images, without validation images and without leaving a file.

    Parameters
    ----------
    setup : Setup
        Profile, device, progress.
    spec : ModuleSpec
        The task.
    images : Images
        All of them are fitted on; of two classes or more.
    settings : Training
        The profile's settings for this network.
    name : str
        Of the experiment, e.g. `study`; the draws depend on it and on the task.
    jitter : float, optional
        Spread of stain strength, in [0, 1); the profile's `colour_jitter` where not given.
    seed : int
        0, 1, ...: the same training from other draws; 0 adds nothing to the names of the generators.
    label : str
        In the progress line; `name` where empty.

    Returns
    -------
    tuple of Network and Options
        The network, on the device of the options, with which it is to predict.

    Raises
    ------
    alnet_lib.training.fitting.TrainingDiverged
        The loss became NaN or infinite.
    ValueError
        There is no image.
    """
    network = begin(setup.profile, settings.backbone, images, name=_draws(spec, name, seed))
    plan, opts = _prepared(setup, spec, images, settings, name, jitter, seed)
    line = setup.progress(f"{label or name}, {spec.title.lower()}, iterations")
    fitting.fit(network, images, plan, images.take(np.zeros(len(images), bool)), opts, progress=line)
    return network, opts


def fitted_key(
    setup: Setup,
    spec: ModuleSpec,
    images: Images,
    settings: Training,
    *,
    name: str,
    jitter: float | None = None,
    seed: int = 0,
) -> str:
    """Name the training that `fitted` would do with these arguments: changes with anything that changes its result."""
    plan, opts = _prepared(setup, spec, images, settings, name, jitter, seed)
    return training_key(
        settings.backbone,
        images,
        plan,
        opts,
        setup.data.content_hash,
        repr(_inputs(setup.profile, settings.backbone)),
        engine_hash(),
    )


def _draws(spec: ModuleSpec, name: str, seed: int, what: str = "") -> str:
    """Name what a training draws: `study/module_1`, `study/plan/module_1`, `study/module_1/seed 1` ..."""
    return "/".join([name, *([what] if what else []), spec.name, *([f"seed {seed}"] if seed else [])])


def _prepared(
    setup: Setup, spec: ModuleSpec, images: Images, settings: Training, name: str, jitter: float | None, seed: int
) -> tuple[augmentation.Plan, Options]:
    profile = setup.profile
    plan = augmentation.balancing_plan(
        images.labels, settings.upsample_target, profile.generator(_draws(spec, name, seed, "plan")),
        augmentations_per_image=profile.augmentations_per_image, rotation=profile.rotation,
    )  # fmt: skip
    opts = options(setup, settings, name=_draws(spec, name, seed))
    return plan, opts if jitter is None else replace(opts, colour_jitter=jitter)


def _inputs(profile: Profile, backbone: str) -> tuple[object, ...]:
    start = fingerprint(profile.start_of(backbone), backbone)
    return profile.image_size, profile.crop, start, profile.dropout


def _counts(fit_on: Images, plan: augmentation.Plan, validation: Images) -> pd.DataFrame:
    size = len(fit_on.classes)
    return pd.DataFrame(
        {
            "train": np.bincount(fit_on.labels, minlength=size),
            "train, balanced": np.bincount(fit_on.labels[plan.source], minlength=size),
            "validation": np.bincount(validation.labels, minlength=size),
        },
        index=pd.Index([LABELS[name] for name in fit_on.classes], name="class"),
    )


def _load_trained(path: Path, key: str, name: str, opts: Options, counts: pd.DataFrame) -> Trained | None:
    if not path.is_file() or kept(path.with_suffix(".json"), _key) != key:
        return None
    # `load_network` compares the weights with the digest in their description.
    loaded = kept(path, storage.load_network, full=False)
    history = kept(path.with_suffix(".history.csv"), pd.read_csv)
    if loaded is None or history is None:
        return None
    network, saved = loaded
    return Trained(
        name, network, opts, history, counts,
        saved["train_accuracy"], saved["validation_accuracy"], saved["seconds"], saved["notes"],
    )  # fmt: skip


def _key(description: Path) -> str:
    return json.loads(description.read_text(encoding="utf-8")).get("key", "")
