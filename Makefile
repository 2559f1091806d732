# make install | demo | test | test-all | test-cluster | soak | bench | check | audit | ui
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo_project
# Tests run in so many processes.
JOBS ?= 2

.PHONY: install demo test test-all test-cluster cluster-servers soak bench check audit ui clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dp-assets demo --project $(DEMO)

ui: $(STAMP)
	$(BIN)/dp-assets --project $(DEMO) ui

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope

test-all: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope -m 'not cluster'

# Plates arrive for 20 minutes while processes are killed; then everything has to be as in a calm run.
soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak

# What every stage costs, and how close that is to the machine's limits: make bench BENCH="--peer --json FILE"
bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed $(BENCH)

# Several machines: real PostgreSQL, Redis and workers, one of which is killed.
test-cluster: $(STAMP) cluster-servers
	$(BIN)/python -m pytest -m cluster dp_assets_tests/cluster

cluster-servers:
	@missing=""; \
	command -v redis-server > /dev/null || missing=" redis-server"; \
	ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" -ne 0 ]; then \
		echo "test-cluster needs$$missing and you are not root: sudo apt-get install --no-install-recommends$$missing"; exit 1; \
	elif [ -n "$$missing" ]; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	fi

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known weaknesses of everything that is installed; asks PyPI. Strict: what could not be looked up is no pass.
audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,audit]'
	$(BIN)/python -m pip freeze --all --exclude-editable > $(VENV)/installed.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)/installed.txt

clean:
	rm -rf $(VENV) $(DEMO)
