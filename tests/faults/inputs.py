"""Manifests, folders, smears to diagnose, models and images that are not as they should be."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from command import alnet_here
from hostile import HOSTILE
from miniatures import write_cell

from alnet_lib.core.vocabulary import CELL_TYPES, MANIFEST_COLUMNS, USUAL_DIAGNOSIS
from faults import images
from faults.tally import Tally, each

WEIRD: tuple = (
    "", " ", "nan", "None", "0", "-1", "1e400", "NaN", "x" * 300, "a\0b", "../../etc/passwd", "/etc/passwd", "é\u202e",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), None, 3, 2.5, b"x", ["a"], {"a": 1}, True,
    pd.NaT, 10**30, *HOSTILE,
)  # fmt: skip
COLUMNS = (*MANIFEST_COLUMNS, "immature", "smear_known", "centre_x", "field_of_view", "field_of_view_height")


def _good(folder: Path) -> pd.DataFrame:
    """Fourteen cells of seven smears, and their manifest."""
    rows = []
    for number, cell_type in enumerate(CELL_TYPES):
        for view in range(2):
            name = f"{cell_type}-{view}.png"
            write_cell(folder / name, (40, 40), 24 + number)
            rows.append(
                {"image_id": name, "path": name, "cell_type": cell_type, "smear_id": f"s{number}",
                 "patient_id": f"p{number}", "site": "a", "diagnosis": USUAL_DIAGNOSIS[cell_type], "subtype": "",
                 "split": ("train", "test")[number % 2]}
            )  # fmt: skip
    return pd.DataFrame(rows)


def told(result, *names: str) -> str:
    """Empty where a command worked, or ended with an error that says one of the names."""
    if isinstance(result.exception, SystemExit) and result.exit_code == 1:
        said = result.stderr
        if "Traceback" in said:
            return f"traceback: {said[-800:]}"
        return "" if any(name in said for name in names) else f"names none of {names}: {said[-800:]}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"traceback: {type(result.exception).__name__}: {result.exception}"
    return "" if result.exit_code == 0 else f"exit code {result.exit_code}: {result.stderr[-500:]}"


def _write(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> Path:
    plain = all(isinstance(value, str) for column in frame for value in frame[column])
    if rng.random() < 0.5 or not plain:
        try:
            frame.to_parquet(folder / "manifest.parquet", index=False)
            return folder / "manifest.parquet"
        except (ValueError, TypeError, OverflowError):  # Kinds that parquet does not mix in a column.
            pass
    frame.to_csv(folder / "manifest.csv", index=False, errors="surrogatepass")
    return folder / "manifest.csv"


def _cell(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """A value of any kind in a cell."""
    column, row = COLUMNS[int(rng.integers(len(COLUMNS)))], int(rng.integers(len(frame)))
    value = WEIRD[int(rng.integers(len(WEIRD)))]
    usual = {"immature": "true", "smear_known": "true"}.get(column, "30")
    values = list(frame[column]) if column in frame else [usual] * len(frame)
    values[row] = value
    frame[column] = pd.Series(values, dtype=object)
    file = _write(frame, folder, rng)
    return file, (f"row {row}", f"rows {row}")


def _table(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """Columns and rows that are missing, twice there, of other names, in another order."""
    column = frame.columns[int(rng.integers(len(frame.columns)))]
    match int(rng.integers(8)):
        case 0:
            frame = frame.drop(columns=column)
        case 1:
            frame = frame.rename(columns={column: WEIRD[int(rng.integers(10))]})
        case 2:
            frame = frame.head(int(rng.integers(3)))
        case 3:
            frame = pd.concat([frame, frame.sample(3, random_state=1)], ignore_index=True)
        case 4:
            frame = frame.assign(**{name: "x" for name in HOSTILE})
        case 5:
            frame = frame.iloc[::-1].assign(**{column: ""})
        case 6:
            frame = pd.concat([frame, frame[[column]]], axis=1)
        case 7:
            frame = frame.assign(**{column: frame[column].iloc[0]})
    file = folder / "manifest.csv"
    frame.to_csv(file, index=False)
    return file, (file.name, "row ", "manifest")


def _bytes(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """A file that is damaged, or of another encoding, separator or kind than its name says."""
    file = _write(frame, folder, rng)
    content = file.read_bytes()
    text = frame.to_csv(index=False)
    match int(rng.integers(10)):
        case 0:
            content = images.mutated(content, rng)
        case 1:
            content = content[: int(rng.integers(len(content)))]
        case 2:
            content = b""
        case 3:
            file, content = folder / "manifest.csv", text.encode("utf-16")
        case 4:
            file, content = folder / "manifest.csv", text.replace("s1", "Müller").encode("latin-1")
        case 5:
            file, content = folder / "manifest.csv", text.replace(",", ";").encode("utf-8-sig")
        case 6:
            file, content = folder / "manifest.csv", (text + '"open,' * 5).encode()
        case 7:
            file, content = folder / "manifest.csv", text.encode() + bytes(200)
        case 8:
            file, content = folder / "manifest.parquet", text.encode()
        case 9:
            file, content = folder / "manifest.csv", text.replace("s2", "y" * 2_000_000).encode()
    file.write_bytes(content)
    return file, (file.name, "row ", "manifest")


def _mapping(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """The user's words for cells."""
    file = _write(frame, folder, rng)
    hostile = HOSTILE[int(rng.integers(len(HOSTILE)))]
    mapping = pd.DataFrame({"name": ["myeloblast", hostile], "cell_type": ["monocyte", ""]})
    match int(rng.integers(6)):
        case 0:
            mapping = mapping[["name"]]
        case 1:
            mapping["cell_type"] = hostile
        case 2:
            mapping = pd.concat([mapping, mapping])
        case 3:
            mapping["name"] = [None, hostile]
        case 4:
            mapping = mapping.head(0)
    mapping.to_csv(folder / "mapping.csv", index=False)
    if rng.random() < 0.4:
        (folder / "mapping.csv").write_bytes(images.mutated((folder / "mapping.csv").read_bytes(), rng))
    return file, ("mapping.csv", "row ")


