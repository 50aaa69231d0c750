# `make demo` and `make test` set up what they need in .venv; nothing has to be installed first.
PYTHON ?= python3
VENV := .venv
DENET := $(VENV)/bin/denet

.PHONY: demo test coverage lint bench gpu clean

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
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

# Takes twice as long as the tests alone: exporting a network is Python that is watched line by line.
coverage: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --cov $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.train
	$(VENV)/bin/python measurements/composed.py
	$(VENV)/bin/python measurements/training.py

# On a machine with an NVIDIA GPU and the headers of CUDA: the whole TensorRT path, from an untrained
# ResNet-50 to docs/gpu-report.md, and the tests marked `gpu`. See docs/gpu.md.
gpu: $(VENV)/.dev
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[tensorrt,gpu]"
	mkdir -p gpu
	test -d gpu/synthetic || $(DENET) synth gpu/synthetic --identities 60
	test -f gpu/model.safetensors || $(DENET) init gpu/model.safetensors
	test -d gpu/model.denet || $(DENET) export gpu/model.safetensors --out gpu/model.denet --precision int8 --calibration-data gpu/synthetic --target trt
	$(VENV)/bin/python -m pytest -m gpu
	$(VENV)/bin/python measurements/gpu.py gpu/model.denet --out docs/gpu-report.md

$(VENV)/.train $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) demo gpu build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
