"""Serves an engine to other terminals: the control socket of its state directory."""
