# `make demo` and `make test` set up what they need in .venv; nothing has to be installed first.
PYTHON ?= python3
VENV := .venv
DENET := $(VENV)/bin/denet

.PHONY: demo test lint bench clean

demo: $(VENV)/.train
	mkdir -p demo
	$(DENET) init demo/model.safetensors --force
	$(DENET) export demo/model.safetensors --out demo/model.denet --force
	$(DENET) inspect demo/model.denet --state rgb+tir
	$(DENET) embed demo/model.denet docs/samples --every-state --out demo/embeddings.npz

test: lint
	$(VENV)/bin/python -m pytest --cov $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.train
	$(VENV)/bin/python benchmarks/composed.py

$(VENV)/.train $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
