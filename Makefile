# make demo    set up, then a live sweep of the bundled caption search (headless without a terminal)
# make test    set up, then all tests
# make lint    set up, then format, lint, types and import directions
# make soak    kill, stop and fill what studies need, for MINUTES=15, chosen by SEED=0; then check what they say
# make fuzz    give the readers of files, options and messages odd inputs for MINUTES=15, keeping those that reach new code
# make docs    the documentation as a site, in site/
# make release VERSION=0.2.0   version, changelog, wheel and sdist, both tried; commit and tag; no upload
# make pictures / snapshots   draw the README's pictures / accept changed screens

VENV   := .venv
PYTHON ?= python3
STAMP  := $(VENV)/.set-up

# uv does not read pip's settings: where a machine has told pip of a mirror or a folder of wheels, tell uv too.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
export UV_HTTP_TIMEOUT ?= 300
# Some machines forbid Python to keep what it compiled; then each of a thousand trials compiles torch again.
unexport PYTHONDONTWRITEBYTECODE

# The python3 that is there, when it is new enough; else uv looks for another or fetches one.
WANTED := $(shell $(PYTHON) -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else ">=3.11")')
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

.PHONY: setup demo test soak fuzz lint docs pictures snapshots release clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python '$(WANTED)' $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(VENV)/bin/python --constraint constraints.txt --group dev --editable '.[models]'
	@touch $@

# Only when uv is missing. A folder of its own, because many systems let pip touch nothing else.
.uv/bin/uv:
	@$(PYTHON) -m venv .uv || { echo "make: $(PYTHON) can't make environments: install python3-venv, or uv"; exit 1; }
	.uv/bin/python -m pip install --quiet --constraint constraints.txt uv

demo: setup
	$(VENV)/bin/tuner sweep caption

test: setup
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup

SEED    ?= 0
MINUTES ?= 15

soak: setup
	PYTHONPATH=tests $(VENV)/bin/python -m soak --seed $(SEED) --minutes $(MINUTES)

fuzz: setup
	$(UV) pip install --quiet --python $(VENV)/bin/python atheris
	PYTHONPATH=tests $(VENV)/bin/python -m fuzz --minutes $(MINUTES)

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/basedpyright
	$(VENV)/bin/lint-imports

docs: setup
	$(UV) pip install --quiet --python $(VENV)/bin/python --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet

pictures: setup
	$(VENV)/bin/python docs/pictures.py

snapshots: setup
	$(VENV)/bin/python -m pytest tests/ui --snapshot-update

release: setup
	$(VENV)/bin/python .ci/release.py '$(VERSION)' --uv '$(UV)'

clean:
	rm -rf $(VENV) .uv
