# `make demo` shows it working. `make test` runs all tests except the chaos tests. Both need Python 3.11 or newer and pip.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# The demo needs far less than development does; both install into the same environment.
DEMO_INSTALLED := $(VENV)/.installed-demo
DEV_INSTALLED := $(VENV)/.installed-dev
# The packages of the JavaScript tests. Without Node they are skipped, and make tries again the next time.
NODE_INSTALLED := $(VENV)/node/done
# The command ends when make ends, even if make is killed.
TIED := $(BIN)/python producer/local/tied.py
# Most tests wait for other processes, so more run at the same time than there are cores; see tests/support/scheduling.py.
PYTEST := $(TIED) $(BIN)/pytest
PACKAGES := broker fetch decode encode store queries lifecycle telemetry selftest contract client documents operations search webhooks api cli local top js

.DEFAULT_GOAL := help
.PHONY: help demo up test check lint chaos soak bench fuzz docs image-check lock canary clean $(PACKAGES)

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

demo: $(DEMO_INSTALLED) ## Start local servers and a worker, embed 100 sample images, search them, stop everything
	@$(TIED) $(BIN)/clipqueue demo

up: $(DEMO_INSTALLED) ## Start Redis, MongoDB, a worker and the API here, and keep them running
	@$(TIED) $(BIN)/clipqueue up

test: lint $(NODE_INSTALLED) ## Lint, check types and run the tests, without those of `make chaos`
	@$(PYTEST) -n 4 -m 'not chaos'

check: $(DEV_INSTALLED) ## Lint, check types and test one package: make check fetch, or FILE=worker/fetch/dns.py
	@$(BIN)/python -m tests.check $(FILE) $(filter $(PACKAGES),$(MAKECMDGOALS))

$(PACKAGES): # arguments of `make check`
	@test -n '$(filter check,$(MAKECMDGOALS))' || { echo "use: make check $@"; exit 2; }

lint: $(DEV_INSTALLED) ## Lint and check types only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

chaos: $(DEV_INSTALLED) ## Run the slow scenarios that kill and freeze servers and workers, which `make test` leaves out
	@$(PYTEST) -n 3 -m chaos

soak: $(DEV_INSTALLED) ## Inject random faults for MINUTES (5) with SEED (1), and check the result of every job
	@$(TIED) $(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1)

bench: $(DEV_INSTALLED) ## Measure speed and memory side by side with references; ONLY=name measures one
	@$(TIED) $(BIN)/python -m tests.bench $(ONLY)

fuzz: $(DEV_INSTALLED) ## Fuzz the code that parses untrusted input: SECONDS (60) for each of four targets
	@$(TIED) $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60)

docs: $(NODE_INSTALLED) ## Regenerate the generated parts of docs: settings, diagram, demo, pages, dashboard, tables
	@$(BIN)/python -m tests.support.settings_page
	@$(BIN)/python -m tests.support.draw_flow
	@$(BIN)/python -m tests.support.record_demo
	@$(BIN)/python -m tests.support.draw_page
	@$(BIN)/python -m tests.support.draw_top
	@$(BIN)/python -m tests.support.runtimes
	@$(BIN)/python -m tests.monitoring.dashboard
	@$(BIN)/python -m tests.monitoring.page
	@$(BIN)/python -m tests.bench.results

image-check: $(DEV_INSTALLED) ## Build the images with a Docker engine, look into them and run them; ONLY=sweep takes one
	@$(TIED) $(BIN)/python -m tests.support.image_check $(ONLY)

lock: $(DEV_INSTALLED) ## Write requirements.lock, the versions that the image installs, from what is installed here
	@$(BIN)/python -m tests.support.lock
	@touch $(DEV_INSTALLED)

canary: $(DEV_INSTALLED) ## Test what uses private parts of libraries with their newest versions, in an environment of its own
	@$(TIED) $(BIN)/python -m tests.canary

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .canary .pytest_cache .mypy_cache .ruff_cache *.egg-info

$(DEMO_INSTALLED): pyproject.toml | $(BIN)/python
	$(install_torch)
	$(PIP) install --editable '.[local]'
	@touch $@

$(DEV_INSTALLED): pyproject.toml requirements.lock | $(BIN)/python
	$(install_torch)
	$(PIP) install --constraint requirements.lock --editable '.[dev]'
	@touch $@

$(NODE_INSTALLED): tests/support/node/package-lock.json $(DEV_INSTALLED)
	@$(BIN)/python -m tests.support.node_packages

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "clipqueue needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# On Linux x86-64 pip's default index has only the CUDA build of PyTorch. TORCH_INDEX_URL names another index, such as
# https://download.pytorch.org/whl/cpu, which the Dockerfile has by default. What PyTorch needs comes from pip's own index.
define install_torch
$(if $(TORCH_INDEX_URL),$(PIP) install --no-deps --constraint requirements.lock --index-url $(TORCH_INDEX_URL) torch torchvision,@:)
endef