def _files(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """Pictures that are missing, no files, links, pipes, or damaged."""
    file = _write(frame, folder, rng)
    name = frame["path"][int(rng.integers(len(frame)))]
    spoil(folder / name, rng)
    return (file if rng.random() < 0.7 else folder), (name,)


def _folders(frame: pd.DataFrame, folder: Path, rng: np.random.Generator) -> tuple[Path, tuple[str, ...]]:
    """Folders by cell type instead of a manifest, some of another depth or name."""
    own = folder / "by type"
    for line in frame.itertuples():
        below = [("patient", "smear"), (), ("a", "b", "c"), ("\n",)][int(rng.choice(4, p=[0.5, 0.3, 0.1, 0.1]))]
        odd = HOSTILE[int(rng.integers(len(HOSTILE)))].replace("/", "|")
        kind = line.cell_type if rng.random() < 0.8 else odd
        target = own.joinpath(*below, kind) / line.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / line.path, target)
    if rng.random() < 0.3:
        spoil(target, rng)
    if rng.random() < 0.2:
        (own / "loop").symlink_to(own)
    if rng.random() < 0.1:
        shutil.rmtree(own)
    return own, (own.name, "row ")


def spoil(file: Path, rng: np.random.Generator) -> None:
    """Make something else of a picture."""
    content = file.read_bytes()
    match int(rng.integers(8)):
        case 0:
            file.unlink()
        case 1:
            file.unlink()
            file.mkdir()
        case 2:
            file.unlink()
            file.symlink_to(file.name)
        case 3:
            file.unlink()
            os.mkfifo(file)
        case 4:
            file.write_bytes(b"")
        case 5:
            file.write_bytes(content[: int(rng.integers(len(content)))])
        case 6:
            file.write_bytes(images.mutated(content, rng))
        case 7:
            file.write_bytes(images.SEEDS[int(rng.integers(len(images.SEEDS)))])


WAYS = (_cell, _cell, _cell, _table, _bytes, _mapping, _files, _folders)


