# Two commands do everything: `make demo` and `make test`. Both need Python 3.11+ and pip, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The command ends when make ends, even if make is killed.
TIED := $(BIN)/python producer/local/tied.py
# Most tests wait for other processes, so three run at the same time on two cores; see tests/support/scheduling.py.
PYTEST := $(TIED) $(BIN)/pytest -n 3

.DEFAULT_GOAL := help
.PHONY: help demo up test lint chaos soak bench fuzz clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED) ## Run the whole job once, on servers that are started for it
	@$(BIN)/clipqueue demo

up: $(INSTALLED) ## Start Redis, MongoDB and a worker here, and keep them running
	@$(BIN)/clipqueue up

test: lint ## Lint, check types and run the tests, without those of `make chaos`
	@$(PYTEST) -m 'not chaos'

lint: $(INSTALLED) ## Lint and check types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

chaos: $(INSTALLED) ## Run the slow scenarios that kill and freeze servers and workers, which `make test` leaves out
	@$(PYTEST) -m chaos

soak: $(INSTALLED) ## Inject random faults for MINUTES (5) with SEED (1), and check the result of every job
	@$(TIED) $(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1)

bench: $(INSTALLED) ## Measure speed and memory side by side with references; ONLY=name measures one
	@$(TIED) $(BIN)/python -m tests.bench $(ONLY)

fuzz: $(INSTALLED) ## Fuzz what strangers' input reaches, SECONDS for each of four targets (60)
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "clipqueue needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
