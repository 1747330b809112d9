# Two commands set everything up on a machine with Python 3.11 and make:
#   make demo   synthetic machines, a detector each, a table and a page
#   make test   format, types, walls and the whole test suite
# make docs builds the documentation's site into site/, strictly: a dead link is an error.
PYTHON ?= python3
BIN := .venv/bin
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
DEMO ?= demo

.PHONY: demo test docs check format clean lock

demo: .venv
	$(BIN)/firstshot demo --out $(DEMO)

# Two processes of one thread each beat one process of two threads on two cores.
test: .venv .venv/runtimes-are-installed check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

docs: .venv/site-tools-are-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

# Format, lint, types and the walls between the modules: the hooks of .pre-commit-config.yaml, on
# every file. Outside a git checkout (an unpacked archive) the same four tools run by themselves.
check: .venv
	@if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then \
		$(BIN)/pre-commit run --all-files --show-diff-on-failure; \
	else \
		$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports; \
	fi

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

# Only the tests of the pre-trained encoders need torch and the other runtimes; torch's CPU wheel has
# an index of its own.
.venv/runtimes-are-installed: requirements/tests.txt .venv/is-complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --extra-index-url $(TORCH_INDEX) $(shell grep torch requirements/tests.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/tests.txt
	touch $@

.venv/site-tools-are-installed: requirements/docs.txt .venv/is-complete
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/docs.txt
	touch $@

lock:
	$(PYTHON) -m venv .lock-venv && .lock-venv/bin/pip install --quiet uv
	.lock-venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--no-header --no-annotate --output-file requirements/locked.txt
	.lock-venv/bin/uv pip compile --group docs --universal --python-version 3.11 --no-header \
		--no-annotate --constraint requirements/locked.txt --output-file requirements/docs.txt
	rm -rf .lock-venv

clean:
	rm -rf .venv demo site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
