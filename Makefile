# One command runs every habit of the house: make check
PYTHON ?= python

.PHONY: check lint types contract test smoke docs release

check: lint types contract test smoke

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) tools/house_lint.py

types:
	$(PYTHON) tools/typecheck.py

contract:
	$(PYTHON) -c "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"

test:
	$(PYTHON) -m pytest -n 2 --dist worksteal

smoke:
	$(PYTHON) benchmarks/run.py --smoke

docs:
	$(PYTHON) tools/docs_site.py
	$(PYTHON) -m zensical build --strict --clean

# Everything up to the upload; DRY=1 changes nothing here, VERSION=1.2.0 sets the version.
release:
	$(PYTHON) tools/release.py $(if $(DRY),--dry-run) $(VERSION)
