# Everything that people and CI do with this project. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# mypy does not follow the mapping of plugins/ to opsorch_plugins; a link of that name does.
TYPES := .cache/types
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" setup.cfg --extra build

.DEFAULT_GOAL := help
.PHONY: help run serve install test live faults fuzz check format lint types imports coverage bench soak \
	generate lock clean live-deps

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run .env ## Serve all capabilities on :8080; from the demo world unless .env says otherwise
	exec $(BIN)/opsorch serve

.env: .env.example
	@test -e .env || { cp .env.example .env; echo "wrote .env from .env.example"; }

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; say which: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "The venv module is needed; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/run: $(VENV)/bin/python requirements.lock setup.cfg
	@echo "installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/dev ## Install everything that developing needs

test: $(VENV)/dev ## Run the tests that need nothing but this project
	$(BIN)/python -m pytest

faults: $(VENV)/dev ## Attack the supervisor with real processes
	$(BIN)/python -m pytest tests/faults

fuzz: $(VENV)/dev ## Try the properties with new examples
	$(BIN)/python -m pytest --hypothesis-profile=fresh -m hypothesis

live-deps:
	deploy/live-deps.sh

live: $(VENV)/dev live-deps ## Run the tests against real servers; installs them (Debian, root)
	$(BIN)/python -m pytest tests/live

check: format lint types imports coverage ## Everything that must hold before a commit

format: $(VENV)/dev ## Check the formatting; `make format FIX=1` mends it
	$(BIN)/ruff format $(if $(FIX),,--check) --quiet .

lint: $(VENV)/dev ## Check the code's habits
	$(BIN)/ruff check $(if $(FIX),--fix,) --quiet .

types: $(VENV)/dev ## Check the types
	@mkdir -p $(TYPES) && ln -sfn ../../plugins $(TYPES)/opsorch_plugins
	MYPYPATH=$(TYPES) $(BIN)/mypy -p opsorch -p opsorch_plugins

imports: $(VENV)/dev ## Check that imports point one way
	$(BIN)/lint-imports

coverage: $(VENV)/dev ## Run the tests and hold the branch coverage of opsorch/
	$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=95

bench: $(VENV)/dev ## Measure; prints figures, fails on none
	$(BIN)/python -m bench

soak: $(VENV)/dev ## Five minutes of load and faults; SOAK_S=60 makes it shorter
	$(BIN)/python -m bench.soak $(if $(SOAK_S),--seconds $(SOAK_S),)

generate: $(VENV)/dev ## Write .env.example and the tables in docs/ anew
	$(BIN)/python docs/generate.py

lock: $(VENV)/dev ## Resolve the dependencies anew
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --output-file requirements-dev.lock --constraint requirements.lock

clean: ## Remove what can be made anew (not .env, not .data)
	rm -rf $(VENV) .cache .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
