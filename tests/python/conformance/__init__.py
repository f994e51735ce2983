"""Runs the cases of `tests/conformance` through Python: the extension with a manual clock."""
