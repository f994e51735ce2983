"""Holds the command line: one command a file."""
