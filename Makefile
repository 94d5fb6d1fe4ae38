# Two commands matter: `make demo` and `make test`. Each builds .venv from nothing when it has to.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes share the cores among themselves; threads inside each only get in the way of small matrices.
export OMP_NUM_THREADS ?= 1
# Where it is set, every process that a test starts would compile all of Surefoot again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench soak mutate compat release check docs format clean

demo: $(STAMP)
	$(BIN)/surefoot advise digits --report surefoot-digits.html

# A file's tests run in one process, so that what they share is built once.
test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --dist loadfile

# Every figure that README and docs quote, with what others give for it: two hours. `make bench GROUPS=claims` is half a minute.
bench: $(STAMP)
	$(BIN)/python -m benchmarks --install
	$(BIN)/python -m benchmarks $(GROUPS)
	$(BIN)/python -m benchmarks --docs

# Hostile files for every reader, twenty thousand of each kind, ten thousand random operators, and every value in the
# place of every argument: half an hour, from a seed of the day; then MINUTES of a pilot under random faults.
MINUTES ?= 20
soak: $(STAMP)
	SUREFOOT_SOAK=20000 $(BIN)/python -m pytest -q tests/logs/test_fuzz.py
	SUREFOOT_SOAK=10000 $(BIN)/python -m pytest -q tests/spectra/test_random_operators.py tests/test_public_edge.py
	SUREFOOT_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -q tests/training/pilot/test_pilot_faults.py

# A sample of each room's code broken one place at a time: what no test notices is printed, and a table of the shares. A
# second a mutant that is noticed; `python tools/mutate.py --help` says how to choose a room, and how to repeat survivors.
MUTANTS ?= 80
SEED ?= 0
mutate: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[mutate]'
	-PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/mutate.py --sample $(MUTANTS) --seed $(SEED)

# The tests under every Python on the path, each in an environment of its own with the newest packages allowed.
compat:
	$(PYTHON) tools/compat.py

# Wheel and source archive into dist/, installed into empty environments and tried there.
release:
	$(PYTHON) tools/release.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright

# The site, from the pages of docs/ and the docstrings; warnings are errors, and so are broken links, invalid HTML, and, where
# there is a Chromium, what cannot be read.
docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d .doctrees docs site
	$(BIN)/python tools/check_site.py site
	$(BIN)/python tools/look_at_site.py site
	@echo "open site/index.html"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) site .doctrees docs/reference docs/_static/figures docs/_static/playground.html .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("surefoot needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[all,dev]'
	touch $@
