"""Drains of the canned stream by other people's programs, in an environment of their own."""
