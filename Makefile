# Everything runs in .venv; nothing but Python 3.11 or newer and the package registries is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROGRAMS := producers stream-processors trainer api infra

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke up down status test lint types web web-types screenshots format chaos chaos-modes matrix fuzz bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make the environment, once

# The lock is complete. Asked for dependencies, pip weighs releases newer than the locked ones too,
# and stops where one has no hash.
$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Tickrec needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## start the whole stack here, with simulated quotes and events, until Ctrl-C
	@$(BIN)/python -m infra.local demo

smoke: $(READY) ## start the whole stack, check every endpoint, stop it
	@$(BIN)/python -m infra.local smoke

up: $(READY) ## start the whole stack in the background
	@$(BIN)/python -m infra.local up

status: $(READY) ## show what runs
	@$(BIN)/python -m infra.local status

down: $(READY) ## stop what `make up` started
	@$(BIN)/python -m infra.local down

# Most tests wait for servers most of the time: three processes keep two cores busy.
test: $(READY) ## run all tests, against real servers
	@$(BIN)/python -m pytest --numprocesses 3

lint: $(READY) ## ruff and the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

# For developers of the page: Node checks its types. Nothing that runs needs it.
web: $(READY) ## check the types of the page, if Node is here
	@if command -v npm > /dev/null; then \
		npm --prefix web ci --silent --no-audit --no-fund && npm --prefix web run --silent check; \
	else echo "skipped: there is no npm"; fi

web-types: $(READY) ## make the page's types of the API anew
	@npm --prefix web ci --silent --no-audit --no-fund
	@$(BIN)/python -m tests.web.api_types

screenshots: $(READY) ## take each view of the page into docs/images, in both themes
	@$(BIN)/python -m tests.web.screenshots

format: $(READY) ## let ruff format and fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

chaos: $(READY) ## kill, stop and cut off what runs, SEEDS times 50 faults, and compare every count
	@$(BIN)/python -m tests.chaos --seeds $(or $(SEEDS),1)

chaos-modes: $(READY) ## the same in every mode: affinity, user weight, store and its durability
	@$(BIN)/python -m tests.chaos --seeds $(or $(SEEDS),1) --faults 11 --modes

matrix: $(READY) ## run every value of every setting on a started stack
	@TICKREC_TEST_MATRIX=all $(BIN)/python -m pytest tests/settings

fuzz: $(READY) ## put requests of every kind to the API, CASES of them (SEED=...)
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),10000) $(if $(SEED),--seed $(SEED))

bench: $(READY) ## measure against the baselines
	@$(BIN)/python -m benchmarks bars

# uv only compiles the lock files; nobody else needs it.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" pyproject.toml
lock: ## compile the lock files from pyproject.toml
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet uv; }
	@$(COMPILE) --all-extras --output-file requirements-dev.lock
	@for program in $(PROGRAMS); do \
		$(COMPILE) --extra $$program --constraint requirements-dev.lock \
			--output-file requirements-$$program.lock || exit 1; \
	done

clean: ## remove the environment and what was built
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
