"""Tests of the extension itself: its surface, its events, its exceptions."""
