# Every target builds `.venv` when it is missing or older than what defines it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO ?= runs/demo

.PHONY: demo test test-all lint bench clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/dino demo $(DEMO)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-all: lint
	$(BIN)/pytest -n 2 --dist worksteal

bench: $(STAMP)
	$(BIN)/python benchmarks/encode.py --json benchmarks/results/encode.json
	$(BIN)/python benchmarks/training_step.py --json benchmarks/results/training_step.json
	$(BIN)/python benchmarks/forecast_points.py --threads 2 --json benchmarks/results/forecast_points.json
	$(BIN)/python benchmarks/archive.py --json benchmarks/results/archive.json
	$(BIN)/python benchmarks/demo.py --threads 2 --json benchmarks/results/demo.json
	$(BIN)/python benchmarks/mediterranean.py --threads 2 --json benchmarks/results/mediterranean.json
	$(BIN)/python benchmarks/tracks.py --threads 2 --json benchmarks/results/tracks.json
	$(BIN)/python benchmarks/results_page.py

clean:
	rm -rf .venv runs
