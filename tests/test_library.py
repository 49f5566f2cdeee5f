"""The library as a user has it: installed from a wheel, in an empty folder, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

USE = """
import sys
import alnet_lib as al
assert not {"torch", "pandas"} & set(sys.modules), "importing the package must stay light"
assert set(al.__all__) <= set(dir(al))
from pathlib import Path
import pandas as pd
from alnet_lib.core import resources
target = Path(sys.argv[1]).resolve()
assert target in Path(al.__file__).resolve().parents, al.__file__
assert len(list(resources.NOTEBOOKS_DIR.glob("*.ipynb"))) == 8
assert (resources.PROFILES_DIR / "smoke.yaml").is_file() and resources.SNAKEFILE.is_file()
assert any(p.is_file() for p in (resources.LIBRARY / "report" / "templates").iterdir())
for place in (resources.NOTEBOOKS_DIR, resources.PROFILES_DIR, resources.SNAKEFILE):
    assert target in place.resolve().parents, place
classes = ["lymphocyte", "monocyte", "reactive_lymphocyte", "abnormal_promyelocyte", "blast"]
cells = pd.DataFrame({f"p1_{name}": [float(name == "abnormal_promyelocyte")] * 3 for name in classes})
cells = cells.assign(image_id=["a", "b", "c"], smear_id="s")
print(al.__version__, al.vote(cells, al.MajorityAboveThreshold(0.5)).loc[0, "verdict"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel is installed into; dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    target = folder / "target"
    # A wheel of pure Python is a zip file of what belongs into site-packages.
    unpack = [sys.executable, "-m", "zipfile", "-e", str(next(folder.glob("*.whl"))), str(target)]
    subprocess.run(unpack, check=True)
    return target


def _run(installed, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_wheel_brings_all_it_needs_and_votes(installed, tmp_path):
    done = _run(installed, tmp_path, "-c", USE, str(installed))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "APL"


@pytest.mark.slow
def test_reproduce_plans_its_steps_outside_the_checkout(installed, tmp_path):
    done = _run(installed, tmp_path, "-m", "alnet_lib.cli", "reproduce", "--profile", "smoke", "--dry-run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "scorecard" in done.stdout + done.stderr
