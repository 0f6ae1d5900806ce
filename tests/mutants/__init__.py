"""Mutants: the code broken on purpose at one place, and whether a test notices. `make mutants`."""
