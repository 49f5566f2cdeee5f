"""requirements.lock, environment.yml and pyproject.toml say the same."""

import re
import tomllib

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
