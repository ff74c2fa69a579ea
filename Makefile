# Two commands that each work alone on a machine with Python 3.10-3.13, make and a compiler:
#   make conformance   install, run the conformance of three families on twins, print and write the support matrix
#   make test          install, run the tests; every model under the matrix's columns
# make gate holds what make test has run against the committed baselines; make everything runs every cell of the tier default.
# Both set up .venv once; running them again installs nothing unless pyproject.toml changed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)",/\1/p' pyproject.toml)

.PHONY: conformance test gate everything check install browser clean

conformance: $(INSTALLED)
	@$(BIN)/zoo run smollm2 qwen3 gemma3 --records reports/records; code=$$?; \
	$(BIN)/zoo report || exit $$?; exit $$code

test: $(INSTALLED) browser
	$(BIN)/python -m pytest -n 2 --tier core

# Verdicts and structure of what "make test" has just run, against the committed baselines.
gate: $(INSTALLED)
	$(BIN)/zoo gate --tier core --no-latency --records $$(ls -td .zoo/runs/pytest-* | head -n 1)

everything: $(INSTALLED) browser
	$(BIN)/python -m pytest -n 2

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

# torch is named first: a requirement that admits other builds would bring several GB of CUDA libraries.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else "Python 3.10 to 3.13 is needed, found %d.%d; name one with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) -e ".[dev]"
	@touch $@

# The tests of the report page click through it in Chromium.
BROWSERS := chromium chromium-browser google-chrome
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

browser:
	@for name in $(BROWSERS); do if command -v $$name >/dev/null; then exit 0; fi; done; \
	command -v apt-get >/dev/null || { echo "The tests need a browser: install Chromium (one of: $(BROWSERS))." >&2; exit 1; }; \
	$(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium

clean:
	rm -rf $(VENV) .zoo
