"""The manifest contract: a cohort is one table, one row a cell image (design contract 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from alnet_lib.core.files import atomic_path, sha256, write_json
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.resources import cores
from alnet_lib.core.vocabulary import CELL_TYPES, LABELS, MANIFEST_COLUMNS
from alnet_lib.imaging.decoding import CROP_COLUMNS, Crop, picture, resize


class CohortError(ValueError):
    """A cohort that cannot be used; the message lists every problem by row and file, and what to do."""


def _no_exclusions() -> pd.DataFrame:
    return pd.DataFrame({"reason": pd.Series(dtype=str), "count": pd.Series(dtype=int)})


@dataclass(frozen=True)
class Cohort:
    """Images with their labels, and where they come from.

    Attributes
    ----------
    name : str
        Of the source, or of several joined by `+`.
    kind : str
        synthetic, public or private.
    root : Path
        Folder that relative paths start from.
    manifest : DataFrame
        One row an image: the columns of schema.manifest_schema, and any further ones an adapter knows.
    citation, licence : str
        Of the images.
    notes : tuple of str
        Oddities worth knowing.
    excluded : DataFrame
        Reason and count of what was left out.
    """

    name: str
    kind: str
    root: Path
    manifest: pd.DataFrame
    citation: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    excluded: pd.DataFrame = field(default_factory=_no_exclusions)

    def file(self, row: int) -> Path:
        """Give the path of one image.

        Parameters
        ----------
        row : int
            Position in the manifest.

        Returns
        -------
        Path
            Of the file.
        """
        return self.root / self.manifest["path"].iloc[row]

    @property
    def files(self) -> list[Path]:
        """Path of every image, in the manifest's order."""
        return [self.root / path for path in self.manifest["path"]]

    @property
    def crops(self) -> list[Crop]:
        """Crop centre and field of view of each image (CROP_COLUMNS; NaN where unknown), in the manifest's order."""
        columns = [self.manifest[c].astype(float) if c in self.manifest else [np.nan] * len(self.manifest)
                   for c in CROP_COLUMNS]  # fmt: skip
        return list(zip(*columns, strict=True))

    def pictures(
        self, image_ids: Iterable[str], side: int = 0, *, crop: float = 1.0, allow_truncated: bool = False
    ) -> list[np.ndarray]:
        """Read the pictures of some cells from their files.

        Parameters
        ----------
        image_ids : iterable of str
            Cells of the manifest.
        side : int
            Pixels a side; 0 for the file's own resolution.
        crop : float
            Side of the central square shown, as a fraction of the shorter side, in (0, 1].
        allow_truncated : bool
            Use JPEG files that end early.

        Returns
        -------
        list of ndarray
            uint8 (S, S, 3), RGB, in the order asked for.

        Raises
        ------
        KeyError
            No such cell.
        alnet_lib.imaging.decoding.ImageError
            A file is missing or cannot be read.
        """
        files, crops = self.files, self.crops
        row = dict(zip(self.manifest["image_id"], range(len(files)), strict=True))

        def read(i: int) -> np.ndarray:
            found = picture(files[i], crops[i], allow_truncated=allow_truncated)
            return resize(found, side or max(round(crop * min(found.shape[:2])), 1), crop=crop)

        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(read, [row[name] for name in image_ids]))

    @property
    def identified(self) -> pd.DataFrame:
        """The manifest with smear_id and patient_id missing where the source has none (`smear_known` is false).

        Counts of smears and patients use it: they include only images with an ID.
        """
        if "smear_known" not in self.manifest:
            return self.manifest
        known = self.manifest["smear_known"].astype(bool)
        return self.manifest.assign(**{c: self.manifest[c].where(known) for c in ("smear_id", "patient_id")})

    @property
    def content_hash(self) -> str:
        """SHA-256 over the labels and, where they were read (`sha256` column), the images' contents."""
        columns = [c for c in (*MANIFEST_COLUMNS, *CROP_COLUMNS, "sha256") if c in self.manifest]
        return sha256(self.manifest[columns].to_csv(index=False))

    def describe(self) -> pd.DataFrame:
        """Count images, smears and patients by cell type and split.

        Returns
        -------
        DataFrame
            One row a cell type; smears and patients include only images with an ID.
        """
        counts = self.identified.groupby(["cell_type", "split"], as_index=False).agg(
            images=("image_id", "size"), smears=("smear_id", "nunique"), patients=("patient_id", "nunique")
        )
        wide = counts.pivot_table(index="cell_type", columns="split", fill_value=0, aggfunc="sum").astype(int)
        present = [name for name in (*CELL_TYPES, "") if name in wide.index]
        order = [(m, s) for m in ("images", "smears", "patients") for s in ("train", "test", "external")]
        wide = wide.reindex(present).reindex(columns=[c for c in order if c in wide.columns])
        wide.columns = [f"{measure}, {split}" for measure, split in wide.columns]
        wide.index = [LABELS.get(name, "(unlabelled)") for name in wide.index]
        return wide.rename_axis("cell type")

    def save(self, out: Path) -> None:
        """Write manifest.parquet and cohort.json, the manifest last: it marks a finished cohort.

        Parameters
        ----------
        out : Path
            Folder to write.
        """
        write_json(
            out / "cohort.json",
            {
                "name": self.name,
                "kind": self.kind,
                "root": str(self.root.resolve()) if self.root.resolve() != out.resolve() else "",
                "citation": self.citation,
                "licence": self.licence,
                "notes": list(self.notes),
                "excluded": self.excluded.to_dict("records"),
                "content_hash": self.content_hash,
            },
        )
        with atomic_path(out / "manifest.parquet") as temporary:
            self.manifest.to_parquet(temporary, index=False)

    @classmethod
    def load(cls, out: Path) -> Cohort:
        """Read the cohort that `save` wrote.

        Parameters
        ----------
        out : Path
            Its folder.

        Returns
        -------
        Cohort
            Equal to the one written.

        Raises
        ------
        CohortError
            No cohort in the folder.
        alnet_lib.core.integrity.reading.Damaged
            One of its two files is not what was written; the message names it.
        """
        if not (out / "manifest.parquet").is_file() or not (out / "cohort.json").is_file():
            raise CohortError(f"{out} holds no cohort: `alnet cohort build NAME {out}` writes one")
        with reading(out / "manifest.parquet") as file:
            manifest = pd.read_parquet(file)
        with reading(out / "cohort.json") as file:
            about = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                name=about["name"],
                kind=about["kind"],
                root=Path(about["root"]) if about["root"] else out,
                manifest=manifest,
                citation=about["citation"],
                licence=about["licence"],
                notes=tuple(about["notes"]),
                excluded=pd.DataFrame(about["excluded"]) if about["excluded"] else _no_exclusions(),
            )
