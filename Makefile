# make demo         install, run the demo workflow, say where its report lies
# make install      install the pinned packages into .venv
# make test         install, run all tests
# make test-faults  install, kill jobs of every stage KILLS times, stop commands, damage files
# make browser      install Chromium where there is no browser and apt-get can, for the tests of the report
# make test-report  the same, and test the report in it
# make test-slurm   install, run a tiny run through a real SLURM, for which it needs root and apt-get
# make docs         install, build the documentation into site/
# make check        install, run formatters, linters, the type checker and the prose check, build the documentation
PYTHON ?= python3
VENV ?= .venv
KILLS ?= 50
SEED ?= 0
BIN := $(CURDIR)/$(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint envs/constraints.txt
# Commands of the environment come first, whether or not it is activated.
IN_VENV := PATH="$(BIN):$$PATH"
# Not --quiet: with it MkDocs counts no warnings, and mkdocs.yml wants every one to be an error.
MKDOCS := $(IN_VENV) NO_MKDOCS_2_WARNING=1 mkdocs build

.PHONY: install demo test browser test-faults test-report test-slurm docs check reference clean

install: $(VENV)/.installed

demo: $(VENV)/.installed
	$(IN_VENV) snakemake --cores all
	@echo
	@echo "The report lies in $(CURDIR)/results/demo/report.html"

test: $(VENV)/.installed-dev
	$(IN_VENV) OMP_NUM_THREADS=1 python -m pytest tests/unit tests/workflow --numprocesses auto
	$(IN_VENV) python -m pytest tests/end_to_end tests/browser

browser:
	@test -n "$$CALVARIA_CHROMIUM" || command -v chromium || command -v chromium-browser || \
	  command -v google-chrome || \
	  { apt-get update && apt-get install --yes --no-install-recommends chromium; } || \
	  { echo "Install Chromium as root, or set CALVARIA_CHROMIUM to a browser, and try again."; exit 1; }

test-report: $(VENV)/.installed-dev browser
	$(IN_VENV) python -m pytest tests/browser

test-faults: $(VENV)/.installed-dev
	$(IN_VENV) CALVARIA_KILLS=$(KILLS) CALVARIA_SEED=$(SEED) python -m pytest tests/faults --capture=no

test-slurm: $(VENV)/.installed-slurm
	$(IN_VENV) python -m pytest -rs tests/slurm

docs: $(VENV)/.installed-dev
	$(MKDOCS)
	@echo "The documentation lies in $(CURDIR)/site/index.html"

check: $(VENV)/.installed-dev
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) snakefmt --check Snakefile workflow
	$(IN_VENV) mypy
	$(IN_VENV) python -m pytest --quiet tests/unit/test_prose.py
	$(IN_VENV) snakemake --lint
	$(MKDOCS) --site-dir $(VENV)/site

reference: $(VENV)/.installed
	$(IN_VENV) python -m calvaria.cli.reference

$(VENV)/.installed: pyproject.toml envs/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "calvaria needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned packages into $(VENV); this takes a few minutes once."
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[dev,docs,interop]"
	@touch $@

$(VENV)/.installed-slurm: $(VENV)/.installed-dev
	$(PIP) --editable ".[dev,docs,slurm]"
	@touch $@

clean:
	rm -rf $(VENV) .snakemake results site
