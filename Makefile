# Every target sets itself up first; one that has nothing to do does nothing. `make` alone lists them.
# PYTHON=/path/to/python chooses the interpreter of the virtual environment; OUT, ROWS go to the demo; INPUTS, SEED to fuzz.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
NATIVE := fedcredit/native
EXTENSION := fedcredit/_native.abi3.so
RUST_SOURCES := $(shell find $(NATIVE) -name target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.*' \) -print)

OUT ?= runs/demo
CITIES ?= runs/cities
ROWS ?=
INPUTS ?= 1000000
SEED ?= 1
STORIES ?= 1000
MINUTES ?= 60
REACHED := $(CURDIR)/.pytest_cache/failpoints-reached
BENCHES ?= intersect groupsum gbdt

# rustup puts cargo here; shells that are not interactive often miss it.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What Python has compiled is kept for the next process, of which tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
# The same settings as setuptools-rust's, so that pip and cargo share what they build.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PYO3_BUILD_EXTENSION_MODULE := 1
ifneq ($(PYTHON),)
export PYTHON
endif

# `tests/conftest.py` says which tests stay together. Fast tests wait half of their time: for a process, a lock, a line;
# slow ones a third of it, and they start more processes of their own.
TOGETHER := --dist loadscope --no-loadscope-reorder
FOUR_AT_ONCE := -n 4 $(TOGETHER)
THREE_AT_ONCE := -n 3 $(TOGETHER)

# Which failpoints the whole suite reached can be told when all of it has run.
REPORT := tests/faults/test_reached.py::test_every_failpoint_was_reached

.PHONY: help setup demo demo-cities test test-fast test-slow test-long soak fuzz attacks bench check check-python check-protos check-rust fmt protos clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/installed $(EXTENSION) ## virtual environment and native build; all that `fedcredit` needs

demo: setup ## a whole consortium on this machine, in a minute; report in runs/demo
	$(BIN)/fedcredit demo --out $(OUT) $(if $(ROWS),--rows $(ROWS))

demo-cities: setup ## five cities with the same columns, each alone, together and pooled; report in runs/cities
	$(BIN)/fedcredit demo --cities --out $(CITIES) $(if $(ROWS),--rows $(ROWS))

test: test-fast test-slow ## the whole suite, as CI runs it

test-fast: $(VENV)/developer $(EXTENSION) ## the suite without the slow tests, about five minutes
	mkdir -p $(dir $(REACHED))
	rm -f $(REACHED)
	FEDCREDIT_FAILPOINTS_REACHED=$(REACHED) $(BIN)/python -m pytest -q $(FOUR_AT_ONCE) -m "not slow"

test-slow: $(VENV)/developer $(EXTENSION) ## the slow tests alone, after `make test-fast`: which failpoints both reached is checked
	FEDCREDIT_FAILPOINTS_REACHED=$(REACHED) $(BIN)/python -m pytest -q $(THREE_AT_ONCE) -m slow --deselect $(REPORT)
	FEDCREDIT_FAILPOINTS_REACHED=$(REACHED) $(BIN)/python -m pytest -q -s -m slow $(REPORT)

test-long: $(VENV)/developer $(EXTENSION) ## a thousand random stories of a job and its faults, about half an hour
	FEDCREDIT_STORIES=$(STORIES) $(BIN)/python -m pytest -q -s tests/faults/test_simulation.py

soak: $(VENV)/developer $(EXTENSION) ## twenty jobs at once for an hour while nodes are killed, into benchmarks/results/soak.json
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES)

fuzz: $(VENV)/developer $(EXTENSION) ## a million changed inputs for every decoder; an hour and a half on two cores, goes on where it was stopped
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --inputs $(INPUTS) --seed $(SEED) --out runs/fuzz

attacks: $(VENV)/developer $(EXTENSION) ## published attacks on what each party sees, into benchmarks/results/attacks.json; some minutes
	PYTHONPATH=tests $(BIN)/python -m attacks.run > benchmarks/results/attacks.json

bench: setup ## the benchmarks of the README's table, one JSON object a line, into benchmarks/results
	mkdir -p benchmarks/results
	for bench in $(BENCHES); do $(BIN)/fedcredit bench $$bench --json | tee benchmarks/results/$$bench.json; done

check: check-python check-protos check-rust ## format, lint, types, layers, generated code, Rust

check-python: $(VENV)/developer $(EXTENSION)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fedcredit._native --mypy-config-file setup.cfg --allowlist <(echo 'fedcredit\._native\.__all__')
	$(BIN)/lint-imports --config setup.cfg --no-cache

check-protos: $(VENV)/developer
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BIN)/python protos/generate.py "$$fresh" >/dev/null; \
	diff -r -x __init__.py -x __pycache__ "$$fresh" fedcredit/wire/_gen || { echo "generated code is stale: run 'make protos'"; exit 1; }

check-rust: $(VENV)/installed
	cargo fmt --manifest-path $(NATIVE)/Cargo.toml --all --check
	cargo clippy --manifest-path $(NATIVE)/Cargo.toml --locked --workspace --release --all-targets -- -D warnings
	cargo test --manifest-path $(NATIVE)/Cargo.toml --locked --release --workspace

fmt: $(VENV)/developer ## format Python and Rust, mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --manifest-path $(NATIVE)/Cargo.toml --all

protos: $(VENV)/developer ## write fedcredit/wire/_gen anew from protos/
	$(BIN)/python protos/generate.py

clean: ## remove the virtual environment, builds and caches
	rm -rf $(VENV) build dist *.egg-info $(NATIVE)/target $(EXTENSION) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python: | .ci/toolchain
	python=$$(.ci/toolchain); "$$python" -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	.ci/toolchain >/dev/null
	@echo "installing into $(VENV) and building the native part; the first time takes two minutes or three"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# The developers' environment holds everything of the other one.
$(VENV)/developer: setup.cfg pyproject.toml | $(BIN)/python
	.ci/toolchain >/dev/null
	@echo "installing into $(VENV) with the developers' tools and building the native part; the first time takes two minutes or three"
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	touch $(VENV)/installed $@

# Written under another name and moved: a process that has the old one mapped keeps it.
$(EXTENSION): $(RUST_SOURCES) | $(BIN)/python
	.ci/toolchain >/dev/null
	cargo build --manifest-path $(NATIVE)/Cargo.toml --locked --release -p fedcredit-python
	cp -f $(NATIVE)/target/release/lib_native.so $@.new
	mv -f $@.new $@
