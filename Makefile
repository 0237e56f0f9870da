# Everything goes through .venv, which the lock fills; nothing is installed anywhere else.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/.ready
# The tests start the command by the hundred: its modules are compiled once, wherever Python may keep them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
SEEDS ?= 25000
START ?= 0
.PHONY: help demo test simulate lint format types rooms dev deploy-files bench lock clean

help:  ## Show what there is
	@$(PYTHON) -c "import re; print(*(f'make {t:12} {h}' for t, h in re.findall(r'^([\w-]+):.*?## (.*)', open('Makefile').read(), re.M)), sep='\n')"

# uv takes a tenth of pip's time, but reads no pip.conf: where packages come from a mirror, pip has its turn.
$(READY): requirements.lock installer.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else 'Python 3.11 to 3.14 is needed, as Dagster does; set PYTHON=...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement installer.lock
	$(BIN)/uv pip install --quiet --cache-dir .venv/.cache --python $(BIN)/python --require-hashes --requirement requirements.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(PYTHON) -c "open('$(READY)', 'w').close()"

demo: $(READY)  ## Set up, then find and put right what lacks in a sandbox
	$(BIN)/ucred demo --folder .demo

test: $(READY)  ## Set up, then run the tests
	$(BIN)/python -m pytest

simulate: $(READY)  ## Play SEEDS schedules in a simulated world over all cores, and switch each rule off
	$(BIN)/python -m ucred_pipeline_tests.simulation run --seeds $(SEEDS) --start $(START) $(if $(FIGURES),--figures $(FIGURES))
	$(BIN)/python -m ucred_pipeline_tests.simulation mutants
	$(BIN)/python -m ucred_pipeline_tests.end_to_end.kills --kills 200

lint: $(READY)  ## Check style, the direction of imports, and the lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## Check types
	$(BIN)/mypy

format: $(READY)  ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dev: $(READY)  ## Start Dagster's UI and daemon, with a history that lasts, on the systems that .env names
	DAGSTER_HOME="$$($(BIN)/python -c 'from ucred_pipeline.orchestration.running import dagster_home as home; print(home())')" \
		$(BIN)/dagster dev --workspace workspace.yaml

deploy-files: $(READY)  ## Make the files for Prometheus, Alertmanager and Grafana anew, in deploy/
	$(BIN)/python -m deploy

bench: $(READY)  ## Measure against what a user would do instead
	$(BIN)/python -m benchmarks

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate --no-strip-extras
lock: $(READY)  ## Resolve requirements.lock anew from pyproject.toml, and installer.lock
	$(COMPILE) --extra postgres --group dev --output-file requirements.lock pyproject.toml
	echo 'uv>=0.9,<1' | $(COMPILE) --output-file installer.lock -

clean:  ## Remove the environment and the demo
	rm -rf .venv .demo
