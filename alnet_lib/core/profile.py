"""The profile: every number a run depends on, validated, in one object (design contract 2)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alnet_lib.core.files import sha256
from alnet_lib.core.resources import PROFILES_DIR

HOLD_OUT = "hold-out"
"""The evaluation on the cohort's own split; the others are `hold-out-by-patient` and `fold-1` ..."""

HOLD_OUT_BY_PATIENT = "hold-out-by-patient"
"""The same split, with a validation part that shares no patient with what a network is fitted on."""

REHEARSAL = "-rehearsal"
"""Ending of a profile's name: the same protocol with the amounts of `_rehearsed`."""


class ProfileError(ValueError):
    """A profile that does not exist or whose settings are not valid; the message lists every problem."""


class Settings(BaseModel):
    """Base of all settings: unknown names are errors, values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(Settings):
    """How one network is trained (paper section 2.3)."""

    backbone: str = Field(description="name in networks.architectures, e.g. vgg16")
    iterations: int = Field(ge=1, description="optimiser steps; the paper's 470")
    batch_size: int = Field(ge=1, description="images a step; the paper's 64")
    lr_min: float = Field(gt=0, description="lower end of the cyclical learning rate")
    lr_max: float = Field(gt=0, description="upper end of the cyclical learning rate")
    cycles: int = Field(1, ge=1, description="triangular cycles over the whole training")
    upsample_target: int = Field(ge=1, description="images per class after balancing: 2,500 and 2,900 in Table 6")
    sampling: Literal["plan", "patient"] = Field(
        "plan", description="beyond the paper: `patient` draws every patient of a class alike"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Training:
        if self.lr_max < self.lr_min:
            raise ValueError("lr_max is below lr_min")
        return self


class Comparison(Settings):
    """The backbone comparison (Table 3)."""

    backbones: tuple[str, ...] = Field(min_length=1)
    fine_tuned_blocks: tuple[int, ...] = Field(description="last blocks fine-tuned: 1, 2, 3, 4; 5 is the whole network")
    folds: int = Field(ge=0, description="0 leaves the cross-validation out")
    iterations: dict[str, int] = Field(description="steps per backbone; `default` for those not named")
    fold_iterations: float = Field(
        1.0, gt=0, le=1, description="share of these steps that a fold's training gets; all in the paper"
    )
    batch_size: int = Field(ge=1)
    lr_min: float = Field(gt=0)
    lr_max: float = Field(gt=0)
    cycles: int = Field(1, ge=1)
    upsample_target: int = Field(ge=1)
    units: bool = Field(False, description="each network and fold is a job of its own, side by side or on a cluster")
    feature_cache_gb: float = Field(
        4.0, ge=0, description="GB for the maps of frozen blocks in the device's memory; more go to a file"
    )
    validation_by_patient: bool = Field(
        True, description="beyond the paper: whole networks once more, validated on other patients, to choose by"
    )
    range_test: int = Field(0, ge=0, description="iterations of the learning-rate range test; 0 leaves it out")
    max_evaluation_images: int = Field(
        0, ge=0, description="images at most, by chance, of validation and of a fold's testing; 0 takes all"
    )

    @model_validator(mode="after")
    def _known(self) -> Comparison:
        if not set(self.fine_tuned_blocks) <= {1, 2, 3, 4, 5}:
            raise ValueError("fine_tuned_blocks are 1 to 5")
        missing = [name for name in self.backbones if name not in self.iterations]
        if missing and "default" not in self.iterations:
            raise ValueError(f"iterations are missing for {missing}")
        return self

    @property
    def evaluations(self) -> tuple[str, ...]:
        """`hold-out`, `hold-out-by-patient` where it is asked for, and `fold-1` ... for the folds."""
        by_patient = (HOLD_OUT_BY_PATIENT,) if self.validation_by_patient else ()
        return (HOLD_OUT, *by_patient, *(f"fold-{number + 1}" for number in range(self.folds)))

    def training(self, backbone: str, evaluation: str = HOLD_OUT) -> Training:
        """Give the settings of one backbone's trainings.

        Parameters
        ----------
        backbone : str
            One of `backbones`.
        evaluation : str
            One of `evaluations`.

        Returns
        -------
        Training
            With the iterations of this backbone and evaluation.
        """
        iterations = self.iterations.get(backbone, self.iterations.get("default", 0))
        share = 1.0 if evaluation in (HOLD_OUT, HOLD_OUT_BY_PATIENT) else self.fold_iterations
        return Training(
            backbone=backbone,
            iterations=max(round(iterations * share), 1),
            batch_size=self.batch_size,
            lr_min=self.lr_min,
            lr_max=self.lr_max,
            cycles=self.cycles,
            upsample_target=self.upsample_target,
        )


class Classical(Settings):
    """The classical classifiers on handcrafted features (Table 12)."""

    selected: tuple[int, ...] = Field((30, 80), min_length=1, description="numbers of features to choose among")
    folds: int = Field(3, ge=2, description="of the cross-validation that chooses, grouped by smear")


class CrossFitting(Settings):
    """Training smears judged by modules that have not seen their patients: for threshold, calibration, learned vote."""

    folds: int = Field(ge=2, description="folds of the training split's patients; each is left out of one training")
    module_1: Training = Field(description="module 1 in each fold; the module's own settings in the paper's profile")
    module_2: Training = Field(description="module 2 in each fold")


def start_name(start: str) -> str:
    """Name a start as tables do: of a file its name without folder and ending, else as the profile has it."""
    return Path(start).stem if start.endswith(".safetensors") else start


class FrozenStart(Settings):
    """A network and its start, judged without any training of its blocks."""

    network: str = Field(description="name in networks.architectures, or a model of timm")
    start: str = Field(description="`random`, `imagenet`, `cells`, a start's file, or `hf-hub:` and a name")

    @property
    def key(self) -> str:
        """Names it in values and in files: `vgg16_cells`."""
        return re.sub(r"[^a-z0-9]+", "_", f"{self.network}_{start_name(self.start)}".lower()).strip("_")


class Transfer(Settings):
    """Starts judged frozen, and APL against AML cross-validated by patient; both on pictures of a size of their own."""

    starts: tuple[FrozenStart, ...] = Field(min_length=1, description="in the order of the tables")
    image_size: int = Field(160, ge=32, description="pixels a side")
    crop: float = Field(0.7, gt=0, le=1, description="central square kept, as a fraction of the shorter side")
    turns: int = Field(4, ge=1, le=4, description="quarter turns of a voting cell to average its embedding over")
    neighbours: tuple[int, ...] = Field((1, 20), min_length=1, description="of the k-nearest-neighbour classifiers")
    components: int = Field(100, ge=2, description="principal components of the embeddings, whitened")
    inverse_regularisation: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1e-4, 1e-3, 1e-2, 0.1, 1.0), min_length=1, description="C of the logistic regressions, to choose from"
    )
    folds: int = Field(5, ge=2, description="of the cross-validation by patient; fewer where patients are few")
    repeats: int = Field(3, ge=1, description="deals of the patients into folds, and trainings")
    fine_tuned: Training | None = Field(None, description="a network fine-tuned in each fold; none leaves it out")

    @model_validator(mode="after")
    def _told_apart(self) -> Transfer:
        keys = Counter(one.key for one in self.starts)
        if twice := [f"{start_name(one.start)} of {one.network}" for one in self.starts if keys[one.key] > 1]:
            raise ValueError(f"starts have the same name in tables: {', '.join(dict.fromkeys(twice))}; rename a file")
        return self


class LearnedVote(Settings):
    """The learned vote: gated attention over a smear's cells (Ilse et al., ICML 2018)."""

    hidden: int = Field(64, ge=1, description="units of the attention's hidden layer")
    dropout: float = Field(0.25, ge=0, lt=1, description="before the last layer")
    epochs: int = Field(40, ge=1, description="passes over the training smears, one smear a step")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")


