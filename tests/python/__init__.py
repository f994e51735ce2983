"""Tests of the Python package: units, the boundary, the command line, whole mappings."""
