# Everything runs in $(VENV), made on first use and again when the files that decide it change.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test bench lint report-js clean

demo: $(STAMP)
	$(BIN)/fxnas demo

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS)

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The script of the report's page, from its sources; needs node and npm. The tests tell when it has to run.
report-js:
	cd fxnas/report/web/src && npm ci --ignore-scripts && npm run build

# torchvision only lends the tests its networks; --no-deps keeps it from moving torch.
$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,test,lint]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps torchvision
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist fxnas.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis fxnas/report/web/src/node_modules
