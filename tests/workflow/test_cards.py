"""Jobs side by side have a card each."""

import os
import subprocess
import sys
import tempfile

import pytest

from alnet_lib.workflow.plan import cards
from alnet_lib.workflow.reproduce import _limits


@pytest.mark.parametrize(
    ("given", "names"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-1, GPU-2", ["GPU-1", "GPU-2"]), ("2", ["2"])]
)
def test_the_cards_are_those_that_the_process_may_use(given, names, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert cards.visible() == names
    assert _limits("") == (["--resources", f"gpu={len(names)}"] if names else [])
    assert _limits("profiles/slurm") == []


def test_cards_are_counted_by_the_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g'\necho 'GPU 1: B (UUID: y)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert cards.visible() == ["0", "1"]


def test_two_jobs_have_two_cards_and_a_killed_one_gives_its_card_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    source = (
        "import os, sys; from alnet_lib.workflow.plan import cards\n"
        "with cards.one_of_them() as name:\n    print(name, os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n"
        "    sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert other.stdout.readline().split() == ["4", "4"]
    with cards.one_of_them() as name:
        assert name == os.environ["CUDA_VISIBLE_DEVICES"] == "7"
        with cards.one_of_them() as left:
            assert left == "", "the job's own card is the only one that it sees"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
    other.kill()
    other.wait()
    with cards.one_of_them() as name:
        assert name == "4"
