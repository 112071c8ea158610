# make demo             ingest, search and locate the postcards that the package draws
# make demo PHOTOS=DIR  the same with your own geotagged photos
# make test             everything that CI runs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check install clean

demo: install
	$(BIN)/geosearch demo --output demo $(if $(PHOTOS),"$(PHOTOS)")

test: check
	$(BIN)/pytest

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/installed

# pip decides what is missing; the stamp keeps it from being asked when nothing changed.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("GeoSearch needs Python 3.11 or newer; run make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
