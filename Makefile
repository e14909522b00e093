# make demo   install into .venv, train on synthetic tissue, write a report (5 minutes)
# make reproduce-demo   every paper's chain on synthetic tissue (a quarter of an hour on two cores), then a site of it
# make test   the default test suite        make test-all   the slow tests too
# make lint   ruff, mypy, numpydoc          make bench      speed against the peers
# make docs   the documentation as a site: build/docs/index.html (a minute, no network after the installation)
# make notebooks   execute them for the site (minutes)
# make picture     the README's picture, from the demo, by Chromium
# make dist   wheel and sdist, checked     make extras    the wheel with each extra in an empty environment
# make coverage   lines that the default suite reaches
# make mutants    does a test fail for each small error in the code? ROOM=metrics for one room

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Warnings are errors in the tests, and two processes fill two cores.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo reproduce-demo test test-all lint docs notebooks picture dist extras coverage bench mutants clean

demo: $(VENV)/installed
	$(BIN)/python -m her2scoring.train --stain he --classes 4 --demo

# A failed experiment stops no other, and the site says which: it is written all the same.
reproduce-demo: $(VENV)/installed
	$(BIN)/python -m common.reproduce run --demo; failed=$$?; \
	$(BIN)/python -m common.reproduce site --demo "$(CURDIR)/site-demo" && exit $$failed

test: $(VENV)/installed
	$(PYTEST)

# What happens when is tested on clusters: beside other tests nodes would be too slow.
test-all: $(VENV)/installed
	$(PYTEST) -m "not gpu and not cluster"
	$(BIN)/python -m pytest -m cluster

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd wrn_edge/device && MYPYPATH=../.. $(abspath $(BIN))/mypy --config-file ../../pyproject.toml \
		--cache-dir ../../.mypy_cache --explicit-package-bases *.py
	$(BIN)/numpydoc lint $$(git ls-files '*.py' ':!tests' ':!benchmarks')

docs: $(VENV)/installed-docs
	$(BIN)/python docs/site/documents.py build/docs

notebooks: $(VENV)/installed
	$(BIN)/python docs/site/headers.py
	$(BIN)/python -m pytest -m "" tests/test_notebooks.py

dist: $(VENV)/installed
	$(BIN)/python -m pip install --quiet "build>=1.2" "twine>=6"
	rm -rf dist build/lib
	$(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/python -m twine check --strict dist/*

extras: dist
	$(BIN)/python -m tests.extras dist/*.whl $(EXTRAS)

picture: demo
	$(BIN)/python docs/site/picture.py runs/her2scoring/SYNTHETIC-demo-??????????/report.html docs/report.png

# Commands that tests start count, too.
coverage: $(VENV)/installed
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# A benchmark that misses a target ends with 1; the others run all the same.
BENCHMARKS := start_up commands one_run report_drawing input_path cold_cache leakage everyday_costs dense_shortcuts gan_step demos

bench: $(VENV)/installed
	@missed=0; \
	for each in $(BENCHMARKS); do \
		echo "== $$each"; $(BIN)/python -m benchmarks.$$each || missed=1; \
	done; \
	if [ -n "$$HISTOPAPERS_TEST_DATA" ]; then \
		echo "== stain"; \
		$(BIN)/python -m benchmarks.stain --data-dir "$$HISTOPAPERS_TEST_DATA/data/breakhis_100x" \
			|| missed=1; \
	else echo "stain: skipped, HISTOPAPERS_TEST_DATA names no real images"; fi; \
	exit $$missed

# Every room, or the one that ROOM names; each ends with PASS or MISS.
mutants: $(VENV)/installed
	$(BIN)/python -m tests.mutants $(ROOM)

$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "histopapers needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
# compat: a data folder named like a package, in the folder where a command is given, hides nothing.
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable ".[test]"
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
