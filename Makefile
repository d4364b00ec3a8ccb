# `make demo` shows it working and `make test` runs every test. Both need Python 3.11 or newer and pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The demo needs far less than development does; both install into the same environment.
DEMO_INSTALLED := $(VENV)/.installed-demo
DEV_INSTALLED := $(VENV)/.installed-dev
ROOMS := broker fetch decode encode store lifecycle contract client documents operations cli local

.DEFAULT_GOAL := help
.PHONY: help demo up test check lint chaos bench fuzz docs clean $(ROOMS)

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(DEMO_INSTALLED) ## Start local servers and a worker, embed 100 sample images, search them, stop everything
	@$(BIN)/clipqueue demo

up: $(DEMO_INSTALLED) ## Start Redis, MongoDB and a worker here, and keep them running
	@$(BIN)/clipqueue up

test: lint ## Lint, check types and run every test
	@$(BIN)/pytest -n 3 --dist loadfile  # most tests wait for processes, so that two cores serve three

check: $(DEV_INSTALLED) ## Lint, check types and test one room: make check fetch, or FILE=worker/fetch/dns.py
	@$(BIN)/python -m tests.check $(FILE) $(filter $(ROOMS),$(MAKECMDGOALS))

$(ROOMS): # arguments of `make check`
	@test -n '$(filter check,$(MAKECMDGOALS))' || { echo "use: make check $@"; exit 2; }

lint: $(DEV_INSTALLED) ## Lint and check types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

chaos: $(DEV_INSTALLED) ## Kill, freeze and fill up servers and workers at random for MINUTES (5), and account for every job
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1)

bench: $(DEV_INSTALLED) ## Measure speed and memory side by side with references; ONLY=name measures one
	@$(BIN)/python -m tests.bench $(ONLY)

fuzz: $(DEV_INSTALLED) ## Fuzz the code that parses untrusted input: SECONDS (60) for each of four targets
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

docs: $(DEV_INSTALLED) ## Make the generated parts of docs again: settings, diagram, demo, benchmark table
	@$(BIN)/python -m tests.support.settings_page
	@$(BIN)/python -m tests.support.draw_flow
	@$(BIN)/python -m tests.support.record_demo
	@$(BIN)/python -m tests.bench.results

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info

$(DEMO_INSTALLED): pyproject.toml | $(BIN)/python
	$(install_torch)
	$(PIP) install --editable '.[local]'
	@touch $@

$(DEV_INSTALLED): pyproject.toml | $(BIN)/python
	$(install_torch)
	$(PIP) install --editable '.[dev]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "clipqueue needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# On Linux x86-64 pip's default index has only the CUDA build of PyTorch. TORCH_INDEX_URL names a smaller one, such as
# the CPU index on PyTorch's install page; the Dockerfile has the same variable.
define install_torch
$(if $(TORCH_INDEX_URL),$(PIP) install --index-url $(TORCH_INDEX_URL) torch torchvision,@:)
endef
