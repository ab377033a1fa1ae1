# Two commands: `make demo` shows what this does, `make test` proves it. Both install what they need into .venv/.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/

.PHONY: demo test lint format lock clean

demo: $(VENV)/.demo
	$(RUN)python -m sandbox demo

test: $(VENV)/.dev
	$(RUN)python -m pytest -n auto

lint: $(VENV)/.dev
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

format: $(VENV)/.dev
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox,dev]'
	touch $@

# requirements.txt is what Azure installs; constraints.txt pins everything else. Both follow pyproject.toml.
lock: $(VENV)/.dev
	$(RUN)python -m pip install --quiet uv
	$(RUN)uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --no-annotate -q -o requirements.txt
	$(RUN)uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate -q -o constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
