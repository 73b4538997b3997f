# onehop: `make lab` shows the network, `make test` runs everything that CI runs.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
UV := $(or $(shell command -v uv),build/uv/bin/uv)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# In place and piece by piece: only what changed is compiled again.
BUILD = $(BIN)/python setup.py --quiet build_ext --inplace --parallel $(shell nproc)
SOURCES := $(wildcard engine/*.pyx engine/*.pxd) setup.py pyproject.toml

.PHONY: help setup packages lab test bench bench-quick lint debug clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

packages:  # Debian packages, where some are missing
	@.ci/packages

$(VENV)/.installed: requirements.lock build-constraints.txt | packages
	@command -v $(UV) > /dev/null || { python3 -m venv build/uv && build/uv/bin/pip install --quiet uv; } \
	  || { echo "uv is missing and pip could not install it: is the package index reachable?"; exit 1; }
	@test -x $(BIN)/python || $(UV) venv --quiet $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(VENV) --build-constraints build-constraints.txt requirements.lock
	@touch $@

$(VENV)/.linked: $(VENV)/.installed setup.py pyproject.toml
	ONEHOP_LINK_ONLY=1 $(UV) pip install --quiet --python $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.built: $(VENV)/.linked $(SOURCES)
	$(BUILD)
	@touch $@

setup: packages $(VENV)/.built  ## packages, virtual environment in .venv, Cython build
	@# A lab is dozens of processes: where Python may not keep what it compiled, each would compile.
	@$(BIN)/python -m compileall -q controller engine lab

lab: setup  ## eight machines, three gateways: scaling and failover, with real packets
	$(BIN)/onehop lab demo

test: setup lint  ## everything that CI runs
	$(BIN)/pytest -q --benchmark-disable tests perf

bench: setup  ## every target measured beside its peers: a table, reports/bench.json, charts
	$(BIN)/python perf/run.py

bench-quick: setup  ## the same with small sizes
	$(BIN)/python perf/run.py --quick

lint: setup  ## formatting, style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/cython-lint engine
	PYTHONPATH=.links $(BIN)/lint-imports --no-logo > build/imports.txt || { cat build/imports.txt; exit 1; }
	$(BIN)/mypy

debug: $(VENV)/.linked  ## rebuild the engine with bounds checks and assertions
	rm -f $(VENV)/.built
	ONEHOP_DEBUG=1 $(BUILD) --force

clean:  ## remove what was built
	rm -rf $(VENV) build .links reports *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find engine -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
