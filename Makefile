# A thin cover over dev.py, which needs nothing but Python 3.11: `python3 dev.py test -k webhook` is
# `make test ARGS="-k webhook"`.
PYTHON ?= python3
COMMANDS := run demo test bench chaos mutants lint types schema sbom shell lock

.PHONY: help $(COMMANDS)
help $(COMMANDS):
	@$(PYTHON) dev.py $@ $(ARGS)
