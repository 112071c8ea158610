# make demo             ingest, search and locate the postcards that the package draws
# make demo PHOTOS=DIR  the same with your own geotagged photos
# make test             everything that CI runs
# make bench            side by side with the peers, into docs/benchmarks.md; an hour and a half
# make bench SCALE=1    the same at full size, hours
# make bench SCALE=0.01 a trial of it, into no page
PYTHON ?= python3
PEERS_PYTHON ?= $(PYTHON)
SCALE ?=
VENV := .venv
BIN := $(VENV)/bin

PEERS := build/peers-venv

.PHONY: demo test bench check install clean

demo: install
	$(BIN)/geosearch demo --output demo $(if $(PHOTOS),"$(PHOTOS)")

test: check
	$(BIN)/pytest

# Peers pin packages that GeoSearch has newer, so they get an environment of their own.
bench: install $(PEERS)/installed
	PYTHONPATH=benchmarks $(BIN)/python -m peers --peers-python $(PEERS)/bin/python \
		$(if $(SCALE),--scale $(SCALE)) $(if $(filter-out 1,$(SCALE)),,--page docs/benchmarks.md) $(if $(FEATURES),--features "$(FEATURES)") \
		$(if $(ROWS),--rows $(ROWS))

$(PEERS)/installed: benchmarks/peers/requirements.txt
	$(PEERS_PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or sys.exit("clip-retrieval needs Python 3.11 or 3.12; run make bench PEERS_PYTHON=python3.12")'
	$(PEERS_PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade pip
	$(PEERS)/bin/python -m pip install --quiet -r benchmarks/peers/requirements.txt
	touch $@

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
