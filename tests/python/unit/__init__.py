"""Tests of the Python package by itself, with a fake in the place of the extension's runtime."""
