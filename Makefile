# `make demo` and `make test` set up what they need in .venv; nothing has to be installed first. What
# they install is in locks/: the same today and next year, on every machine, for every Python from
# 3.10 to 3.13. Another Python beside it: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
DENET := $(VENV)/bin/denet
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
NEWEST := .venv-newest

.PHONY: demo test site experiments fuzz long coverage lint bench gpu lock ranges newest clean

# A second call finishes what the first one left: the set is kept, and the run resumes.
demo: $(VENV)/.train
	mkdir -p demo
	test -d demo/synthetic || $(DENET) synth demo/synthetic --identities 200 --shots 2
	$(DENET) init demo/untrained.safetensors --preset small --force
	$(DENET) train demo/synthetic --out demo/run --preset small --resume
	$(DENET) export demo/run/best.safetensors --out demo/best.denet --test-data demo/synthetic --force
	$(DENET) inspect demo/best.denet --state rgb+tir
	$(DENET) embed demo/best.denet docs/samples --every-state --out demo/embeddings.npz
	$(DENET) report demo/synthetic demo/untrained.safetensors demo/run/best.safetensors demo/best.denet --out demo/report.html --force
	$(DENET) calibrate demo/best.denet demo/synthetic --report demo/calibration.html --force
	$(DENET) slim demo/best.denet --out demo/node.denet --force

# Three at once on two cores: many tests wait for a process, a socket or a clock.
test: lint
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

# 10,000 damaged files for each reader and 200 kills of commands; prints the tables of docs/reliability.md.
fuzz: $(VENV)/.dev
	$(VENV)/bin/python -m tests.fuzz

# What is too long for every submission: every block of the documentation that trains.
long: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -m long $(PYTEST_ARGS)

# The trainings of docs/experiments.md, those first that are asked for: make experiments TABLES=table7
TABLES ?= table7,compositions,table1,table2,table3,table4,table5,table6,literal,fig5,fig6,fig7,fig8,gaps,gaps-steps
EXPERIMENTS := measurements/experiments
comma := ,
METHODS = $(if $(filter table1 table2 table4,$(subst $(comma), ,$(TABLES))),--methods all)
experiments: $(VENV)/.train
	test -d $(EXPERIMENTS)/synthetic || $(DENET) synth $(EXPERIMENTS)/synthetic --identities 200 --shots 2
	$(DENET) experiment $(TABLES) $(EXPERIMENTS)/synthetic --out $(EXPERIMENTS) --preset small --config $(EXPERIMENTS)/recipe.toml --seeds 3 --jobs 2 $(METHODS)

# Takes twice as long as the tests alone: exporting a network is Python that is watched line by line.
coverage: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --cov $(PYTEST_ARGS)

# The documentation as a site, in build/site: needs Python 3.11 or newer.
site: $(VENV)/.dev $(VENV)/.docs
	$(VENV)/bin/python -m sphinx -W --keep-going -q -b html docs build/site
	@echo build/site/index.html

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.train
	$(PIP) install --quiet --editable ".[peers]"
	$(VENV)/bin/python measurements/composed.py
	$(VENV)/bin/python measurements/training.py

# On a machine with an NVIDIA GPU and the headers of CUDA: the whole TensorRT path, from an untrained
# ResNet-50 to docs/gpu-report.md, and the tests marked `gpu`. See docs/gpu.md. What INT8 costs a network that
# knows nothing is no measure, so any budget of accuracy will do.
gpu: $(VENV)/.dev
	$(PIP) install --quiet --editable ".[tensorrt,gpu]"
	mkdir -p gpu
	test -d gpu/synthetic || $(DENET) synth gpu/synthetic --identities 60
	test -f gpu/model.safetensors || $(DENET) init gpu/model.safetensors --preset strong
	test -d gpu/model.denet || $(DENET) export gpu/model.safetensors --out gpu/model.denet --precision int8 --calibration-data gpu/synthetic --target trt --budget 100
	$(VENV)/bin/python -m pytest -m gpu
	$(VENV)/bin/python measurements/gpu.py gpu/model.denet --out docs/gpu-report.md

# Does it still work with the oldest and the newest releases that pyproject.toml allows?
ranges: $(VENV)/.dev
	$(VENV)/bin/python scripts/check_ranges.py

# The suite with the newest releases of the day. A failure is news, not a fault of the checkout.
newest:
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable ".[dev]"
	$(NEWEST)/bin/python -m pip list --disable-pip-version-check
	$(NEWEST)/bin/python -m pytest -n 3 --dist loadfile $(PYTEST_ARGS)

# Renews the locks: the newest releases that pyproject.toml allows, and the hashes of their files.
COMPILE = $(VENV)/bin/uv pip compile pyproject.toml --group build --universal --python-version 3.10 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	--quiet --upgrade
lock: $(VENV)/bin/uv
	$(COMPILE) --extra dev --output-file locks/dev.txt
	$(COMPILE) --extra train --constraint locks/dev.txt --output-file locks/train.txt
	$(COMPILE) --extra docs --constraint locks/dev.txt --output-file locks/docs.txt

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/bin/uv: | $(VENV)/bin/python
	$(PIP) install --quiet uv

# All may lie in one environment: what two locks hold is of the same version in both.
$(VENV)/.train $(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: locks/%.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes --requirement $<
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) $(NEWEST) demo gpu build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
