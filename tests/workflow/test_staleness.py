"""A step is stale when code changes that it reaches, and only then."""

import ast
import json
import os
import shutil

import pytest

from alnet_lib.core import code, resources
from alnet_lib.workflow import staleness
from alnet_lib.workflow.steps import STEPS

INPUT = {"cohort": "synthetic", "profile": "smoke", "data": ""}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The library in a folder of its own, that a test may change."""
    library = tmp_path / "alnet_lib"
    shutil.copytree(resources.LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "LIBRARY", library)
    _forget()
    yield library
    _forget()


def _forget():
    for cached in vars(code).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def _print(notebook):
    _forget()
    return staleness.fingerprint(notebook, **INPUT)


@pytest.mark.parametrize("notebook", STEPS)
def test_the_closure_holds_every_module_that_a_notebook_imports(notebook):
    reached, imported = set(staleness.library_files(notebook)), set()
    for node in ast.walk(ast.parse(staleness.cell_code(resources.NOTEBOOKS_DIR / f"{notebook}.ipynb"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "alnet_lib":
            folder = resources.LIBRARY.joinpath(*node.module.split(".")[1:])
            names = [folder / f"{name.name}.py" for name in node.names] + [folder.with_suffix(".py")]
            imported |= {path for path in names if path.is_file()}
    assert imported and imported <= reached


@pytest.mark.parametrize("notebook", STEPS)
def test_a_change_in_any_module_reached_changes_the_fingerprint_and_others_do_not_matter(notebook, copied):
    before = _print(notebook)
    reached = staleness.library_files(notebook)
    outside = [path for path in copied.rglob("*.py") if path not in reached and path.parent != copied]
    for path in outside:
        path.write_text(path.read_text(encoding="utf-8") + "\n# a change\n", encoding="utf-8")
    assert _print(notebook) == before
    for path in (reached[0], reached[len(reached) // 2], reached[-1]):
        path.write_bytes(path.read_bytes() + b"\n# a change\n")
        changed = _print(notebook)
        assert changed != before, path
        before = changed


@pytest.mark.parametrize(
    ("notebook", "module"),
    [
        ("01_data_audit", "training/data.py"),
        ("03_alnet_training", "imaging/decoding.py"),
        ("06_feature_maps", "evaluation/explanation/attribution.py"),
        ("06_feature_maps", "imaging/augmentation.py"),
        ("06_feature_maps", "cohorts/synthetic/twin.py"),
        ("02_backbone_comparison", "training/fitting.py"),
    ],
)
def test_what_the_list_by_hand_lacked_is_reached(notebook, module):
    assert resources.LIBRARY / module in staleness.library_files(notebook)


def test_the_units_job_is_part_of_the_comparison():
    assert resources.LIBRARY / "workflow" / "jobs.py" in staleness.library_files("02_backbone_comparison")


def test_prose_does_not_count_and_code_does(tmp_path, monkeypatch):
    name = "04_smear_roc"
    shutil.copy(resources.NOTEBOOKS_DIR / f"{name}.ipynb", tmp_path)
    monkeypatch.setattr(staleness, "NOTEBOOKS_DIR", tmp_path)
    before, file = staleness.fingerprint(name, **INPUT), tmp_path / f"{name}.ipynb"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["cells"].append({"cell_type": "markdown", "metadata": {}, "source": ["More words."]})
    file.write_text(json.dumps(content), encoding="utf-8")
    assert staleness.fingerprint(name, **INPUT) == before
    content["cells"].append(
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": "1"}
    )
    file.write_text(json.dumps(content), encoding="utf-8")
    assert staleness.fingerprint(name, **INPUT) != before


def test_only_the_first_step_depends_on_the_original_files(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    given = {"cohort": "jhu_apl", "profile": "smoke", "data": str(tmp_path)}
    before = {name: staleness.fingerprint(name, **given) for name in ("01_data_audit", "04_smear_roc")}
    (tmp_path / "b.jpg").write_bytes(b"y")
    after = {name: staleness.fingerprint(name, **given) for name in before}
    assert before["01_data_audit"] != after["01_data_audit"] and before["04_smear_roc"] == after["04_smear_roc"]


def test_every_file_of_the_data_is_looked_at_also_when_it_is_written_over(tmp_path):
    for name in ("b/c.jpg", "b.jpg", "b/a/d.jpg", "é ö.jpg", "b-1/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = staleness.data_fingerprint("jhu_apl", str(tmp_path))
    # As paths are compared: by folder, then by name.
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    stats = [(path.relative_to(tmp_path), path.stat()) for path in files]
    assert found == staleness.sha256(*(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats))
    folder = (tmp_path / "b").stat().st_mtime_ns
    os.utime(tmp_path / "b/c.jpg", ns=(1, 1))
    assert (tmp_path / "b").stat().st_mtime_ns == folder
    assert staleness.data_fingerprint("jhu_apl", str(tmp_path)) != found
