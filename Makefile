# Every target sets up what it needs: a fresh clone wants Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := imgctl tests bench tools

.PHONY: demo test soak check bench docs docs-serve man picture lock clean

demo: $(VENV)/ready
	$(BIN)/imgctl demo

test: $(VENV)/ready
	$(BIN)/pytest

# The same tests with many more kills, mutations and examples.
soak: $(VENV)/ready
	IMGCTL_SOAK=1 $(BIN)/pytest

check: $(VENV)/ready
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.words imgctl README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs config.example.toml

bench: $(VENV)/ready
	$(BIN)/python -m bench.startup
	$(BIN)/python -m bench.upload
	$(BIN)/python -m bench.render
	$(BIN)/python -m bench.work

docs: $(VENV)/ready picture
	$(BIN)/python -m tools.docs --write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# `man imgctl` finds them where $(VENV)/bin is on PATH; packagers give MANDIR=/usr/share/man.
MANDIR ?= $(VENV)/share/man
man: $(VENV)/ready
	$(BIN)/python -m tools.man $(MANDIR)

picture: $(VENV)/ready
	$(BIN)/python -m tools.picture

docs-serve: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

lock:
	uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
		--extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build site *.egg-info

# A plain path to the sources: the other editable mode imports a finder at every start of Python, half its time.
# The lock is the union of all extras; hashes make a fresh machine get what was tested.
$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imgctl needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/azurite azurite@3.37.0 \
		|| echo "Azurite was not installed: tests on it are skipped"; else echo "no npm: tests on Azurite are skipped"; fi
	touch $@
