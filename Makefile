# Every target installs what it needs; a fresh clone needs only Python 3.11 or newer.
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
	IMGCTL_SOAK=1 $(BIN)/pytest -o faulthandler_timeout=7200

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

# Build wheel and sdist. Check that wheels alone satisfy them on every supported Python and architecture, and install them into an
# empty venv with each Python of this machine.
dist: $(VENV)/ready
	rm -rf build dist man
	$(BIN)/python -m tools.man man
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python -m tools.wheels dist/*.whl
	IMGCTL_DIST=dist $(BIN)/pytest -n 0 -v -rs tests/deploy/test_install.py

# The list of the container's packages, as CycloneDX 1.6.
sbom: $(VENV)/ready
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements deploy/requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o dist/imgctl.cdx.json

# Check the image's packages for known vulnerabilities; passes with a message if the database is unreachable.
audit: $(VENV)/ready
	$(BIN)/python -m tools.vulnerabilities deploy/requirements.lock

# Build the container image, and run the demo in it as an orchestrator would run it: make image DOCKER=podman
DOCKER ?= docker
image:
	tag=imgctl:$$(sed -n 's/__version__ = "\(.*\)"/\1/p' imgctl/__init__.py) \
		&& $(DOCKER) build $$(case $(DOCKER) in *podman) echo --format docker;; esac) -f deploy/Containerfile -t $$tag . \
		&& $(DOCKER) run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL $$tag demo

docs: $(VENV)/ready picture
	$(BIN)/python -m tools.docs --write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# `man imgctl` finds the pages if $(VENV)/bin is on PATH; packagers set MANDIR=/usr/share/man.
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

# editable_mode=compat adds a plain path to the sources: the default mode imports a finder at every start of Python, half of its time.
# The lock covers all extras; its hashes make a fresh machine install the tested versions.
$(VENV)/ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imgctl needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	touch $@

# Azurite, Microsoft's emulator, for tests only. Without npm or network, the tests on it are skipped with a message.
$(VENV)/azurite/tried: $(VENV)/ready
	mkdir -p $(@D)
	if command -v npm >/dev/null; then timeout 300 npm install --silent --no-audit --no-fund --no-save --prefix $(@D) azurite@3.37.0 \
		|| echo "Azurite was not installed: tests on it are skipped"; else echo "no npm: tests on Azurite are skipped"; fi
	touch $@
