"""What is known of each source of images, and the register that every adapter enters itself in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alnet_lib.core.vocabulary import CELL_TYPES, KINDS, LABELS

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


class Reader(Protocol):
    """Turns a source's folder into a cohort."""

    def __call__(self, source: Source, data: Path | None, *, seed: int) -> Cohort:
        """Read the folder `data` of `source`."""


def _unregistered(source: Source, data: Path | None, *, seed: int) -> Cohort:
    raise TypeError(f"source {source.name} is not registered: decorate its reader with @register")


@dataclass(frozen=True)
class Source:
    """What is known of a source of images.

    Attributes
    ----------
    name : str
        Of the cohort, as on the command line.
    kind : str
        `synthetic`, `public` or `private`.
    images : str
        How many, in words.
    citation, licence, home : str
        Of the images; `home` says where to get them.
    about : str
        A description of one or more paragraphs.
    download, layout, scale, identifiers, oddities, checked : str
        What to download, how the folder looks, how large a pixel is, which identifiers there are, what to watch out
        for, and which counts are checked (where it is not `counts`).
    mapping : mapping of str to str
        The source's name of a cell to the cell type, whatever the diagnosis.
    immature : mapping of (str, str) to str
        Diagnosis and the source's name of a cell to the cell type, for the cells that vote; an empty cell type has no
        label: it votes and trains nothing.
    why : mapping of str to str
        Why each name is mapped as it is, or left out.
    counts : mapping of str to int
        The source's own counts; a folder with fewer is incomplete.
    diagnosis : mapping of str to str
        The source's name of a diagnosis to ours.
    micrometres_per_pixel : float, optional
        Where known and other than CellaVision's.
    reader : callable
        Set by `register`.
    """

    name: str
    kind: str
    images: str
    citation: str
    licence: str
    home: str
    about: str = ""
    download: str = ""
    layout: str = ""
    scale: str = ""
    identifiers: str = ""
    oddities: str = ""
    checked: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    immature: Mapping[tuple[str, str], str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    diagnosis: Mapping[str, str] = field(default_factory=dict)
    micrometres_per_pixel: float | None = None
    reader: Reader = field(default=_unregistered, repr=False, compare=False)

    def read(self, data: str | Path | None, *, seed: int = 2021) -> Cohort:
        """Read the source's folder, untouched, into a cohort.

        Parameters
        ----------
        data : str or Path, optional
            Folder of the original download.
        seed : int
            Of a split that the source does not bring.

        Returns
        -------
        Cohort
            Its images are not opened, or a few of them for the scale.

        Raises
        ------
        CohortError
            The folder is not this source, or is incomplete.
        """
        return self.reader(self, None if data is None else Path(data), seed=seed)

    @property
    def cell_types(self) -> str:
        """The labelled cell types, in words."""
        there = {*self.mapping.values(), *self.immature.values()} - {""}
        if self.kind != "public" or there == {*CELL_TYPES}:
            return "all seven"
        return ", ".join(LABELS[name] for name in CELL_TYPES if name in there) or "no label"


SOURCES: dict[str, Source] = {}
"""Name to source, of the adapters imported so far; `alnet_lib.cohorts.building` imports all."""


def register(source: Source) -> Callable[[Reader], Reader]:
    """Enter a source in SOURCES together with the function that reads it.

    Parameters
    ----------
    source : Source
        Without its reader.

    Returns
    -------
    callable
        Decorator of `read(source, data, *, seed)`.

    Raises
    ------
    ValueError
        The name is taken, or the kind is unknown.
    """
    if source.name in SOURCES:
        raise ValueError(f"two sources are called {source.name}")
    if source.kind not in KINDS:
        raise ValueError(f"kind `{source.kind}` of {source.name} is not one of {', '.join(KINDS)}")

    def registered(reader: Reader) -> Reader:
        SOURCES[source.name] = replace(source, reader=reader)
        return reader

    return registered


def listed() -> list[Source]:
    """List all sources: the synthetic cohort, public ones by name, the user's own.

    Returns
    -------
    list of Source
        The same order whatever was imported first.
    """
    return sorted(SOURCES.values(), key=lambda source: (KINDS.index(source.kind), source.name))
