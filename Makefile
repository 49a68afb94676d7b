# make demo | test | lab | install | clean   (only python3 ≥ 3.10 is needed; everything else is set up here)
PYTHON ?= python3
V := .venv
BIN := $(V)/bin
export MPLBACKEND = Agg

.PHONY: demo test lab install clean
demo: $(V)/ready
	$(BIN)/odise_demo

test: $(V)/ready
	bash .ci/stages $(BIN)

lab: $(V)/ready
	$(BIN)/jupyter lab nbs/index.ipynb

install: $(V)/ready

# The stamp is written last: an interrupted set-up is simply begun again.
$(V)/ready: settings.ini setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(V)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(V) data/demo data/cache *.egg-info build dist _proc
