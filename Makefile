# Only Python 3.11 with venv, and make, are assumed.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# Tools that tests call and that need other versions of what the product uses.
TOOLS ?= $(CURDIR)/.venv-tools
# Half a gigabyte of packages beside the environment; without Java nobody can use them, so there they are left out.
SPARK ?= $(CURDIR)/.venv-spark
export QIONGXIN_HOME ?= $(CURDIR)/var

.PHONY: env tools spark nightly test soak bench lint clean

env: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found. Install Python 3.11, or run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

tools: $(TOOLS)/.ready

$(TOOLS)/.ready: tests/tools.lock | $(VENV)/.ready
	rm -rf $(TOOLS)
	$(PYTHON) -m venv $(TOOLS)
	PYTHONDONTWRITEBYTECODE= $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/tools.lock
	touch $@

spark: $(if $(shell command -v java),$(SPARK)/.ready)

$(SPARK)/.ready: tests/spark.lock | $(VENV)/.ready
	rm -rf $(SPARK)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-build-isolation --target $(SPARK) -r tests/spark.lock \
	&& touch $@ || echo "make: pyspark could not be installed; the tests that need it skip"

DAY ?= $(shell date -d yesterday +%F)
ROWS ?= 5000
# One item of every shape: a night to look at, not one to wait for. `make nightly ITEMS=all` takes every item.
ITEMS ?= identity_reference,administrative_penalty,administrative_licence,traffic_penalty,judgment_defaulter,major_tax_violation,tax_arrears,social_insurance_arrears,exam_misconduct,student_loan_default,professional_qualification,honour,volunteer_service,credit_commitment

nightly: env
	test -e $(QIONGXIN_HOME)/sample.json || $(BIN)/qiongxin sample --rows $(ROWS) --seed 1 --date $(DAY) $(if $(filter all,$(ITEMS)),,--items $(ITEMS))
	$(BIN)/qiongxin stack up
	@$(BIN)/qiongxin stack run --date $(DAY); code=$$?; \
	$(BIN)/qiongxin stack down; $(BIN)/qiongxin db down; \
	echo "receipts: $(QIONGXIN_HOME)/outbox/<department>/  evidence: $(QIONGXIN_HOME)/reports/$(DAY)/index.html"; \
	echo "planted defects: $(QIONGXIN_HOME)/truth.json"; \
	echo 'ask it:   $(BIN)/qiongxin query "SELECT department, count(*) FROM records.administrative_penalty GROUP BY ALL"'; \
	exit $$code

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy

test soak: export QIONGXIN_TOOLS := $(TOOLS)
test soak: export QIONGXIN_SPARK := $(SPARK)

# Processes that tests start would compile every module anew where nobody may keep what was compiled.
test soak: export PYTHONDONTWRITEBYTECODE :=

# Half of what takes time waits for a process of its own, so two run side by side (tests/side_by_side.py).
SIDE_BY_SIDE = -n 2 --dist loadscope --no-loadscope-reorder

# Some of the tests, all by default: make soak TESTS='tests/test_dags tests/test_golden.py'
TESTS ?=

test: env tools spark lint
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

soak: env tools spark lint
	QIONGXIN_SOAK=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

# All benchmarks with the arguments of docs/benchmarks.md (hours), or some: make bench BENCH='corpus growth'. With ROWS,
# the night against its floors alone: make bench ROWS=1000000 TIMES=5
BENCH ?=
TIMES ?= 5

bench: env spark
ifeq ($(origin ROWS),command line)
	$(BIN)/python -m tests.benchmarks.nightly $(ROWS) $(TIMES)
else
	QIONGXIN_SPARK=$(SPARK) $(BIN)/python -m tests.benchmarks $(BENCH)
endif

# The embedded server's data lies aside of a home that only root may enter; postgres.json says where.
clean:
	@test ! -e var/postgres.json || { test ! -x $(BIN)/qiongxin || $(BIN)/qiongxin db down --home var; \
	data=$$(sed -n 's/.*"data": "\([^"]*\)".*/\1/p' var/postgres.json); test -z "$$data" || rm -rf "$$data"; }
	rm -rf $(VENV) $(TOOLS) $(SPARK) var site build *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
