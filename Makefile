.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= sweeps/configs/glyphs.yaml
ON_ALL_CORES := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder # what a file makes for its tests is made once

help: ## this list; PYTHON=... takes a Python of yours, else the newest here from 3.11 to 3.14, or one that uv brings
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

environment:
	@sh environment.sh $(VENV) $(PYTHON)

sweep: environment ## the main job: search on the embedded data, final evaluation, MLflow
	$(BIN)/fpt sweep $(CONFIG)

ui: environment ## browse the results in MLflow, on this machine only
	$(BIN)/fpt ui $(CONFIG)

# A library that took all cores, in each of the processes that tests run in, would keep the others waiting.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: environment ## the tests, some minutes
	$(BIN)/pytest -m "not slow" $(ON_ALL_CORES)

test-all: environment ## the slow tests too
	$(BIN)/pytest

check: environment ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: environment ## episodes a second on one worker, and the share of what matrix products alone would allow
	$(BIN)/fpt bench $(CONFIG)

constraints: environment ## pin the newest versions that pyproject allows
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 pyproject.toml --extra dev --no-header --no-annotate --no-emit-index-url -o constraints.txt

clean: ## remove the environment; results under runs/ stay
	rm -rf $(VENV)

.PHONY: help environment sweep ui test test-all check bench constraints clean
