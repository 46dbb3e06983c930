# Two commands: `make repro` runs the pipeline, `make test` runs the tests; `make review` opens the questions that are left.
# All set up .venv first, once, and compile it: some sixty processes then start in a third of the time. Where there is no
# make: `uv run dvc repro`, `uv run pytest`, `uv run pelage review serve`.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
# compiled once, not by each of forty stages, also where the environment forbids it
export PYTHONDONTWRITEBYTECODE :=

.PHONY: repro test lint readme review lock
.DEFAULT_GOAL := repro

repro: .venv/installed
	dvc repro

test: .venv/installed
	pytest

lint: .venv/installed
	ruff check .
	ruff format --check .

# The page on which people decide, of what `make repro` made.
review: .venv/installed
	pelage review serve

# The numbers in README.md and docs/results.md, from metrics/.
readme: .venv/installed
	pelage readme

# Everything that is installed, pinned: edit the dependencies in pyproject.toml, then `make lock`.
lock: .venv/installed
	uv lock --quiet --no-config
	uv export --quiet --frozen --format requirements-txt --no-hashes --no-emit-project --no-header -o requirements.txt

.venv/installed: requirements.txt pyproject.toml
	@test -x .venv/bin/python || $(PYTHON) -c 'import sys; v = sys.version_info; \
		v >= (3, 11) or sys.exit(f"pelage needs Python 3.11 or newer, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -m1 '^uv==' requirements.txt)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
