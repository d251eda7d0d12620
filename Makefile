# Two commands: `make lab` runs the lab board, `make test` runs every check. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GRADING_VENV := .venv-grading
GRADING_STAMP := $(GRADING_VENV)/.installed
GRADING_TESTS := $(addprefix tests/test_,extraction.py boxed.py wording.py workers.py graders.py)
JOBS ?= 2

export OMP_NUM_THREADS = 1
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: lab boards tune test test-fast lint types imports slow grading lab-reduced generated setup system-deps clean

setup: $(STAMP)

# torch first: a CPU build that pip finds locally must be there before anything can pull in the default one.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

lab: setup
	$(BIN)/opdbench run leaderboards/lab --jobs $(JOBS)
	$(BIN)/opdbench publish leaderboards/lab --compare

# All three lab boards; what `lab` has computed already is not computed again.
boards: lab
	for board in lab-cross lab-guided; do \
	  $(BIN)/opdbench run leaderboards/$$board --jobs $(JOBS) && \
	  $(BIN)/opdbench publish leaderboards/$$board --compare || exit 1; \
	done

# The search behind the boards' tuned scores; an hour and more on two cores.
tune: setup
	for board in lab lab-cross; do $(BIN)/opdbench tune leaderboards/$$board --jobs $(JOBS) || exit 1; done

test: lint types imports generated test-fast slow grading lab-reduced

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: setup
	$(BIN)/lint-imports

generated: setup
	$(BIN)/python docs/generate.py --check
	for board in lab lab-cross lab-guided lab-controls; do $(BIN)/opdbench publish leaderboards/$$board --check || exit 1; done

test-fast: setup
	$(BIN)/python -m pytest -n $(JOBS) --durations=15 -m "not slow and not gpu and not network"

slow: setup
	$(BIN)/python -m pytest -n $(JOBS) --durations=15 -m "slow and not gpu and not network"
	$(BIN)/python tests/golden_methods.py tests/golden/golden_methods.json
	$(BIN)/python tests/golden_stats.py tests/golden/golden_stats.json
	$(BIN)/python tests/golden_grading.py tests/golden/golden_grading.json

# The graders under the newer math-verify, which cannot share an environment with lighteval.
$(GRADING_STAMP): pyproject.toml constraints-grading.txt
	test -x $(GRADING_VENV)/bin/python || $(PYTHON) -m venv $(GRADING_VENV)
	$(GRADING_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(GRADING_VENV)/bin/python -m pip install --quiet --requirement constraints-grading.txt
	touch $@

grading: $(GRADING_STAMP)
	PYTHONPATH=.:trainers:tasks $(GRADING_VENV)/bin/python tests/golden_grading.py tests/golden/golden_grading.json
	PYTHONPATH=.:trainers:tasks $(GRADING_VENV)/bin/python -m pytest $(GRADING_TESTS)

# The lab board through the real command line, reduced: four rows, one seed, a quarter of the budget.
lab-reduced: setup
	$(BIN)/python tests/reduced_lab.py --jobs $(JOBS)

# What only apt has. Tests that need it skip without it, and fail where CI is set.
system-deps:
	apt-get update
	apt-get install --yes --no-install-recommends chromium bubblewrap

clean:
	rm -rf $(VENV) $(GRADING_VENV) runs
