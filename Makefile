# Two commands: `make reproduce` (the whole chain, one HTML report) and `make test`.
PROFILE ?= quick
COHORT  ?= synthetic
DATA    ?=
FAST    ?=
CORES   ?=
PARTS   ?=
UV_VERSION := 0.13.9

# What a user gives reaches the recipe through the environment, as it is: make would expand `$$` in it, and a quote in it
# would end the shell's. `unexport`, since make expands what it passes on.
unexport PROFILE COHORT DATA FAST CORES PARTS
export ALNET_PROFILE = $(value PROFILE)
export ALNET_COHORT = $(value COHORT)
export ALNET_DATA = $(value DATA)
export ALNET_CORES = $(value CORES)
export ALNET_PARTS = $(value PARTS)

BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
PYTHON ?= python3
STAMP := .venv/.synced

.PHONY: reproduce test faults lint docs lock slurm clean-env

reproduce: $(STAMP)
	$(BIN)/alnet reproduce "--cohort=$$ALNET_COHORT" "--profile=$$ALNET_PROFILE" \
	  $${ALNET_DATA:+"--data=$$ALNET_DATA"} $${ALNET_CORES:+"--cores=$$ALNET_CORES"}

# FAST=1 leaves out what runs for more than some seconds: the whole chain, real images, large networks, the wheel.
test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(if $(value FAST),-m 'not slow')

# The campaign of faults (docs/reliability.md). PARTS="input pages" chooses among input, structures, damage, disk, pages,
# cores and kill.
faults: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m faults $${ALNET_PARTS:+"$$ALNET_PARTS"}

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The picture of the layers in docs/architecture.md and the documentation of the cohorts, from the code.
docs: $(STAMP)
	$(BIN)/python docs/draw_layers.py
	$(BIN)/python -m alnet_lib.cohorts > docs/cohorts.md

# A run on a SLURM cluster of two virtual nodes on this machine, against a local one; Debian or Ubuntu, as root.
slurm: $(STAMP)
	tests/slurm/cluster.sh install
	$(BIN)/uv pip install --quiet --python $(BIN)/python snakemake-executor-plugin-slurm
	ALNET_SLURM=1 $(BIN)/python -m pytest -n0 -s tests/slurm

# The stamp is written last, so an interrupted installation is taken up again.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet 'uv==$(UV_VERSION)'
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(STAMP)

# Resolve again for Linux, macOS and Windows; one version of each package for every Python.
lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-annotate --no-header --quiet --output-file requirements.lock
	$(BIN)/python tests/lockfiles.py

clean-env:
	rm -rf .venv
