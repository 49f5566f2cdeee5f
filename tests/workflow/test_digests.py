"""The index of digests: what is written is recorded, by many at once, and a damaged line does not count."""

import json
import os
import subprocess
import sys

import pytest

from alnet_lib.core.files import atomic_path, sweep, write_text
from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.index import State
from alnet_lib.core.integrity.reading import Damaged, kept, reading


@pytest.fixture
def folder(tmp_path):
    index.begin(tmp_path)
    return tmp_path


def _state(path, **given):
    own, relative = index.of(path)
    return own.state(relative, **given)


def test_a_file_is_recorded_when_it_is_written_and_nothing_is_without_an_index(folder, monkeypatch):
    monkeypatch.setenv(index.STEP, "01_data_audit")
    write_text(folder / "a" / "b ü\n.txt", "content")
    (line,) = filter(None, (folder / index.INDEX).read_text().splitlines())
    entry = json.loads(line)
    stat = (folder / "a" / "b ü\n.txt").stat()
    assert entry["path"] == "a/b ü\n.txt" and (entry["size"], entry["mtime_ns"]) == (7, stat.st_mtime_ns)
    assert entry["sha256"] == index.digest_of(folder / "a" / "b ü\n.txt") and entry["step"] == "01_data_audit"
    write_text(folder / "progress" / "03.txt", "1 of 2")
    assert len(list(index.Index(folder).refresh())) == 1
    (folder / index.INDEX).unlink()
    write_text(folder / "c.txt", "content")
    assert index.of(folder / "c.txt") is None and not (folder / index.INDEX).exists()


def test_what_changed_is_damaged_and_a_copy_or_an_older_version_is_not(folder):
    file = folder / "a.txt"
    write_text(file, "one")
    first = (file.read_bytes(), file.stat().st_mtime_ns)
    write_text(file, "two!")
    assert _state(file) is State.sound
    file.write_bytes(first[0])
    assert _state(file) is State.sound, "a killed process may have recorded what it did not come to write"
    os.utime(file, ns=(1, 1))
    lines = (folder / index.INDEX).read_bytes()
    assert _state(file) is State.sound and _state(file) is State.sound
    assert len((folder / index.INDEX).read_bytes().split()) > len(lines.split()), "looked at in full only once"
    file.write_bytes(b"thr")
    assert _state(file) is State.damaged
    file.write_bytes(b"longer")
    assert _state(file) is State.damaged
    assert _state(folder / "other") is State.unknown


def test_a_flipped_bit_under_the_same_size_and_time_needs_the_full_look(folder):
    file = folder / "a.txt"
    write_text(file, "one")
    stat = file.stat()
    file.write_bytes(b"onf")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert _state(file) is State.sound and _state(file, full=True) is State.damaged


def test_lines_that_are_torn_or_damaged_do_not_count_and_tear_no_other(folder):
    for name in "abc":
        write_text(folder / name, name)
    content = (folder / index.INDEX).read_bytes()
    (folder / index.INDEX).write_bytes(content.replace(b'"b"', b'"x"')[:-20])
    known = index.Index(folder).refresh()
    assert list(known) == ["a"] and known.unreadable == 1
    write_text(folder / "d", "d")
    assert list(known.refresh()) == ["a", "d"] and known.unreadable == 2
    (folder / index.INDEX).write_bytes(b"")
    assert list(known.refresh()) == []


def test_what_was_removed_is_not_missed(folder):
    for name in "ab":
        write_text(folder / name, name)
    index.remove(folder / "a")
    sweep([folder / "b"])
    assert list(index.Index(folder).refresh()) == [] and [path.name for path in folder.iterdir()] == [index.INDEX]


def test_processes_side_by_side_do_not_tear_each_others_lines(folder):
    source = (
        "import sys; from alnet_lib.core.files import write_text\n"
        "for i in range(200): write_text(f'{sys.argv[1]}/{sys.argv[2]}-{i}-' + 100 * 'x', str(i))"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", source, str(folder), name]) for name in "ab"]
    assert [job.wait() for job in jobs] == [0] * 2
    known = index.Index(folder).refresh()
    assert len(list(known)) == 400 and not known.unreadable
    assert all(known.state(path, full=True) is State.sound for path in known)


def test_a_write_that_fails_leaves_the_file_and_its_digest(folder):
    write_text(folder / "a", "one")
    with pytest.raises(ValueError), atomic_path(folder / "a") as temporary:
        temporary.write_text("half")
        raise ValueError
    assert _state(folder / "a", full=True) is State.sound


def test_readers_name_the_file_and_what_can_be_made_again_is_put_aside(folder, capsys):
    file = folder / "a.json"
    write_text(file, "{}")
    assert kept(file, lambda path: json.loads(path.read_text())) == {}
    file.write_bytes(b"")
    with pytest.raises(Damaged, match=r"a\.json is damaged: it is not what was written"), reading(file):
        pass
    assert kept(file, json.loads) is None and not file.exists() and (folder / "a.json.damaged").is_file()
    assert "put aside as a.json.damaged" in capsys.readouterr().err
    unknown = folder / "b.json"
    unknown.write_text("{")
    with pytest.raises(Damaged, match=r"b\.json is damaged: JSONDecodeError"), reading(unknown):
        json.loads(unknown.read_text())
    with pytest.raises(FileNotFoundError), reading(folder / "c"):
        (folder / "c").read_text()


@pytest.mark.parametrize("path", ["../victim", "a/../../victim", "/victim", "", 7, ["a"], None])
def test_a_line_that_names_no_file_of_the_folder_does_not_count(folder, path):
    values = [path, 1, 1, "x", ""]
    line = dict(zip(index._FIELDS, [*values, index._checksum(values)], strict=True))
    with open(folder / index.INDEX, "a") as file:
        file.write(json.dumps(line) + "\n")
    known = index.Index(folder).refresh()
    assert not list(known) and known.unreadable == 1