class Profile(Settings):
    """Every number a run depends on. `paper` is the paper's own protocol."""

    name: str
    seed: int = Field(2021, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bf16"] = Field(
        "float32", description="of the networks; `auto` is bf16 where the device computes in it, else float32"
    )
    threads: int = Field(
        2, ge=1, description="of a computation, whatever the processors: the last digits of sums depend on them"
    )
    cohort_fraction: float = Field(1.0, gt=0, le=1, description="share of the synthetic cohort's images")
    image_size: int = Field(224, ge=32, description="pixels a side that the networks see")
    crop: float = Field(1.0, gt=0, le=1, description="central square kept, as a fraction of the shorter side")
    start: str | dict[str, str] = Field(
        "imagenet",
        description="what the convolutional blocks begin with: `random`, `imagenet`, `cells`, a start's file, or "
        "`hf-hub:` and a name; or such a name for each network, and `default`",
    )
    weights_dir: str = Field("", description="folder with weight files; beside the usual caches")
    dropout: float = Field(0.5, ge=0, lt=1, description="between the fully connected layers")
    augmentations_per_image: int = Field(4, ge=0, description="augmentations of an image at most (section 2.2)")
    rotation: float = Field(60.0, ge=0, description="largest rotation in degrees (section 2.2)")
    random_orientation: bool = Field(False, description="beyond the paper: turned at random, whatever the class")
    colour_jitter: float = Field(0.0, ge=0, lt=1, description="beyond the paper: spread of stain strength")
    scale_jitter: float = Field(0.0, ge=0, lt=1, description="beyond the paper: spread of the magnification")
    focus_jitter: float = Field(0.0, ge=0, le=1, description="beyond the paper: largest share of a blurred image")
    light_jitter: float = Field(0.0, ge=0, lt=1, description="beyond the paper: spread of the light's colour")
    renewing_batches: int = Field(
        0, ge=0, description="beyond the paper: last batches that batch normalisation takes its statistics from anew"
    )
    split: Literal["given", "patient"] = Field("given", description="`patient`: no patient on both sides of the split")
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    module_1: Training
    module_2: Training
    table_5_backbone: str = Field("vgg16", description="the shallower network that Table 5 puts beside module 2's")
    comparison: Comparison
    classical: Classical = Classical()
    ablations: Training | None = Field(None, description="both modules, in the ablations of leakage and transfer")
    ablation_seeds: int = Field(1, ge=1, description="trainings of each variant, each from a seed of its own")
    cross_fitting: CrossFitting | None = Field(None, description="none: what needs it is unavailable")
    transfer: Transfer | None = Field(None, description="none: starts judged frozen are unavailable")
    learned_vote: LearnedVote = LearnedVote()
    checkpoint_minutes: float = Field(
        2.0, ge=0, description="of training between checkpoints, more for large ones; 0 for one after each iteration"
    )
    prediction_batch: int = Field(256, ge=1)
    threshold: float = Field(0.5, ge=0, lt=1, description="share of a smear's cells above which a class is predicted")
    bootstrap: int = Field(1000, ge=20, description="bootstrap replicates")
    allow_truncated: bool = Field(False, description="use an image whose file ends early, named and counted")
    feature_map_cells: int = Field(100, ge=2, description="cells a class for feature-map statistics")

    @model_validator(mode="after")
    def _has_default(self) -> Profile:
        if isinstance(self.start, dict) and "default" not in self.start:
            raise ValueError("start names networks but no `default`")
        return self

    @classmethod
    def load(cls, name: str, cohort: str = "synthetic", directory: Path = PROFILES_DIR) -> Profile:
        """Read `<directory>/<name>.yaml` and apply its sections for the cohort, if any.

        Parameters
        ----------
        name : str
            Of the file, without its ending; with `-rehearsal` behind it, its protocol at a fraction of the amounts.
        cohort : str
            One or more names joined by `+`.
        directory : Path
            Folder of the profiles.

        Returns
        -------
        Profile
            Validated.

        Raises
        ------
        ProfileError
            Unknown profile, unknown setting, or a value out of range; every problem is listed.
        """
        base = name.removesuffix(REHEARSAL)
        path = directory / f"{base}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in directory.glob("*.yaml")))
            raise ProfileError(f"no profile `{name}`: known are {known}")
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        overrides = settings.pop("cohorts", {})
        for part in dict.fromkeys((*cohort.split("+"), cohort)):
            settings = _merge(settings, overrides.get(part, {}))
        try:
            whole = cls(name=name, **settings)
            # What the file leaves to its default is cut too.
            return cls(**_rehearsed(whole.model_dump())) if base != name else whole
        except (ValidationError, TypeError) as error:
            raise ProfileError(f"profile `{name}` for cohort `{cohort}`: {error}") from error

    @property
    def rehearsal(self) -> bool:
        """Whether the amounts are cut, so that no number of the run means anything."""
        return self.name.endswith(REHEARSAL)

    def start_of(self, backbone: str) -> str:
        """Name the start of a network.

        Parameters
        ----------
        backbone : str
            Name of the architecture.
        """
        return self.start if isinstance(self.start, str) else self.start.get(backbone, self.start["default"])

    @property
    def networks(self) -> list[str]:
        """Every network that the profile trains, once."""
        trainings = [self.module_1, self.module_2, self.ablations]
        trainings += [self.cross_fitting.module_1, self.cross_fitting.module_2] if self.cross_fitting else []
        trainings += [self.transfer.fine_tuned] if self.transfer else []
        names = [training.backbone for training in trainings if training]
        return list(dict.fromkeys([*names, self.table_5_backbone, *self.comparison.backbones]))

    def generator(self, purpose: str) -> np.random.Generator:
        """Make a random generator that depends on the profile's seed and the purpose alone.

        Parameters
        ----------
        purpose : str
            What is drawn.

        Returns
        -------
        numpy.random.Generator
            The same for the same purpose.
        """
        return np.random.default_rng([self.seed, int(sha256(purpose)[:8], 16)])

    def torch_seed(self, purpose: str) -> int:
        """Make a seed for torch from the profile's seed and the purpose.

        Parameters
        ----------
        purpose : str
            What is drawn.

        Returns
        -------
        int
            48 bits.
        """
        return int(sha256(f"{self.seed}/{purpose}")[:12], 16)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_mappings else value
    return merged


_FEW = {
    "cohort_fraction": 0.02, "iterations": 2, "batch_size": 4, "folds": 2, "fold_iterations": 1.0, "repeats": 1,
    "range_test": 3, "ablation_seeds": 1, "bootstrap": 50, "feature_map_cells": 2, "max_evaluation_images": 8,
    "epochs": 2,
}  # fmt: skip
"""Setting -> its value in a rehearsal, wherever it stands in a profile that has more of it."""


def _rehearsed(settings: Any) -> Any:
    """A profile's settings with few iterations, images and folds; what is trained, and how, stays."""
    if isinstance(settings, list | tuple):
        return [_rehearsed(one) for one in settings]
    if not isinstance(settings, dict):
        return settings
    found = {key: _rehearsed(value) for key, value in settings.items()}
    for key, few in _FEW.items():
        if isinstance(value := found.get(key), int | float):
            # 0 of `max_evaluation_images` takes all.
            found[key] = min(value, few) if value or key != "max_evaluation_images" else few
        elif isinstance(value, dict):
            found[key] = {name: min(number, few) for name, number in value.items()}
    return found
