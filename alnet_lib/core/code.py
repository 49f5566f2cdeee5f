"""Which code a result depends on: the closure of imports, and its hash for caches and staleness.

The closure is read from the sources (`ast`), imports inside functions included, so that nothing is run and no list has
to be kept by hand. Imports for types alone change no result and do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from alnet_lib.core.files import sha256
from alnet_lib.core.resources import LIBRARY

PACKAGE = LIBRARY.name


def closure(modules: Iterable[str]) -> list[Path]:
    """Files of the kit that the given modules can reach by imports, with the data files beside those that read some.

    Parameters
    ----------
    modules : iterable of str
        Names such as `alnet_lib.training.fitting`.

    Returns
    -------
    list of Path
        Sorted. The root's `__init__`, which only forwards names, is left out.

    Raises
    ------
    ValueError
        A name is no module of the kit.
    """
    waiting, seen = [_file(name) for name in modules], set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        waiting += [found for found in _imports(file) if found not in seen]
    data = {path for file in seen for path in _data_of(file)}
    return sorted(seen | data)


def code_hash(*modules: str) -> str:
    """SHA-256 over `closure(modules)`: names and contents.

    Parameters
    ----------
    *modules : str
        Names such as `alnet_lib.imaging.pixels`.

    Returns
    -------
    str
        Hexadecimal digest.
    """
    return _hash_of(modules)


@cache
def _hash_of(modules: tuple[str, ...]) -> str:
    files = closure(modules)
    return sha256(*(part for path in files for part in (path.relative_to(LIBRARY).as_posix(), path)))


def imported_by(source: str) -> set[str]:
    """Modules of the kit that a piece of Python imports when it runs, anywhere in it.

    Parameters
    ----------
    source : str
        Python code, for example the code cells of a notebook.

    Returns
    -------
    set of str
        Names of modules; packages where a package's own name is imported.
    """
    found: set[str] = set()
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                found.add(inner if _exists(inner) else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == PACKAGE}
    return found


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield from _nodes(node)


def _path(name: str) -> Path:
    return LIBRARY.joinpath(*name.split(".")[1:])


def _exists(name: str) -> bool:
    return _path(name).with_suffix(".py").is_file() or (_path(name) / "__init__.py").is_file()


def _file(name: str) -> Path:
    for file in (_path(name).with_suffix(".py"), _path(name) / "__init__.py"):
        if name.split(".")[0] == PACKAGE and file.is_file():
            return file
    raise ValueError(f"{name} is no module of {PACKAGE}")


@cache
def _imports(file: Path) -> tuple[Path, ...]:
    names = imported_by(file.read_text(encoding="utf-8")) - {PACKAGE}
    files = {_file(name) for name in names}
    # Importing a module runs the packages above it.
    files |= {parent / "__init__.py" for found in (*files, file) for parent in _packages(found.parent)}
    return tuple(sorted(files))


def _packages(folder: Path) -> list[Path]:
    inside = [folder, *folder.parents]
    return [path for path in inside[: inside.index(LIBRARY)] if (path / "__init__.py").is_file()]


@cache
def _data_of(file: Path) -> tuple[Path, ...]:
    # A module that names no file reads none: a change of the report's style makes no notebook stale.
    folder = file.parent
    if folder == LIBRARY or "__file__" not in file.read_text(encoding="utf-8"):
        return ()
    found = []
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").is_file():
            found += [inner for inner in path.rglob("*") if inner.is_file() and "__pycache__" not in inner.parts]
        elif path.is_file() and path.suffix != ".py":
            found.append(path)
    return tuple(found)
