# `make demo` and `make test` set up what they need in .venv; nothing has to be installed first.
PYTHON ?= python3
VENV := .venv
DENET := $(VENV)/bin/denet

.PHONY: demo test lint bench clean

# A second call finishes what the first one left: the set is kept, and the run resumes.
demo: $(VENV)/.train
	mkdir -p demo
	test -d demo/synthetic || $(DENET) synth demo/synthetic --identities 200 --shots 2
	$(DENET) init demo/untrained.safetensors --preset small --force
	$(DENET) train demo/synthetic --out demo/run --preset small --resume
	$(DENET) export demo/run/best.safetensors --out demo/best.denet --force
	$(DENET) inspect demo/best.denet --state rgb+tir
	$(DENET) embed demo/best.denet docs/samples --every-state --out demo/embeddings.npz
	$(DENET) report demo/synthetic demo/untrained.safetensors demo/run/best.safetensors demo/best.denet --out demo/report.html --force
	$(DENET) calibrate demo/best.denet demo/synthetic --report demo/calibration.html --force
	$(DENET) slim demo/best.denet --out demo/node.denet --force

test: lint
	$(VENV)/bin/python -m pytest --cov $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.train
	$(VENV)/bin/python benchmarks/composed.py
	$(VENV)/bin/python benchmarks/training.py

$(VENV)/.train $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
