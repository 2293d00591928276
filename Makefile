.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= sweeps/configs/glyphs.yaml
READY := $(VENV)/.ready

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# uv makes the environment in seconds and shares files with its cache; pip brings uv. Bytecode is compiled now, once, and not
# by each of the many processes that a sweep starts.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $@

sweep: $(READY) ## the main job: search on the embedded data, final evaluation, MLflow
	$(BIN)/fpt sweep $(CONFIG)

ui: $(READY) ## browse the results in MLflow, on this machine only
	$(BIN)/fpt ui $(CONFIG)

test: $(READY) ## the tests, some minutes
	$(BIN)/pytest -m "not slow"

test-all: $(READY) ## the slow tests too
	$(BIN)/pytest

check: $(READY) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## episodes a second on one worker, and the share of what matrix products alone would allow
	$(BIN)/fpt bench $(CONFIG)

constraints: $(READY) ## pin the newest versions that pyproject allows
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra dev --no-header --no-annotate --no-emit-index-url -o constraints.txt

clean: ## remove the environment; results under runs/ stay
	rm -rf $(VENV)

.PHONY: help sweep ui test test-all check bench constraints clean
