# Two commands: `make demo` shows what this does, `make test` proves it. Both install what they need into .venv/.
PYTHON ?= python3
VENV ?= .venv
TESTS ?= tests
RUN = $(VENV)/bin/

.PHONY: demo test test-all test-azcli lint format lock clean

demo: $(VENV)/.demo
	$(RUN)python -m sandbox demo

test: $(VENV)/.dev $(VENV)/functions-worker
	$(RUN)python -m pytest -n auto -m "not slow and not azcli" $(TESTS)

# With the crash matrices, which take minutes.
test-all: $(VENV)/.dev $(VENV)/functions-worker
	$(RUN)python -m pytest -n auto -m "not azcli" $(TESTS)

# The real Azure CLI as a witness: installs it into .venv-azcli/ (733 MB, a minute or two) the first time.
test-azcli: $(VENV)/.dev
	$(RUN)python -m pytest -n 2 --dist loadfile -m azcli $(TESTS)

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
	@echo "Installing into $(VENV)/, which takes about half a minute the first time."
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN)python -m pip install --quiet -c constraints.txt -e '.[provisioning,sandbox,dev]'
	touch $@

# Microsoft's Functions worker library declares Python >= 3.13 and runs on 3.11; its v1 wheel carries a top-level `tests`,
# which must not shadow ours: hence a folder of its own.
$(VENV)/functions-worker: $(VENV)/bin/python
	$(RUN)python -m pip install --quiet --no-deps --ignore-requires-python --target $@ \
		azure-functions-runtime==1.3.0 azure-functions-runtime-v1==1.2.0

# requirements.txt is what Azure installs; constraints.txt pins everything else. Both follow pyproject.toml.
lock: $(VENV)/.dev
	$(RUN)python -m pip install --quiet uv
	$(RUN)uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --no-annotate -q -o requirements.txt
	$(RUN)uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate -q -o constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
