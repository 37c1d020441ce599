# Every target that a user or CI runs; each installs what it needs first, which takes half a second when nothing is missing.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Labs and their tests make network namespaces, mounts and virtual machines.
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo env "PATH=$(PATH):/usr/sbin:/sbin")
PYTEST := $(AS_ROOT) python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup setup-lab demo test test-pythons e2e e2e-all lint format docs docs-check bench build clean

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## */\1\t/' | expand -t 16
	@echo 'lint-GATE       One gate of lint, as lint-mypy: see scripts/gates.sh'

setup:  ## Debian packages and .venv, for development
	@scripts/setup.sh dev

setup-lab:
	@scripts/setup.sh lab

demo: setup-lab  ## The main job on a data centre in a box; KEEP=1 leaves the lab running
	$(AS_ROOT) openqrm lab demo $(if $(filter-out 0,$(KEEP)),--keep)

test: setup  ## Every test that needs no lab; T=path or T="-k word" narrows
	$(PYTEST) --durations=15 --durations-min=3 $(or $(T),-n 2 --dist loadfile --ignore=tests/e2e --ignore=tests/benchmarks tests)

test-pythons: setup  ## The library's unit tests on every Python 3.11 to 3.13 of the machine
	scripts/test_pythons.sh

e2e: setup  ## The lab tests
	$(PYTEST) -m 'not extended' --durations=12 --durations-min=5 $(or $(T),tests/e2e)

e2e-all: setup  ## The lab tests, with those that take long
	$(PYTEST) --durations=20 --durations-min=5 $(or $(T),tests/e2e)

bench: setup  ## The benchmarks of docs/benchmarks.md
	@status=0; for file in $(or $(T),$(wildcard tests/benchmarks/bench_*.py)); do \
	  echo "== $$file"; $(AS_ROOT) PYTHONPATH=. python "$$file" || status=1; done; exit $$status

lint: setup  ## All quality gates
	scripts/gates.sh

lint-%: setup
	scripts/gates.sh $*

format: setup  ## Lays out Python code as the ruff gate wants it
	ruff check --fix --quiet . ; ruff format .

docs: setup  ## Generates docs/reference
	python scripts/generate_reference.py

docs-check: lint-docs-current  ## Fails if docs/reference is not what `make docs` writes

build: setup  ## The wheel and the collection's tarball, in dist/
	rm -rf dist
	python -m build --wheel --no-isolation --outdir dist .
	ansible-galaxy collection build --output-path dist .

clean:  ## Removes what was built and cached in the checkout; not .venv
	rm -rf .cache .mypy_cache .pytest_cache .ruff_cache .ansible build dist
