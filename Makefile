# Every target sets up what it needs: a fresh clone wants Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := imgctl tests bench tools

.PHONY: demo test soak check bench dist sbom audit image docs docs-serve man picture lock clean

demo: $(VENV)/ready
	$(BIN)/imgctl demo

test: $(VENV)/ready $(VENV)/azurite/tried
	$(BIN)/pytest

# The same tests with many more kills, mutations and examples.
soak: $(VENV)/ready $(VENV)/azurite/tried
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

# Wheel and sdist, and that they install into an empty venv: from wheels alone for every Python and machine, and really
# on each Python of this machine.
dist: $(VENV)/ready
	rm -rf build dist man
	$(BIN)/python -m tools.man man
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python -m tools.wheels dist/*.whl
	IMGCTL_DIST=dist $(BIN)/pytest -n 0 -v -rs tests/deploy/test_install.py

# What the container is made of, CycloneDX 1.6.
sbom: $(VENV)/ready
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements deploy/requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o dist/imgctl.cdx.json

# Known vulnerabilities of what the image holds; says so and passes where nobody can be asked.
audit: $(VENV)/ready
	$(BIN)/python -m tools.vulnerabilities deploy/requirements.lock

image:
	docker build -f deploy/Containerfile -t imgctl:$$(sed -n 's/__version__ = "\(.*\)"/\1/p' imgctl/__init__.py) .

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
	for extras in "serve" "serve dask"; do \
		uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-annotate --python-version 3.11 \
			--constraints requirements.lock $$(printf -- '--extra %s ' $$extras) pyproject.toml \
			-o deploy/requirements$$(case $$extras in *dask) printf -- -dask;; esac).lock; \
	done

clean:
	rm -rf $(VENV) build dist man site *.egg-info

# A plain path to the sources: the other editable mode imports a finder at every start of Python, half its time.
# The lock is the union of all extras; hashes make a fresh machine get what was tested.
$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imgctl needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	touch $@

# Microsoft's emulator, which tests alone need: without npm, or where it cannot be fetched, tests on it are skipped and say so.
$(VENV)/azurite/tried: $(VENV)/ready
	mkdir -p $(@D)
	if command -v npm >/dev/null; then timeout 300 npm install --silent --no-audit --no-fund --no-save --prefix $(@D) azurite@3.37.0 \
		|| echo "Azurite was not installed: tests on it are skipped"; else echo "no npm: tests on Azurite are skipped"; fi
	touch $@
