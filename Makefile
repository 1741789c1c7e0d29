# Two commands: `make demo` and `make test`. Each makes .venv if it isn't there and installs what it needs.

SHELL := /bin/sh
BIN := .venv/bin
# The first Python that is new enough; `make PYTHON=/path/to/python3.12` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

# Modules are compiled once and kept: without, every process of the tests compiles torch's sources again, for 8 seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick check lint docs notebooks outputs bench faults fuzz guided-fuzz soak ptx gpu-test gpu-check gpu-bench tables chain dist clean

demo: .venv/installed
	@$(BIN)/eric-fast demo --force

test: .venv/installed
	@$(BIN)/python -m eric_fast.warm_up
	@$(BIN)/python -m pytest -n auto --dist worksteal

# Every module, without the tests that are marked slow, and with fewer random examples.
quick: .venv/installed
	@$(BIN)/python -m eric_fast.warm_up
	@$(BIN)/python -m pytest --quick -n auto --dist worksteal

# What CI runs: the linter, the type checker and the tests.
check: lint test

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in build/docs; a warning is an error.
docs: .venv/installed
	@$(BIN)/python -m sphinx -b html -q -W --keep-going docs build/docs
	@echo "wrote build/docs/index.html"

# The notebooks, from the scripts in examples/; that of CIFAR-10 needs ../shared.
notebooks: .venv/installed
	$(BIN)/python -m docs.make_notebooks

# What pages print, from runs: that of blocks which tests run too, then of those that take long (with ../shared, an hour).
outputs: .venv/installed
	$(BIN)/python -m docs.contents
	$(BIN)/python -m tests.page_blocks
	$(BIN)/python -m tests.page_blocks --kept

# What compares with others: installs them, then an hour.
bench: .venv/installed
	$(BIN)/uv pip install --python $(BIN)/python --group bench
	for case in evaluate frontends small extract; do $(BIN)/python -m bench $$case --json bench/results/$$case.json || exit 1; done

# 100,000 random programs, weight bodies and starts among them, against clingo and a plain interpreter: some 40 minutes;
# 10,000 damaged files of each format.
fuzz: .venv/installed
	$(BIN)/python -m tests.check_programs 100000
	$(BIN)/python -m tests.fuzz all 10000

# Each reader for SECONDS, led by the code that its inputs reach (atheris); what reaches most is kept in tests/corpus.
guided-fuzz: .venv/installed
	$(BIN)/uv pip install --python $(BIN)/python --group fuzz
	$(BIN)/python -m tests.guided_fuzz all $(SECONDS)
	$(BIN)/python -m tests.guided_fuzz keep

# 100,000 evaluations, 1,000 loads, 100 extractions: what they leave behind. Some minutes.
soak: .venv/installed
	$(BIN)/python -m tests.soak

# Every command that writes, killed at each call that writes: some 25 minutes. Captures disturbed in other ways: ten. What
# is too large, what failed once, and the tests of faults. Then the tables of docs/RELIABILITY.md.
faults: .venv/installed
	$(BIN)/python -m tests.kills all
	$(BIN)/python -m tests.faults all
	$(BIN)/python -m tests.limits
	$(BIN)/python -m tests.safety_cases
	$(BIN)/python -m tests.fault_table all

# The kernels' PTX for three GPUs, run thread by thread on the CPU, and broken on purpose: tests/ptx/RESULTS.md, an hour.
# Random programs for SECONDS on each; TARGET=90 for one GPU alone.
SECONDS ?= 60
ptx: .venv/installed
	$(BIN)/python -m tests.ptx $(SECONDS) $(TARGET:%=--target %)

# On a GPU: the tests that need one; a dozen of them under compute-sanitizer; benchmarks. Each stops after nine minutes, goes
# on where it was when called again, and installs nothing. `make gpu-test PYTHON=/path/to/python` names the interpreter;
# results are in gpu-results/, or where GPU_RESULTS says.
GPU_PYTHON = $(if $(filter command environment,$(word 1,$(origin PYTHON))),$(PYTHON),$(BIN)/python)
GPU_RESULTS ?= gpu-results
gpu-test gpu-check gpu-bench:
	@$(GPU_PYTHON) -m bench.gpu_day $(@:gpu-%=%) --folder $(GPU_RESULTS)

# The reference tables of cifar10_vgg, from the data in ../shared: minutes.
tables: .venv/installed
	$(BIN)/python -m bench tables

# What chaining costs on cifar10_vgg, and what growing on predicted bits regains: bench/results/chain.json and .png, minutes.
chain: .venv/installed
	$(BIN)/python -m bench chain --json bench/results/chain.json

# sdist and wheel, built twice and compared, checked, installed into an empty environment and tried there; the wheel for this
# Python that carries machine code: `make dist CODE=--code`, minutes more.
dist: .venv/installed
	$(BIN)/python -m tests.make_dist $(CODE)

# uv installs in seconds what takes pip minutes; pip does it where uv can't.
.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "eric_fast needs Python 3.11, 3.12 or 3.13; make PYTHON=/path/to/python names one" >&2; exit 2; }
	@echo "installing into .venv: torch and what else it needs, some 6 GB; then compiling, a minute or two"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet uv==0.13.9 && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --group dev --editable . || \
		{ $(BIN)/python -m pip install --quiet 'pip>=25.1' && $(BIN)/python -m pip install --quiet --group dev --editable .; }
	@$(BIN)/python -m eric_fast.warm_up
	@touch $@

clean:
	rm -rf .venv build dist eric-demo .cache *.egg-info