def built(work: Path, seed: int, number: int) -> str:
    """Build a cohort from a changed manifest or folder, and validate it."""
    rng = np.random.default_rng([seed, number])
    folder = work / f"input-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    frame = _good(folder)
    way = WAYS[number % len(WAYS)]
    given, names = way(frame, folder, rng)
    result = alnet_here("cohort", "build", "folder", folder / "out", "--data", given)
    if (failure := told(result, *names)) or result.exit_code:
        return failure and f"{way.__name__}: {failure}"
    failure = told(alnet_here("cohort", "describe", folder / "out"), "out")
    return failure and f"{way.__name__}, describe: {failure}"


def model(folder: Path) -> Path:
    """A run directory with two untrained networks that say that they have seen real cells."""
    from alnet_lib.core.integrity import index
    from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
    from alnet_lib.networks.building import build
    from alnet_lib.networks.storage import save_network

    if not (folder / "models" / "module_2.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        index.begin(folder)
        about = {"threshold": 0.5, "crop": 0.8, "trained_on": {"cohort": "x", "kind": "private", "profile": "y"}}
        for name, classes in (("module_1", MODULE_1_CLASSES), ("module_2", MODULE_2_CLASSES)):
            save_network(build("squeezenet1_1", classes, 32), folder / "models" / f"{name}.safetensors", about)
    return folder


def diagnosed(work: Path, seed: int, number: int) -> str:
    """Diagnose a changed folder, or with a changed model."""
    rng = np.random.default_rng([seed, number])
    folder = work / f"smear-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    smear, run = folder / "smear", model(work / "model")
    _good(smear)
    few = ["--few"] if rng.random() < 0.5 else []
    if number % 2:
        run = shutil.copytree(run, folder / "run")
        names = ["module_1.safetensors", "module_1.json", "module_2.safetensors", "module_2.json"]
        file = run / "models" / names[int(rng.integers(4))]
        before = file.read_bytes()
        if rng.random() < 0.1:
            file.unlink()
        else:
            # Also far behind the header, where a single value changes.
            changed = bytearray(before)
            changed[int(rng.integers(len(before)))] ^= 1 << int(rng.integers(8))
            file.write_bytes(images.mutated(before, rng) if rng.random() < 0.5 else bytes(changed))
        result = alnet_here("diagnose", smear, "--model", run, *few)
        if result.exit_code == 0 and (not file.is_file() or file.read_bytes() != before):
            return f"a changed {file.name} was used in silence"
        return told(result, file.name, file.stem)
    spoilt = sorted(smear.iterdir())
    for file in spoilt[: int(rng.integers(1, len(spoilt) + 1))]:
        spoil(file, rng)
    match int(rng.integers(6)):
        case 0:
            smear = smear / "nothing"
        case 1:
            smear = next(file for file in spoilt[::-1])
        case 2:
            (smear / HOSTILE[int(rng.integers(len(HOSTILE)))].replace("/", "|")).write_bytes(images.SEEDS[0])
        case 3:
            (smear / "loop").symlink_to(smear)
    result = alnet_here("diagnose", smear, "--model", run, *few, *(["--json"] if rng.random() < 0.3 else []))
    if not result.exit_code and smear.is_dir():
        # What is no file and no folder of files is left out, and must be named.
        strange = [path for path in smear.iterdir() if not path.is_file() and (path.is_symlink() or not path.is_dir())]
        if silent := [path.name for path in strange if path.name not in result.output]:
            return f"left out in silence: {silent}"
    return told(result, smear.name, str(smear))


def campaign(work: Path, seed: int, share: float = 1.0, *, apart: bool = True) -> list[Tally]:
    """Try 200 manifests and folders, 100 smears and models, 5,000 images, or a share of these."""
    work.mkdir(parents=True, exist_ok=True)
    model(work / "model")
    lines = []
    for what, case, number in (
        ("manifests and folders", built, 200),
        ("smears and models of `diagnose`", diagnosed, 100),
        ("fuzzed images", images.decoded, 5000),
    ):
        lines.append(Tally(what))
        each(lines[-1], partial(case, work, seed), range(round(number * share)), apart=apart)
    return lines
