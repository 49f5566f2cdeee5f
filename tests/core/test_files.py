"""Files are written whole or not at all; hashes tell contents apart."""

import json
import os

import numpy as np
import pytest

from alnet_lib.core import files


def test_an_exception_leaves_the_old_content_and_no_temporary_file(tmp_path):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(ArithmeticError), files.atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        raise ArithmeticError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_an_exception_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ArithmeticError), files.atomic_path(tmp_path / "new" / "a.txt"):
        raise ArithmeticError
    assert list((tmp_path / "new").iterdir()) == []


def test_the_file_appears_with_the_end_of_the_block_and_may_be_read_by_colleagues(tmp_path):
    target = tmp_path / "folder" / "ü.csv"
    with files.atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.parent == target.parent and temporary.suffix == ".csv"
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_json_is_written_without_nan(tmp_path):
    files.write_json(tmp_path / "a.json", files.plain({1: [np.float64("nan"), np.int64(2)], "é": (np.True_, 0.5)}))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"1": [None, 2], "é": [True, 0.5]}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("inf")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["1"] == [None, 2]


def test_a_hash_depends_on_contents_order_and_where_parts_end(tmp_path):
    (tmp_path / "a").write_bytes(b"text")
    assert files.sha256("text") == files.sha256(b"text") == files.sha256(tmp_path / "a")
    assert len({files.sha256(*parts) for parts in (("a", "b"), ("b", "a"), ("ab",), ("ab", ""), ())}) == 5
