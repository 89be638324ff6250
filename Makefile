# Everything runs in .venv; only Python 3.11 or newer and the package registries are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROGRAMS := producers stream-processors trainer api archive operations
# These can read the archive; their locks and images with the packages for it end in `-archive`.
READERS := producers api operations
# With those for topics of a company's own, the producers' are `producers-adapt`.

.DEFAULT_GOAL := help
.PHONY: help setup demo smoke up down status test test-slow spark lint types workflows sbom docs web screenshots format chaos chaos-modes fuzz bench evaluation compose-check terraform-check lock clean

help: # list the targets of every day; CONTRIBUTING.md and docs/ describe the others
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "CONTRIBUTING.md describes these and the other targets."

# Stacks and tests start hundreds of programs: none recompiles what the first one imported.
unexport PYTHONDONTWRITEBYTECODE

setup: $(READY) ## make the environment, once

# A lock is complete. Resolving dependencies, pip also considers releases newer than the locked
# ones, and fails where one has no hash.
LOCKED := --no-deps --require-hashes --requirement
EDITABLE := --no-deps --no-build-isolation --editable . --editable clients/python
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

# uv does in seconds what takes pip over a minute. It does not read pip's settings, so it is given
# pip's index; if it cannot install from there, pip does.
PIPS_INDEX = index=$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2> /dev/null)}; \
	export UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$$index};
$(READY): requirements-dev.lock requirements-uv.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Tickrec needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@echo "making $(VENV) with $(PYTHON), once: uv, then $$(grep -c '^[a-z].*==' requirements-dev.lock) packages ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIPS_INDEX) \
	$(PIP) --only-binary :all: $(LOCKED) requirements-uv.lock && echo "uv is there; packages ..." \
		&& $(UV) $(LOCKED) requirements-dev.lock && $(UV) $(EDITABLE) \
		|| { echo "uv cannot install this here, so pip does: it takes a minute or two"; \
			$(PIP) $(LOCKED) requirements-dev.lock && $(PIP) $(EDITABLE); }
	@touch $@
	@echo "$(VENV) is ready"

demo: $(READY) ## run the whole stack locally, with simulated quotes and events, until Ctrl-C
	@$(BIN)/python -m infra.local demo

smoke: $(READY) ## start the whole stack, check every endpoint, stop it
	@$(BIN)/python -m infra.local smoke

# Programs would read ARCHIVE as one of their settings.
unexport ARCHIVE
up: $(READY) ## start the whole stack in the background; options: SIMULATE=no, BROKER=kafka or own, ARCHIVE=yes
	@$(BIN)/python -m infra.local up $(if $(BROKER),--broker $(BROKER)) \
		$(if $(SIMULATE),$(if $(filter no,$(SIMULATE)),--no-simulate,--simulate)) \
		$(if $(filter yes,$(ARCHIVE)),--archive)

status: $(READY) ## show the running processes, and the settings for commands of your own
	@$(BIN)/python -m infra.local status

down: $(READY) ## stop what `make up` started; its data stay
	@$(BIN)/python -m infra.local down

# Tests mostly wait for servers: five processes keep two cores busy.
test: $(READY) ## run the tests, against real servers
	@$(BIN)/python -m pytest --numprocesses 5

test-slow: $(READY) # run the slow tests: whole stacks, the browser, kills, outages, all examples
	@$(BIN)/python -m pytest --numprocesses 2 --hypothesis-profile full \
		-m '$(or $(MARKED),slow or stack or hypothesis)'

# Spark is 500 MB and needs Java 17, so it gets a separate environment.
SPARK := build/spark
$(SPARK)/.ready: private UV := $(BIN)/uv pip install --quiet --python $(SPARK)/bin/python
$(SPARK)/.ready: requirements-spark.lock $(READY)
	$(PYTHON) -m venv $(SPARK)
	@$(PIPS_INDEX) \
	$(UV) $(LOCKED) requirements-dev.lock --requirement requirements-spark.lock \
		&& $(UV) $(EDITABLE)
	@touch $@

spark: $(SPARK)/.ready # train and maintain the archive on Spark, as all its tests do, in an environment of its own
	@$(SPARK)/bin/python -m pytest -m 'slow or not slow' tests/trainer/spark
	@# In a process of its own: Iceberg's jars have to be there when Spark's JVM starts.
	@$(SPARK)/bin/python -m pytest -m 'slow or not slow' tests/archive/test_other_engines.py

lint: $(READY) workflows ## check code, import rules, prose, workflows and each room's lines
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@git ls-files -z | xargs -0 $(BIN)/codespell
	@$(BIN)/python -m tests.docs.line_budgets

# On PyPI actionlint is only a downloader, so Go builds it. zizmor's other checks query GitHub.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
workflows: $(READY) # actionlint, if Go is installed, and zizmor
	@if command -v go > /dev/null; then go run $(ACTIONLINT); \
	else echo "actionlint is skipped: Go is not installed"; fi
	@$(BIN)/zizmor --offline --quiet --persona pedantic .github

