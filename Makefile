# Every target makes .venv/ on first use and installs what it needs; nothing outside this folder changes.
PYTHON ?= python3
BIN := .venv/bin
# Without an NVIDIA GPU: an exact version, whose CPU build pip takes where the index in use (or that named
# by TORCH_INDEX) has one; a bare `torch` would pull gigabytes of CUDA libraries.
GPU := $(shell command -v nvidia-smi 2>/dev/null)
TORCH ?= $(if $(GPU),torch>=2.11,torch==2.13.0)
TORCH_INDEX ?=
comma := ,
EXTRAS := test,lint,postgresql,dashboard$(if $(GPU),$(comma)gpu)

.PHONY: demo test lint bench docs clean

demo: .venv/installed
	$(BIN)/lengthwise run configs/quickstart.yaml --out results/quickstart

# Threads of two processes on two cores would else spin for each other's.
test: export OMP_WAIT_POLICY = passive
test: .venv/installed
	$(BIN)/pytest --numprocesses 2 --dist worksteal

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

bench: .venv/installed
	$(BIN)/lengthwise bench data
	$(BIN)/lengthwise bench kernels

docs: .venv/installed
	$(BIN)/pytest README.md docs

.venv/installed: pyproject.toml setup.py kernels/sources.py $(wildcard kernels/*.h kernels/*.cpp kernels/*/*.h kernels/*/*.cpp)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info kernels/libavx*
