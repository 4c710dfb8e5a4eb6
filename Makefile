# make demo | test | browser | slow | parity | fuzz | graphs | docs | notebooks | release-check | lint | format | bench: needs Python 3.11 or newer and make, sets up .venv by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,plot,text,video,formats,parquet,serve,export,dev
READY := $(VENV)/.ready
BENCHMARKS := segment_command selector_latency drawn_scenes drawn_clips cmpc_relations evaluator

unexport PYTHONDONTWRITEBYTECODE  # tests start many processes, which should not compile the same imports again

.PHONY: demo test browser slow parity fuzz graphs docs notebooks release-check lint format bench clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/refseg demo --out out/demo.png

test: export OMP_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m pytest --doctest-modules -n 2 -m "not full_size and not slow and not browser" src tests

# The page of `refseg serve` in Chromium (apt-get install chromium); pictures of it are left in out/browser.
browser: export OMP_NUM_THREADS = 1
browser: $(READY)
	$(BIN)/python -m pytest -m browser tests/service

# The tests that take longest: several processes, whole splits, many kills.
slow: export OMP_NUM_THREADS = 1
slow: $(READY)
	$(BIN)/python -m pytest -n 2 -m "slow and not full_size" tests

# What the authors' own code computes, from weights and inputs that are made from names.
parity: export OMP_NUM_THREADS = 1
parity: $(READY)
	$(BIN)/python -m pytest -n 2 tests/parity

# Damaged inputs of every format, 10,000 of them; what fails is kept in out/fuzz.
fuzz: export OMP_NUM_THREADS = 1
fuzz: $(READY)
	$(BIN)/python tests/fuzz --cases $(or $(CASES),10000)

# ONNX graphs beside the bundled weights, to be written again when these or their network change.
graphs: $(READY)
	$(BIN)/python -c "from refseg.export.beside import write_graphs_beside as write; print(write('src/refseg/weights/selector'))"

# The site, into out/site: pages from the code first, then by zensical and by mkdocs, of which both must find no fault.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs]' --constraints constraints.txt
	$(BIN)/python docs/generate
	$(BIN)/zensical build --strict --clean
	$(BIN)/mkdocs build

# The notebooks are run again, and kept with what they show.
notebooks: $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs]' --constraints constraints.txt
	$(BIN)/python docs/generate/run_notebooks.py

# Builds sdist and wheel, and tries the wheel in bare environments: each Python, without and with extras, lowest versions.
release-check: $(READY)
	$(BIN)/python .ci/release_check.py

lint: $(READY)
	$(BIN)/python docs/generate --check
	$(BIN)/ruff check src tests benchmarks docs .ci
	$(BIN)/ruff format --check src tests benchmarks docs .ci
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks docs .ci
	$(BIN)/ruff format src tests benchmarks docs .ci

# Those that need no arguments and no hour; the others in benchmarks/ say in --help what they want.
bench: $(READY)
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installed again when the dependencies change, and only then.
$(READY): pyproject.toml constraints.txt | $(VENV)/.uv
	$(BIN)/uv pip install --python $(BIN)/python --editable '.[$(EXTRAS)]' --constraints constraints.txt
	touch $@

$(VENV)/.uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "refseg needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	touch $@
