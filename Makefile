# Every target works on a fresh machine with nothing but Python (3.11 or newer) and make: it creates .venv by itself.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/peers/trl/.ready $(VENV)/peers/inspect/.ready

export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test test-full check bench docs peers clean

quickstart: $(READY)
	$(BIN)/arena quickstart

test: $(READY) $(PEERS)
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

test-full: export ARENA_FULL = 1
test-full: test

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

bench: $(READY) $(PEERS)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/python -m pytest -q tests/docs

peers: $(PEERS)

clean:
	rm -rf $(VENV) build dist *.egg-info

# torch is asked for by its pinned version first: a plain request brings gigabytes of CUDA packages.
$(READY): pyproject.toml constraints.txt
	.ci/prerequisites
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Arena needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Each peer and what only it needs, in a folder beside the packages that it shares with Arena; its tests skip, or fail
# in CI, where it cannot be had.
$(PEERS): $(VENV)/peers/%/.ready: benchmarks/peers/%.txt | $(READY)
	-$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(@D) --requirement $< && touch $@
