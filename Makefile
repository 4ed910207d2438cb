# Every target makes the virtual environment that it needs, in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-lowest nightly coverage bench bench-quick docs page vendor check format clean

demo: .venv/core  ## train a CNN on handwritten digits
	$(BIN)/neocog train digits

test: .venv/test  ## the test suite, in two processes; a file stays in one
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

nightly: .venv/nightly  ## the tests marked nightly, and ten times as many drawn cases
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "nightly or hypothesis" --hypothesis-profile nightly

test-lowest:  ## the suite with the lowest versions that are allowed, in .venv-lowest; LATEST="torch" leaves that at its pin
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/lowest.py $(LATEST) > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint .venv-lowest/constraints.txt --editable ".[test]"
	.venv-lowest/bin/python -m pytest -q -n 2 --dist loadgroup -W ignore::DeprecationWarning

coverage: .venv/test  ## the same, with the lines that no test reaches
	$(BIN)/python -m pytest -q --cov --cov-report=term-missing

bench: .venv/bench  ## beside PyTorch, JAX, ONNX Runtime and OpenVINO, into benchmarks/RESULTS.md; takes hours
	$(BIN)/python benchmarks/bench.py --json benchmarks/run.json
	$(BIN)/python benchmarks/results.py benchmarks/run.json

bench-quick: .venv/bench  ## the smaller works once, on the screen; takes two minutes
	$(BIN)/python benchmarks/bench.py --quick

docs: .venv/docs  ## the book and the reference, every cell executed, into docs/_build
	$(BIN)/sphinx-build -W --keep-going -j auto -b html docs docs/_build/html

page: .venv/docs  ## one page of the book alone: make page PAGE=book/4-backward
	$(BIN)/sphinx-build -b html -D master_doc=$(PAGE) -D include_patterns=$(PAGE).md docs docs/_build/$(PAGE)

vendor:  ## the library of the page in the browser, anew from its lock file; needs npm, which nothing else does
	src/neocog/studio/web/vendor/build.sh

check: .venv/dev  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/numpydoc lint $$(find src -name '*.py')

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-lowest dist htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/test: .venv/core
	$(PIP) --editable ".[test]"
	touch $@

.venv/nightly: .venv/test
	$(PIP) --editable ".[nightly]"
	touch $@

.venv/bench: .venv/core
	$(PIP) --editable ".[bench]"
	touch $@

.venv/docs: .venv/core
	$(PIP) --editable ".[docs]"
	touch $@

.venv/dev: .venv/test
	$(PIP) --editable ".[dev]"
	touch $@