LOCKS := $(wildcard requirements-*.lock)
SBOM := build/sbom
sbom: $(READY) # write a bill of materials (CycloneDX) of each lock to build/sbom
	@mkdir -p $(SBOM)
	@for lock in $(LOCKS); do \
		PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements $$lock --pyproject pyproject.toml \
			--output-reproducible --output-file $(SBOM)/$${lock%.lock}.cdx.json || exit 1; \
	done

types: $(READY) ## check types with mypy
	@$(BIN)/mypy

docs: $(READY) # write docs/settings.md and the Python client, and build the documentation's site in build/site
	@$(BIN)/python -m tests.docs.settings_page
	@$(BIN)/python -m tests.docs.client_code
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# For developers of the page: Node makes the types of the API's answers, and checks all types with
# them. It is not needed at run time.
OPENAPI := import json; from api.app import create_app; from api.settings import ApiSettings; \
	print(json.dumps(create_app(ApiSettings()).openapi()))
web: $(READY) # check the types of the page, if Node is installed
	@mkdir -p build
	@if command -v npm > /dev/null; then \
		$(BIN)/python -c '$(OPENAPI)' > build/openapi.json \
			&& npm --prefix web ci --silent --no-audit --no-fund && npm --prefix web run --silent check; \
	else echo "skipped: npm is not installed"; fi

screenshots: $(READY) # take each view of the page into docs/images, in both themes
	@$(BIN)/python -m tests.web.screenshots

format: $(READY) ## format and fix with ruff
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

chaos: $(READY) # inject SEEDS times 50 faults, and compare every count
	@$(BIN)/python -m tests.chaos --seeds $(or $(SEEDS),1)

chaos-modes: $(READY) # the same in every mode: affinity, user weight, store and its durability
	@$(BIN)/python -m tests.chaos --seeds $(or $(SEEDS),1) --faults 11 --modes

fuzz: $(READY) # send the API requests of all kinds, CASES of them (SEED=...)
	@FUZZ_CASES=$(or $(CASES),10000) FUZZ_EXAMPLES=200 $(if $(SEED),FUZZ_SEED=$(SEED)) \
		$(BIN)/python -m pytest -s -m "" tests/fuzz

bench: $(READY) ## measure against the baselines
	@$(BIN)/python -m benchmarks bars

# DVC and checkov have 100 dependencies each, some older than ours.
build/%/.ready: private UV = $(BIN)/uv pip install --quiet --python build/$*/bin/python
build/%/.ready: requirements-%.lock $(READY)
	$(PYTHON) -m venv build/$*
	@$(PIPS_INDEX) \
	$(UV) $(LOCKED) requirements-$*.lock
	@touch $@

evaluation: build/dvc/.ready # repeat the changed stages of the evaluation in trainer/versions, by DVC
	@cd trainer/versions && PATH=$(abspath $(BIN)):$$PATH $(abspath build/dvc)/bin/dvc repro

compose-check: $(READY) # test docker-compose.yml on the engine of DOCKER_HOST: answers, kills, the log recomputed; needs Docker
	@$(BIN)/python -m tests.compose_check

TOFU := tofu -chdir=infra/terraform
terraform-check: build/checkov/.ready # check infra/terraform with OpenTofu and checkov; needs OpenTofu
	@$(TOFU) fmt -check -recursive -diff
	@$(TOFU) init -backend=false -input=false
	@$(TOFU) validate
	@$(TOFU) test
	@build/checkov/bin/checkov --framework terraform --skip-download --quiet --compact --directory infra/terraform

# Does not depend on $(READY), which would install the old locks first.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock"
# The archive works without the extra that checks it, but its image includes it.
lock: # compile the lock files from pyproject.toml
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(PIP) $(LOCKED) requirements-uv.lock; }
	@$(COMPILE) --group uv --output-file requirements-uv.lock
	@$(COMPILE) --group dvc --output-file requirements-dvc.lock
	@$(COMPILE) --group checkov --output-file requirements-checkov.lock
	@$(COMPILE) pyproject.toml $(foreach extra,$(PROGRAMS) adapt replay sessions quality local dev,--extra $(extra)) \
		--output-file requirements-dev.lock
	@for program in $(PROGRAMS) $(READERS:%=%-archive) producers-adapt; do \
		case $$program in \
			api-archive) more="--extra archive --extra sessions";; \
			*-adapt) more="--extra adapt";; \
			*-archive) more="--extra archive --extra replay";; \
			archive) more="--extra quality";; \
			*) more=;; \
		esac; \
		extra=$${program%-archive}; \
		$(COMPILE) pyproject.toml --extra $${extra%-adapt} $$more \
			--constraint requirements-dev.lock --output-file requirements-$$program.lock || exit 1; \
	done
	@$(COMPILE) pyproject.toml --extra trainer --extra archive --extra spark --extra quality \
		--constraint requirements-dev.lock --output-file requirements-spark.lock

clean: # stop what `make up` started; remove its data, the environment and what was built
	@test ! -e .tickrec/up || $(BIN)/python -m infra.local down
	@rm -rf .tickrec $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
