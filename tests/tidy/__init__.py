"""Checks of the source tree itself: its layers, its shape, its words.

Each check is a function from a `Tree` to the violations it found. `test_tree.py` runs them on this
checkout, `test_checks.py` on small trees in which each rule is broken on purpose.
"""
