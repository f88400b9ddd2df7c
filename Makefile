# make demo    install, and make a release on this machine, with Airflow and a small Commons
# make ui      keep both running, for a browser
# make test    the tests        make check    lint and types        make test JOBS=1    one at a time, not two
# make test-cluster  the tests of a deployment: Postgres, S3, Airflow, a Dask cluster; needs Postgres' programs
# make stop    stop what a killed demo or ui left behind
# make spark-env  an environment for the test with PySpark, which needs Java
# make audit   known vulnerabilities of what the lock pins (needs the internet)
# make sbom    what the images are made of, as CycloneDX: build/sbom.json
# make clean   remove what make made: .venv, .airflow, build and the demo's store

VENV := .venv
PYTHON := $(VENV)/bin/python
SYSTEM_PYTHON ?= $(shell command -v python3.11 || command -v python3)
# uv does not read pip's configuration; pip, which does, is the way where uv finds no index.
FIND_LINKS := $(if $(PIP_FIND_LINKS),$(addprefix --find-links ,$(PIP_FIND_LINKS)))
INSTALLED := $(VENV)/.installed
AUDIT := pip-audit==2.10.1
CYCLONEDX := cyclonedx-bom==7.5.0
PINS := requirements.lock docker/requirements-worker.txt
SBOM ?= build/sbom.json
SPARK := pyspark==4.3.0 pillow==13.0.0

# Airflow and Dask start many processes; without compiled modules each of them takes twice as long to begin.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for processes, so two run at a time.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-cluster check format stop airflow-env spark-env audit sbom clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: $(INSTALLED)

$(VENV)/bin/uv:
	@test -n "$(SYSTEM_PYTHON)" || { echo "Python 3.11 is needed: https://www.python.org/downloads/" >&2; exit 1; }
	@$(SYSTEM_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and f"Python 3.11 is needed, {sys.executable} is {sys.version.split()[0]}; name yours: make SYSTEM_PYTHON=…")'
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install -qq uv

$(INSTALLED): requirements.lock pyproject.toml $(VENV)/bin/uv
	$(VENV)/bin/uv pip install --quiet --python $(PYTHON) $(FIND_LINKS) -r requirements.lock \
	|| $(PYTHON) -m pip install -qq -r requirements.lock
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED)
	@$(PYTHON) -m pipelines.demo.run demo

ui: $(INSTALLED)
	@$(PYTHON) -m pipelines.demo.run ui

stop: $(INSTALLED)
	@$(PYTHON) -m pipelines.demo.run stop

airflow-env: $(INSTALLED)
	@$(PYTHON) -m pipelines.demo.run environment

spark-env: build/spark/.installed

# Not in the lock: Great Expectations imports PySpark, slowly, wherever it finds it.
build/spark/.installed: $(INSTALLED)
	@$(PYTHON) -m venv --clear build/spark
	@$(VENV)/bin/uv pip install --quiet --python build/spark/bin/python $(FIND_LINKS) $(SPARK) \
	|| build/spark/bin/python -m pip install -qq $(SPARK)
	@touch $@

# It knows nothing of our versions and needs none of them: an environment of its own. What it cannot look up fails it.
audit: $(INSTALLED)
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv --clear build/audit && build/audit/bin/python -m pip install -qq $(AUDIT); }
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off $(addprefix --requirement ,$(PINS)) \
	|| { echo "audit: not passed. Either a vulnerability is listed above, or a package could not be looked up, for which" \
	  "the database of vulnerabilities must be reachable: then nothing is known." >&2; exit 1; }

# An environment of its own, too: what it brings makes jsonschema, and so every Airflow process, start three seconds later.
build/sbom-tool/.installed: Makefile $(INSTALLED)
	@$(PYTHON) -m venv --clear build/sbom-tool
	@$(VENV)/bin/uv pip install --quiet --python build/sbom-tool $(FIND_LINKS) $(CYCLONEDX) \
	|| build/sbom-tool/bin/python -m pip install -qq $(CYCLONEDX)
	@touch $@

sbom: build/sbom-tool/.installed
	@mkdir -p $(dir $(SBOM))
	@cat $(PINS) | build/sbom-tool/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --no-validate --output-file $(SBOM) -
	@echo "$(SBOM): everything that the images can hold, and the tests"

test: $(INSTALLED)
	@$(PYTHON) -m pytest $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --no-loadscope-reorder)

test-cluster: $(INSTALLED)
	@$(PYTHON) -m pytest tests/cluster

check: $(INSTALLED)
	@failed=0; \
	$(VENV)/bin/ruff check . || failed=1; \
	$(VENV)/bin/ruff format --check . || failed=1; \
	$(VENV)/bin/mypy || failed=1; \
	exit $$failed

format: $(INSTALLED)
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:
	@if test -f $(INSTALLED) && test -d .airflow; then $(PYTHON) -m pipelines.demo.run stop; fi
	rm -rf $(VENV) .airflow build store/demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
