"""ALNet, reproducibly: the lineage of acute leukaemia from peripheral-blood cell images. Research use only.

The names below are loaded when they are first used, so that importing the package costs nothing (PEP 562).

>>> import alnet_lib as al
>>> model = al.load("runs/synthetic-quick")  # doctest: +SKIP
>>> model.diagnose("my-smear", synthetic_anyway=True).verdict  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alnet_lib.cohorts.building import read as cohort
    from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
    from alnet_lib.diagnosis.model import ALNet
    from alnet_lib.report.explorer.panel import Explorer

    load = ALNet.load
    open = Explorer.open

__version__ = "0.1.0"

__all__ = ["ALNet", "MajorityAboveThreshold", "__version__", "cohort", "load", "open", "vote"]

_HOMES = {
    "ALNet": ("alnet_lib.diagnosis.model", "ALNet"),
    "MajorityAboveThreshold": ("alnet_lib.diagnosis.aggregation", "MajorityAboveThreshold"),
    "cohort": ("alnet_lib.cohorts.building", "read"),
    "load": ("alnet_lib.diagnosis.model", "ALNet.load"),
    "open": ("alnet_lib.report.explorer.panel", "Explorer.open"),
    "vote": ("alnet_lib.diagnosis.aggregation", "vote"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return attrgetter(attribute)(import_module(module))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
