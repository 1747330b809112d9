# Two commands set everything up on a machine with Python 3.11 and make:
#   make demo   synthetic machines, a detector each, a table and a page
#   make test   format, types, walls and the whole test suite
PYTHON ?= python3
BIN := .venv/bin
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
DEMO ?= demo

.PHONY: demo test check format real bench clean lock

# The demo starts from an empty folder of its own, so that it shows the same thing every time.
demo: .venv
	$(BIN)/firstshot demo --out $(DEMO) --overwrite

test: .venv .venv/torch-is-installed check
	$(BIN)/python -m pytest

check: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# `.venv` is the one environment of both commands. Its stamp is written last, so that an
# interrupted installation is taken up again by the next `make`.
.venv: .venv/is-complete
.venv/is-complete: requirements/locked.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "firstshot needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/locked.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Only the tests of the pre-trained encoders need torch; its CPU wheel has an index of its own.
.venv/torch-is-installed: requirements/torch.txt .venv/is-complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --extra-index-url $(TORCH_INDEX) -r requirements/torch.txt
	touch $@

lock:
	$(PYTHON) -m venv .lock-venv && .lock-venv/bin/pip install --quiet uv
	.lock-venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--no-header --no-annotate --output-file requirements/locked.txt
	rm -rf .lock-venv

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
