"""What a result's code is: every module that it can reach by imports, and the data beside them, no more."""

import pytest

from alnet_lib.core import code

MODULES = {
    "__init__.py": "from alnet_lib.unrelated import thing\n",
    "unrelated.py": "thing = 1\n",
    "first/__init__.py": '"""A package."""\n',
    "first/start.py": "import json\nDATA = __file__\n\ndef later():\n    from alnet_lib.second.lazy import two\n"
    "if TYPE_CHECKING:\n    import alnet_lib.types_alone\n",
    "types_alone.py": "import alnet_lib.third\n",
    "first/neighbour.py": "one = 1\n",
    "first/data/table.csv": "a,b\n",
    "second/__init__.py": "",
    "second/lazy.py": "import alnet_lib.second.inner.deep\ntwo = 2\n",
    "second/settings.toml": "no module beside it names a file",
    "second/inner/__init__.py": "from alnet_lib.second import from_init\n",
    "second/inner/deep.py": "",
    "second/from_init.py": "",
    "second/__pycache__/lazy.pyc": "not read",
    "third/__init__.py": "",
    "third/data.csv": "not reached",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A small library in place of the kit's, which a test may change."""
    root = tmp_path / "alnet_lib"
    for name, text in MODULES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(code, "LIBRARY", root)
    _forget()
    yield root
    _forget()


def _forget():
    for cached in vars(code).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def _hash():
    _forget()
    return code.code_hash("alnet_lib.first.start")


def test_the_closure_has_lazy_imports_packages_and_their_data_and_nothing_else(library):
    found = [path.relative_to(library).as_posix() for path in code.closure(["alnet_lib.first.start"])]
    assert found == [
        "first/__init__.py", "first/data/table.csv", "first/start.py", "second/__init__.py", "second/from_init.py",
        "second/inner/__init__.py", "second/inner/deep.py", "second/lazy.py",
    ]  # fmt: skip


def test_the_roots_init_is_left_out_even_where_the_root_is_imported(library):
    (library / "first" / "start.py").write_text("import alnet_lib\nfrom alnet_lib import unrelated\n")
    found = {path.relative_to(library).as_posix() for path in code.closure(["alnet_lib.first.start"])}
    assert "unrelated.py" in found and "__init__.py" not in found


@pytest.mark.parametrize("changed", ["first/start.py", "second/inner/deep.py", "first/data/table.csv"])
def test_the_hash_changes_with_every_file_of_the_closure(library, changed):
    before = _hash()
    assert _hash() == before
    (library / changed).write_text("# another content\n")
    assert _hash() != before


@pytest.mark.parametrize(
    "changed", ["__init__.py", "unrelated.py", "first/neighbour.py", "third/data.csv", "second/settings.toml"]
)
def test_other_files_do_not_change_the_hash(library, changed):
    before = _hash()
    (library / changed).write_text("# another content\n")
    assert _hash() == before


def test_the_hash_changes_with_a_new_import_and_with_a_name(library):
    before = _hash()
    (library / "first" / "data" / "table.csv").rename(library / "first" / "data" / "renamed.csv")
    renamed = _hash()
    (library / "second" / "from_init.py").write_text("from alnet_lib.third import data\n")
    assert len({before, renamed, _hash()}) == 3


@pytest.mark.parametrize("name", ["alnet_lib.first.nothing", "json", "alnet_lib_other.first.start"])
def test_an_unknown_module_is_refused(library, name):
    with pytest.raises(ValueError, match=f"{name} is no module of alnet_lib"):
        code.closure([name])


def test_imports_of_a_piece_of_code_are_modules_where_there_are_any_and_packages_otherwise(library):
    source = "import numpy\nfrom alnet_lib.first import start, __doc__\nimport alnet_lib.third as t\nfrom . import x\n"
    assert code.imported_by(source) == {"alnet_lib.first.start", "alnet_lib.first", "alnet_lib.third"}


def test_the_kits_own_closure_is_read_from_its_sources():
    found = {path.name for path in code.closure(["alnet_lib.paper.values"])}
    assert {"values.py", "printed.py", "text.csv"} <= found and not {"run.py", "twin.py"} & found
