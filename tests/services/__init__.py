"""The servers that tests talk to, each a context manager that leaves nothing running."""
