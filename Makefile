# One word for everything that is done with a clone. Each target makes the virtual
# environment that it needs under .venv/ (tests/environments.py); only Python is presupposed.

PYTHON ?= python3
# For the command that a target ends with, e.g. make test ARGS="--django 6.1 --layout sqlite"
ARGS ?=

environment = environment=$$($(PYTHON) -m tests.environments $(1)) && bin=$${environment%/*}

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint docs bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Run the sample project from nothing: load, relate, scan, delete, report
	@$(call environment,sample) && "$$environment" sample_project/manage.py demo $(ARGS)

serve: ## Run the sample project's site
	@$(call environment,sample) && "$$environment" sample_project/manage.py serve $(ARGS)

test: ## Run every test that this machine can, on each Django and each database
	@$(PYTHON) -m tests.run $(ARGS)

lint: ## Check style, types and layers
	@$(call environment,lint) || exit 1; status=0; \
	"$$bin/ruff" check || status=1; \
	"$$bin/ruff" format --check || status=1; \
	"$$bin/mypy" || status=1; \
	PYTHONPATH=. "$$bin/lint-imports" || status=1; \
	exit $$status

docs: ## Build the documentation into docs/_build/html
	@$(call environment,docs) && \
	"$$bin/sphinx-build" -q -W --keep-going -b html docs docs/_build/html $(ARGS) && \
	echo "The pages are in docs/_build/html."

bench: ## Run the benchmarks at full size (ARGS="--help" lists smaller ones)
	@$(call environment,sample) && "$$environment" -m benchmarks $(ARGS)

clean: ## Remove what these targets made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		build dist docs/_build sample_project/var benchmarks/var
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
