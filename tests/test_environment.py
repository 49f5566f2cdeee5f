"""requirements.lock, environment.yml and pyproject.toml say the same."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from lockfiles import ROOT, environment, locked
from packaging.requirements import Requirement
from packaging.version import Version

LOCK = (ROOT / "requirements.lock").read_text()


def test_every_direct_dependency_is_locked_at_a_version_that_pyproject_admits():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        version, _ = locked()[requirement.name.lower()]
        assert requirement.specifier.contains(Version(version)), f"{text}, locked {version}"


def test_environment_yml_installs_the_locked_versions():
    text = (ROOT / "environment.yml").read_text()
    assert text == environment(), "run `make lock`"
    pip = next(part["pip"] for part in yaml.safe_load(text)["dependencies"] if isinstance(part, dict))
    pins = dict(re.match(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line).groups() for line in pip if "==" in line)
    assert pins == {name: version for name, (version, _) in locked().items()}


def test_every_pin_has_a_hash_and_no_index_is_named():
    for block in re.split(r"\n(?=[a-z0-9])", LOCK.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in LOCK and "--index" not in LOCK and "--find-links" not in LOCK


def test_one_version_of_each_package():
    names = re.findall(r"(?m)^([A-Za-z0-9_.-]+)==", LOCK)
    assert len(names) == len(set(names))


HOSTILE = [
    "it's", "x'; touch pwned; '", '"; touch pwned; "', "$(touch pwned)", "`touch pwned`", "$HOME", "$$", "a b", "#1",
    "$(shell touch pwned)", "${shell touch pwned}", "new\nline", "-v", "é", "\\", "a\\", "*", "%",
]  # fmt: skip


@pytest.mark.skipif(not shutil.which("make") or sys.platform == "win32", reason="no make")
@pytest.mark.parametrize("through", ["arguments", "environment"])
def test_make_hands_on_what_it_is_given_and_runs_none_of_it(tmp_path, through):
    stub = tmp_path / "alnet"
    stub.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open(sys.argv[0] + '.json', 'w'))\n"
    )
    stub.chmod(0o755)
    (tmp_path / "synced").touch()
    fixed = [f"BIN={tmp_path}", f"STAMP={tmp_path / 'synced'}"]
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    for value in HOSTILE:
        given = {"DATA": value, "PROFILE": value, "COHORT": value, "CORES": value}
        arguments = [f"{name}={text}" for name, text in given.items()] if through == "arguments" else []
        more = given if through == "environment" else {}
        command = ["make", "--silent", "--file", ROOT / "Makefile", "reproduce", *fixed]
        subprocess.run(
            [*command, *arguments], cwd=_with_sources(tmp_path), env=environment | more, check=True, timeout=30
        )
        seen = json.loads((tmp_path / "alnet.json").read_text())
        assert seen == ["reproduce", f"--cohort={value}", f"--profile={value}", f"--data={value}", f"--cores={value}"]
    assert not list(tmp_path.rglob("pwned"))
    subprocess.run(command, cwd=_with_sources(tmp_path), env=environment, check=True, timeout=30)
    assert json.loads((tmp_path / "alnet.json").read_text()) == ["reproduce", "--cohort=synthetic", "--profile=quick"]


def _with_sources(folder):
    # What the stamp depends on, older than the stamp: nothing is installed.
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
        os.utime(folder / name, (0, 0))
    return folder
