"""Files are written whole or not at all; hashes tell contents apart."""

import errno
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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("IoError: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_with_what_is_free_and_the_old_file_stays(tmp_path, error):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    told = r"of .*: a\.txt could not be written; [\d.,]+ MB are free.*goes on from"
    with pytest.raises(files.DiskFull, match=told), files.atomic_path(target):
        raise error
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_a_disk_that_has_no_room_for_a_name_is_full_too_and_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    with pytest.raises(PermissionError), files.atomic_path(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "no")

    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    with pytest.raises(files.DiskFull, match=r"a\.txt could not be written"):
        files.write_text(tmp_path / "a.txt", "x")


def test_a_sweep_counts_what_it_removes_and_follows_no_link(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a").write_bytes(b"123")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "b").write_bytes(b"12345")
    (folder / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    removed = files.sweep([folder, tmp_path / "link", tmp_path / "nothing"])
    assert removed.files == 3 and (tmp_path / "kept" / "a").exists() and list(tmp_path.iterdir()) == [tmp_path / "kept"]
