# make install | demo | test | test-all | test-cluster | check | ui | bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo_project

.PHONY: install demo test test-all test-cluster cluster-servers check ui clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dp-assets demo --project $(DEMO)

ui: $(STAMP)
	$(BIN)/dp-assets --project $(DEMO) ui

test: $(STAMP)
	$(BIN)/python -m pytest

test-all: $(STAMP)
	$(BIN)/python -m pytest -m 'not cluster'

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

clean:
	rm -rf $(VENV) $(DEMO)
