# Two commands matter: `make up` (a working trust at https://localhost:8443) and `make test`.
# Each sets up what it needs, says what it is doing, and takes seconds the second time.

PYTHON ?= python3
PY := .venv/bin/python
NODE_BIN := $(CURDIR)/.venv/node/bin
export PATH := $(CURDIR)/.venv/bin:$(NODE_BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where this is set, every one of the many processes would compile the whole house anew.
unexport PYTHONDONTWRITEBYTECODE
# What does not wait for each other is set up side by side: Debian's packages, Python's, the front end.
MAKEFLAGS += --jobs=3
# Test files run side by side, each file whole: most of them wait for processes that start and stop.
# In their order, so that the short ones (zones, web) come last and no worker waits for another at the end.
WORKERS ?= 3
# The trust's own accounts run what is installed here, so everybody may read it.
PIP := umask 022 && $(PY) -m pip install -qq

DEFINITIONS := src/cloister/records/definitions/.ready
FRONTEND := src/cloister/web/static/dist/manifest.json

SIMULATED ?= benchmarks/results/power-day.svg

.PHONY: help up setup test test-packages check fuzz bench bench-large sim lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

up: setup ## set everything up and run the whole trust at https://localhost:8443 (Ctrl-C stops it)
	@exec .venv/bin/cloister up

setup: .venv/.ready $(DEFINITIONS) $(FRONTEND)

test: setup .venv/.ready-dev test-packages ## set everything up, run `make check` and all tests
	@$(MAKE) --no-print-directory check
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone" $(PYTEST) || [ $$? = 5 ]
	@echo "· tests that measure time, one after the other"
	@$(PY) -m pytest -m alone $(PYTEST) $$(grep -rl "mark\.alone" tests --include="test_*.py") || [ $$? = 5 ]

check: .venv/.ready-dev $(DEFINITIONS) $(FRONTEND) ## style, types, import rules, tidiness: seconds
	@scripts/check

bench: setup .venv/.ready-dev test-packages ## all benchmarks, or one group: make bench ONLY=hospital
	@$(PY) -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-large: setup .venv/.ready-dev ## a made-up trust of 1,000,000 resources (RESOURCES=), kept in .bench-large; goes on where it stopped
	@$(PY) -m benchmarks.large --resources $(or $(RESOURCES),1000000) --folder $(or $(FOLDER),.bench-large)

sim: setup ## a day of a trust on a virtual clock: 1,400 servers, 17,000 people at once; SEED=, the picture goes to SIMULATED=
	@$(PY) -m cloister.farm.simulate --seed $(or $(SEED),1) --picture $(SIMULATED)

fuzz: setup .venv/.ready-dev ## every parser against made-up bytes, SECONDS=30 each
	@$(PY) -m fuzz --seconds $(or $(SECONDS),30)

# Chromium for the browser tests, where this machine lets us install it; else those tests skip and say so.
test-packages:
	@scripts/test-packages

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11"; \
	  echo "hint: install Python 3.11 or later, or run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 15))' || \
	  echo "note: $(PYTHON) is newer than 3.14, the last with a wheel of every package; if one fails: make PYTHON=/path/to/python3.14 $(MAKECMDGOALS)"
	@echo "· environment .venv"
	@$(PYTHON) -m venv .venv || { echo "hint: on Debian, install python3-venv"; exit 1; }

.venv/.ready: requirements.lock pyproject.toml | .venv/bin/python
	@echo "· packages of the trust (hash-locked; a few minutes on a slow line)"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q src
	@scripts/node-of-wheel
	@touch $@

.venv/.ready-dev: requirements-dev.lock .venv/.ready
	@echo "· packages of the tests"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

node_modules/.ready: package-lock.json package.json | .venv/.ready
	@echo "· front-end packages"
	@npm ci --silent --no-audit --no-fund
	@touch $@

$(DEFINITIONS): node_modules/.ready scripts/build_definitions.py scripts/build_terminology.py $(wildcard src/cloister/records/terminology/*.py) src/cloister/records/profiles/stored.py
	@echo "· FHIR R4 definitions"
	@$(PY) scripts/build_definitions.py
	@$(PY) scripts/build_terminology.py
	@touch $@

$(FRONTEND): node_modules/.ready $(wildcard frontend/* frontend/*/* frontend/*/*/*)
	@echo "· pages"
	@node frontend/build.mjs
	@touch $@

lock: ## write the lock files anew (needs uv)
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements.in -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements-dev.in -c requirements.lock -o requirements-dev.lock

clean: ## remove what was built; the trust's data (.cloister) stays
	rm -rf .venv node_modules src/cloister/records/definitions src/cloister/web/static/dist .mypy_cache .ruff_cache .pytest_cache
