"""Benches: whole processes against servers on loopback, side by side in one run."""
