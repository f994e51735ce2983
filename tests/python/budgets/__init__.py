"""Holds the hot path to its budgets."""
