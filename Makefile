# Everything a person or CI types. `make matmul` and `make test` set up what they need.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.npukbuild-base
STAMP_DEV := $(VENV)/.npukbuild-dev
M ?= 64
K ?= 64
N ?= 512
ARGS ?=

.PHONY: help setup matmul test test-slow lint bench nightly docs clean distclean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make the virtual environment

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "npukbuild needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)"; \
	  echo "hint: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 14; } >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "hint: on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 14; } >&2
	@echo "setting up $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMP_DEV): $(STAMP)
	@echo "adding the test tools to $(VENV) (once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

matmul: $(STAMP) ## build and check a matmul: make matmul M=64 N=512 [K=64]
	@$(BIN)/npukbuild matmul --m $(M) --k $(K) --n $(N) $(ARGS)

test: $(STAMP_DEV) ## run the quick tests
	@$(BIN)/python -m pytest -m "not slow" -n 2 -q $(ARGS)

test-slow: $(STAMP_DEV) ## run the slow tests
	@$(BIN)/python -m pytest -m slow -n 2 -q $(ARGS)

lint: $(STAMP_DEV) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP_DEV) ## ratios against named baselines
	@$(BIN)/python -m benchmarks $(ARGS)

nightly: $(STAMP) ## build, check, time and publish examples/kernels.toml
	@$(BIN)/npukbuild nightly examples/kernels.toml --make-key $(ARGS)

clean: ## remove build results
	rm -rf build dist

distclean: clean ## remove the virtual environment too
	rm -rf $(VENV)
